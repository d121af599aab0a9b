"""UFACTORY's xArm 6 and 7 through xarm-python-sdk: servoj setpoints, reports of port 30003, UFACTORY's gripper.

Servo mode (1) and not online planning (6): the filter before it has shaped the motion already, and online planning would end every
setpoint at rest. In servo mode the controller goes to the newest setpoint at up to its greatest speed and rests there: a client that
dies leaves an arm at rest, and the first setpoint after a pause must be where the arm stands, which is checked here. The SDK fills what
it cannot read with the last value that it could; so reports are read as they came.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from hardware.api import Action, ArmLost, RobotError
from hardware.arm import ArmState, Link
from hardware.drivers.xarm_gravity import Load, weight
from hardware.drivers.xarm_gripper import XArmGripper
from hardware.drivers.xarm_reports import Reports
from hardware.drivers.xarm_sdk import LOST, close_client, error_words, open_client, refusal
from hardware.model import ArmModel, load_arm

FIRMWARE = (1, 8, 0)
"""The oldest whose reports are as read here."""
SERVO = 1
"""Mode."""
MOVING, READY = 1, (0, 1, 2)
"""States; setpoints are taken when ready, moving, in standby."""
STATES = {3: "paused", 4: "stopped", 5: "reset, for its mode or a setting was changed", 6: "stopping"}
ENTERING = 3.0
"""Longest that entering servo mode may take [s]."""
SETTLE = 0.1
"""Time that it takes to show in the reports [s]."""
STILL = 0.002
"""Furthest that a resting joint seems to move [rad]."""
NEAR = 0.1
"""Furthest from the measured pose that the first setpoint may be, any joint [rad]."""
GRIPPER: Load = (0.82, 0.0, 0.0, 0.048)
"""Mass [kg] and centre [m] of UFACTORY's gripper."""


@dataclass(frozen=True)
class XArm:
    """An xArm with its control box."""

    address: str
    """Of the control box: a name or an IPv4 address."""
    dof: int = 7
    """Axes: 6 or 7."""
    gripper: str = "xarm"
    """"xarm": UFACTORY's first gripper; "none"."""
    servo_hz: float = 100.0
    """Setpoints a second [Hz], 20 to 200; the arm is measured 100 times a second."""
    sensitivity: int = 3
    """Of the controller's own collision detection, 1 to 5 (most)."""
    load: Load | None = None
    """What the flange carries: mass [kg], centre in its frame [m]; by default the gripper. The controller is told."""
    compensate: bool = True
    """Take the weight of an upright arm off the reported torques; False: they are passed on as they come."""
    silence: float = 0.3
    """Longest time without a measurement before the arm counts as lost [s]."""
    gripper_counts: tuple[int, int] = (0, 850)
    """Of the gripper, closed and open."""
    gripper_speed: int = 3000
    """Of its motor [1/min], 1 to 5000."""

    def __post_init__(self) -> None:
        ranges = {"servo_hz": (20, 200), "sensitivity": (1, 5), "silence": (0.05, 2), "gripper_speed": (1, 5000)}
        for name, (least, most) in ranges.items():
            if not least <= getattr(self, name) <= most:
                raise RobotError(f"robot=xarm: {name} is {getattr(self, name)}; it may be {least} to {most}")
        if not self.address:
            raise RobotError("robot=xarm needs address=, the control box's name or IP address")
        if self.dof not in (6, 7):
            raise RobotError(f"robot=xarm: dof is {self.dof}; known: 6, 7")
        if self.gripper not in ("xarm", "none"):
            raise RobotError(f"robot=xarm: gripper {self.gripper!r}; known: xarm, none")
        if self.gripper_counts[0] == self.gripper_counts[1]:
            raise RobotError(f"robot=xarm: gripper_counts are {self.gripper_counts}: closed and open are the same")
        if self.load is not None and (len(self.load) != 4 or not np.isfinite(self.load).all() or not 0 <= self.load[0] <= 7):
            raise RobotError(f"robot=xarm: load is {self.load}; it is a mass of 0 to 7 kg and its centre's x, y, z [m]")

    @property
    def arm(self) -> ArmModel:
        """Its joints, limits and shape."""
        return _model(self.dof, 1 if self.gripper == "xarm" else 0)

    @property
    def carried(self) -> Load:
        """What the flange carries: mass [kg], centre [m]."""
        return self.load or (GRIPPER if self.gripper == "xarm" else (0.0, 0.0, 0.0, 0.0))

    def connect(self) -> Link:
        """Opens the connection, releases the brakes and enters servo mode; moves nothing. Raises RobotError: what is missing or refused."""
        client = open_client(self.address, reports=True)
        with contextlib.ExitStack() as undo:
            undo.callback(close_client, client)
            self._check(client)
            reports = Reports(client, self.dof)
            self._check_rest(reports)
            link = _Link(self, client, reports)
            undo.callback(link.close)
            link.start()
            undo.pop_all()
        return link

    def recover(self) -> str:
        """Clears the controller's error, after a person has looked; the arm stays stopped. What was cleared, in words.

        Raises:
            RobotError: the error is still there, as a pushed emergency stop is.
        """
        client = open_client(self.address, reports=False)
        try:
            code, (error, _) = client.get_err_warn_code()
            if code:
                raise refusal(f"{self.address}: asking for errors", code)
            if not error:
                return "there was no error"
            client.clean_error()
            client.set_state(4)
            code, (left, _) = client.get_err_warn_code()
            if code or left:
                raise RobotError(f"{self.address}: {error_words(left)} It does not go away; recover() again once that is done")
            return error_words(error)
        finally:
            close_client(client)

    def _check(self, client: Any) -> None:
        """Raises RobotError unless this is the arm that is named, with nothing wrong."""
        version = tuple(map(int, client.version_number))
        if version < FIRMWARE:
            found, least = (".".join(map(str, numbers)) for numbers in (version, FIRMWARE))
            raise RobotError(f"{self.address} has firmware {found}; at least {least} is needed: update it in UFACTORY Studio")
        if client.axis != self.dof or client.device_type != self.dof:
            raise RobotError(
                f"{self.address} is an arm of {client.axis} axes (device type {client.device_type}), not an xArm {self.dof}: "
                "give dof= the axes of the xArm that stands there"
            )
        code, (error, _) = client.get_err_warn_code()
        if code:
            raise refusal(f"{self.address}: asking for errors", code)
        if error:
            raise RobotError(f"{self.address}: {error_words(error)} recover() clears it, once you have looked")

    def _check_rest(self, reports: Reports) -> None:
        """Raises RobotError where the arm measures nothing, or moves: a program of somebody else's has it."""
        with reports.changed:
            if not reports.changed.wait_for(lambda: len(reports.samples) > 3 or reports.trouble, timeout=2.0):
                raise ArmLost(f"{self.address} sends no reports on port 30003")
            if reports.trouble:
                raise RobotError(f"{self.address}: {reports.trouble}")
            first, at = reports.samples[-1]
            reports.changed.wait_for(lambda: reports.state == MOVING or reports.samples[-1][0] > first + SETTLE, timeout=1.0)
            if reports.state == MOVING or np.abs(reports.samples[-1][1] - at).max() > STILL:
                raise RobotError(f"{self.address}: the arm is moving: end the program that moves it")


@cache
def _model(dof: int, gripper: int) -> ArmModel:
    return replace(load_arm(f"xarm{dof}"), gripper=gripper)


class _Link:
    """A connected arm."""

    def __init__(self, driver: XArm, client: Any, reports: Reports) -> None:
        self._driver, self._client, self._reports, self._arm = driver, client, reports, driver.arm
        self._changed = reports.changed
        self._talking = threading.Lock()
        self._stops = 0
        """A setpoint from before a stop must not be sent after it."""
        self._setpoint: list[float] | None = None
        self._serving = self._closed = False
        self._fresh = True
        """Whether no setpoint has been sent since servo mode was entered."""
        self._fault: RobotError | None = None
        self._jaw: XArmGripper | None = None
        self._hand = threading.Thread(target=self._serve, name="xarm setpoints", daemon=True)

    def start(self) -> None:
        """Gets the arm ready; moves nothing. Raises RobotError."""
        driver = self._driver
        mass, *centre = driver.carried
        core = self._client.core
        self._halt()
        time.sleep(SETTLE)  # long enough for another program that had the resting arm to see that it was taken away
        for what, code in (
            ("enabling the motors", self._client.motion_enable(True)),
            ("the load", core.set_tcp_load(mass, [1000 * c for c in centre])[0]),
            ("the collision sensitivity", core.set_collis_sens(driver.sensitivity)[0]),
        ):
            if code not in (0, 2):
                raise self._refusal(what, code)
        self._enter(self._stops)
        if driver.gripper == "xarm":
            self._jaw = XArmGripper(driver.address, driver.gripper_counts, driver.gripper_speed, self._fail)
        self._check_weight()
        self._hand.start()

    def state(self) -> ArmState:
        """The newest measurement. Raises RobotError where the controller reports a fault, ArmLost where it is silent."""
        with self._changed:
            samples, torque = list(self._reports.samples), self._reports.torque
        (first, before), (last, qpos) = samples[0], samples[-1]
        if time.monotonic() - last > self._driver.silence:
            self._fail(ArmLost(f"{self._driver.address} sent no report for {time.monotonic() - last:.2f} s"))
        self._raise_fault()
        own = weight(self._arm, qpos, self._driver.carried) if self._driver.compensate else 0.0
        grip = np.array([self._jaw.opening()]) if self._jaw else np.zeros(0)
        return ArmState(qpos=qpos, qvel=(qpos - before) / max(last - first, 1e-3), effort=torque - own, gripper=grip, time=last)

    def send(self, setpoint: Action) -> None:
        """Hands on a setpoint; returns at once. After a stop, servo mode is entered again first, and what comes meanwhile is dropped.

        Raises:
            RobotError: malformed, beyond the limits, or a jump from rest; or after a fault, which stays.
        """
        self._raise_fault()
        arm, qpos = self._arm, setpoint.qpos
        if qpos.shape != (len(arm.joints),) or setpoint.gripper.shape != (arm.gripper,):
            raise RobotError(
                f"{arm.name} takes {len(arm.joints)} joints and {arm.gripper} gripper, got {qpos.shape}, {setpoint.gripper.shape}"
            )
        if not (np.isfinite(qpos).all() and np.isfinite(setpoint.gripper).all()):
            raise RobotError(f"a setpoint must be finite, got {qpos} and {setpoint.gripper}; nothing was sent")
        if (qpos < arm.lower).any() or (qpos > arm.upper).any():
            raise RobotError(f"a setpoint beyond the joint limits: {qpos}")
        with self._changed:
            if self._fresh:
                away = np.abs(qpos - self._reports.samples[-1][1])
                if away.max() > NEAR:
                    joint = arm.joints[int(away.argmax())].name
                    raise RobotError(f"the first setpoint is {away.max():.2f} rad from where {joint} stands: begin at the measured pose")
            self._setpoint = [float(q) for q in qpos]
            self._changed.notify_all()
        if self._jaw:
            self._jaw.go(float(setpoint.gripper[0]))

    def stop(self) -> None:
        """The controller's own stop: it brakes, holds, and leaves servo mode. The jaw keeps its goal: what it holds stays held."""
        with self._changed:
            if self._closed:
                return
            self._stops += 1
            self._setpoint, self._serving = None, False
        self._halt()

    def close(self) -> None:
        """Stops, and gives the connection back; the motors hold."""
        with self._changed:
            if self._closed:
                return
        self.stop()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._hand.is_alive() and threading.current_thread() is not self._hand:
            self._hand.join(2.0)
        if self._jaw:
            self._jaw.close()
        close_client(self._client)

    def _serve(self) -> None:
        """The thread that gives commands; stops alone come from others."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._setpoint or self._closed or self._ails(), timeout=0.1)
                setpoint, self._setpoint, stops = self._setpoint, None, self._stops
                closed, ails = self._closed, self._ails()
            if closed:
                return
            try:
                if ails:
                    raise self._diagnosis(ails)
                if setpoint:
                    self._command(setpoint, stops)
            except Exception as error:  # whatever the vendor's client throws, the arm's owner must hear it
                self._fail(error if isinstance(error, RobotError) else RobotError(f"{self._driver.address}: {error}"))
            if self._fault:
                self._halt()
                return

    def _ails(self) -> str:
        """What is wrong with the newest report, empty where nothing is."""
        reports = self._reports
        if reports.trouble:
            return reports.trouble
        if not self._client.connected:
            return "the connection broke"
        if self._serving and (reports.state not in READY or reports.mode != SERVO):
            return "the arm left servo mode"
        return ""

    def _command(self, setpoint: list[float], stops: int) -> None:
        if not self._serving and self._enter(stops):
            return  # the setpoint is of another time; the next one is checked against where the arm stands
        with self._talking:
            if stops != self._stops:
                return
            code = self._client.set_servo_angle_j(setpoint, is_radian=True)
            if not code:
                self._fresh = False
        if code and stops == self._stops:
            raise self._refusal("a setpoint", code)

    def _enter(self, stops: int) -> bool:
        """Enters servo mode; False where a stop came between. Raises RobotError where that does not come about."""
        reports, end = self._reports, time.monotonic() + ENTERING
        while time.monotonic() < end:  # settings reset the mode a moment after they were made
            for call, value in ((self._client.set_mode, SERVO), (self._client.set_state, 0)):
                with self._talking:
                    if stops != self._stops:
                        return False
                    code = call(value)
                if code not in (0, 2):
                    raise self._refusal("servo mode", code)
            time.sleep(SETTLE)  # reports of the time before are still under way
            with self._changed:
                if reports.mode == SERVO and reports.state in READY:
                    if stops != self._stops:
                        return False
                    self._serving = self._fresh = True
                    return True
        raise RobotError(f"{self._driver.address} does not enter servo mode: it is in mode {reports.mode}, state {reports.state}")

    def _halt(self) -> None:
        with contextlib.suppress(Exception), self._talking:
            self._fresh = True
            self._client.set_state(4)

    def _check_weight(self) -> None:
        """Raises RobotError where an arm at rest does not weigh what it should: contact could not be told from weight."""
        if not self._driver.compensate:
            return
        state = self.state()
        limits = np.array([joint.effort for joint in self._arm.joints])
        share = np.abs(state.effort) / limits
        if share.max() > 0.3:
            i = int(share.argmax())
            name, more = self._arm.joints[i].name, state.effort[i]
            raise RobotError(
                f"{self._driver.address}: at rest {name} has {more:+.1f} N m more than its weight explains: is load= what the flange "
                "carries, and the arm upright and touching nothing? compensate=False passes torques on as they come"
            )

    def _diagnosis(self, seen: str) -> RobotError:
        """The fault that a report or a refusal stands for, in the controller's own words where it has any."""
        code, answer = self._client.get_err_warn_code()
        address = self._driver.address
        if code:
            return ArmLost(f"{address}: {seen}, and it does not answer (code {code})")
        if answer[0]:
            return RobotError(f"{address}: {error_words(answer[0])}")
        code, state = self._client.get_state()
        why = f": somebody else had it {STATES[state]}" if not code and state in STATES else ""
        return RobotError(f"{address}: {seen}{why}")

    def _refusal(self, what: str, code: int) -> RobotError:
        found = refusal(f"{self._driver.address}: {what}", code)
        return found if code in LOST else self._diagnosis(str(found).removeprefix(f"{self._driver.address}: "))

    def _fail(self, error: RobotError) -> None:
        with self._changed:
            self._fault = self._fault or error
            self._setpoint = None
            self._changed.notify_all()

    def _raise_fault(self) -> None:
        if self._closed:
            raise ArmLost("the connection is closed")
        if self._fault:
            raise type(self._fault)(str(self._fault))
