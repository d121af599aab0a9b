"""Universal Robots' e-Series and CB3 arms through ur-rtde: servoj setpoints, the controller's own watchdog, a Robotiq 2F gripper.

ur-rtde uploads a program to the controller and talks to it through registers. The program repeats servoj towards the newest setpoint,
so an arm whose client dies comes to rest at the last one, and the watchdog then ends the program. Three things of the vendor's client
shape this module: its calls may block, so one thread makes them all; it reconnects by itself and would go on, so the first fault is
final here; and it hands on whatever a broken data package holds, so measurements are checked.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from hardware.api import Action, ArmLost, RobotError
from hardware.arm import ArmState, Link
from hardware.drivers.ur_dashboard import DASHBOARD, PATIENCE, RTDE, SCRIPT, check_modes, dashboard, knock, modes
from hardware.drivers.ur_gripper import Robotiq
from hardware.model import ArmModel, load_arm

VARIABLES = (
    *("timestamp", "actual_q", "actual_qd", "actual_current", "target_current", "robot_mode", "safety_mode"),
    *("speed_scaling", "target_speed_fraction", "runtime_state", "robot_status_bits"),
)
"""What the controller is asked to measure."""
ENDED = "the controller ended the program: its watchdog saw no setpoint in time, or somebody pressed stop; connect again"
STRETCHED = 0.1
"""How long the controller may run slower than it is told before it is a fault [s]: it does so for moments by itself."""


@dataclass(frozen=True)
class UR:
    """An arm of Universal Robots."""

    address: str
    """Of the controller: a name or an IP address."""
    model: str = "ur5e"
    """An arm of `hardware/arms`."""
    gripper: str = "robotiq"
    """"robotiq": a 2F-85 or 2F-140 on the controller's port 63352; "none"."""
    servo_hz: float = 125.0
    """Setpoints and measurements a second [Hz]: 125, or 500 with e-Series."""
    lookahead: float = 0.1
    """How far servoj smooths ahead [s], 0.03 to 0.2; the arm follows about that much later."""
    gain: float = 300.0
    """How hard servoj follows, 100 to 2000."""
    deceleration: float = 10.0
    """Of the tool when it is told to stop [m/s^2]."""
    watchdog_hz: float = 5.0
    """The controller ends the program where setpoints come less often [Hz]."""
    silence: float = 0.5
    """Longest time without a measurement before the arm counts as lost [s]."""
    currents: tuple[float, ...] = (12.0, 12.0, 12.0, 3.0, 3.0, 3.0)
    """Motor current at each joint's greatest torque [A]. The vendor publishes none: these are a UR5e's rated torques over torque constants
    near 0.125 and 0.092 N m/A and gears of 101:1. Measure yours before relying on a contact threshold."""
    gripper_counts: tuple[int, int] = (3, 230)
    """What the gripper reports fully open and fully closed, in [0, 255]."""
    grip: float = 40.0
    """Force of its fingers [N], 20 to 235."""

    def __post_init__(self) -> None:
        ranges = {"lookahead": (0.03, 0.2), "gain": (100, 2000), "deceleration": (0.5, 50), "silence": (0.05, 2), "watchdog_hz": (1, 50)}
        ranges |= {"grip": (20, 235)}
        for name, (least, most) in ranges.items():
            if not least <= getattr(self, name) <= most:
                raise RobotError(f"robot=ur: {name} is {getattr(self, name)}; it may be {least} to {most}")
        if not self.address:
            raise RobotError("robot=ur needs address=, the controller's name or IP address")
        if self.gripper not in ("robotiq", "none"):
            raise RobotError(f"robot=ur: gripper {self.gripper!r}; known: robotiq, none")
        if self.servo_hz not in (125, 500):
            raise RobotError(f"robot=ur: servo_hz is {self.servo_hz}; controllers keep 125, and e-Series 500")
        if self.watchdog_hz > self.deceleration:
            raise RobotError(
                f"robot=ur: with a watchdog of {self.watchdog_hz} Hz a stop from 1 m/s at {self.deceleration} m/s^2 would not end in time; "
                f"watchdog_hz={self.deceleration} or less would do"
            )
        opened, closed = self.gripper_counts
        if not 0 <= opened < closed <= 255:
            raise RobotError(f"robot=ur: gripper_counts are {self.gripper_counts}; open is less than closed, both in 0 to 255")

    @cached_property
    def arm(self) -> ArmModel:
        """Its joints, limits and shape. Raises RobotError where it has not six joints."""
        arm = load_arm(self.model)
        if len(arm.joints) != 6 or len(self.currents) != 6:
            raise RobotError(
                f"robot=ur: arm {arm.name!r} has {len(arm.joints)} joints, currents {len(self.currents)}; an arm of theirs has 6"
            )
        return arm if self.gripper == "robotiq" else replace(arm, gripper=0)

    def connect(self) -> Link:
        """Opens the connection and uploads ur-rtde's program; moves nothing. Raises RobotError: what is missing or refused."""
        arm = self.arm
        control, receive = _vendor("rtde_control"), _vendor("rtde_receive")
        for port, use in ((DASHBOARD, "dashboard"), (SCRIPT, "program upload"), (RTDE, "data exchange")):
            knock(self.address, port, use)
        self._ask_first(arm)
        with contextlib.ExitStack() as undo:
            jaw = Robotiq(self.address, self.gripper_counts, self.grip) if self.gripper == "robotiq" else None
            if jaw:
                undo.callback(jaw.close)
            try:
                measured = receive.RTDEReceiveInterface(self.address, self.servo_hz, list(VARIABLES))
                undo.callback(_discard, measured)
                check_modes(measured)
                _check_slider(self.address, measured.getTargetSpeedFraction())
                flags = control.RTDEControlInterface.FLAG_UPLOAD_SCRIPT | control.RTDEControlInterface.FLAG_NO_EXT_FT
                commands = control.RTDEControlInterface(self.address, self.servo_hz, int(flags))
                undo.callback(_discard, commands)
                # The kick returns when the program is ready again: a thread that waits for that while the program ends waits for 4 s.
                if not (commands.setWatchdog(self.watchdog_hz) and commands.kickWatchdog()):
                    raise RobotError(f"{self.address}: the controller refused the watchdog; it must not be driven without")
            except (RuntimeError, ValueError) as error:
                held = "another session or a fieldbus holds the input registers: " if "in use" in str(error) else ""
                raise RobotError(f"{self.address}: {held}{error}") from error
            link = _URLink(self, measured, commands, jaw)
            undo.pop_all()
        return link

    def _ask_first(self, arm: ArmModel) -> None:
        """Asks the dashboard whether this arm may be driven now. Raises RobotError with the controller's words."""
        questions = ("PolyscopeVersion", "get robot model", "is in remote control", "robotmode", "safetystatus", "running")
        version, model, remote, robot, safety, running = dashboard(self.address, *questions)
        family, old = model.strip().upper(), "3." in version.split(" ")[-1][:2]  # CB3 controllers run PolyScope 3
        if not family.startswith("UR") or not arm.name.upper().startswith(family.removesuffix("E")) or (arm.name.endswith("e") and old):
            raise RobotError(f"{self.address} is a {model!r} with {version!r}, not a {arm.name}: give model= the arm that stands there")
        if old and self.servo_hz > 125:
            raise RobotError(f"{self.address} runs {version!r}, which keeps 125 Hz: give servo_hz=125")
        if remote.strip().lower() == "false":
            raise RobotError(f"{self.address} is in local control: switch the pendant to remote control")
        if "RUNNING" not in robot.upper():
            raise RobotError(f"{self.address} says {robot!r}: power the arm on and release its brakes at the pendant")
        if not any(word in safety.upper() for word in ("NORMAL", "REDUCED")):
            raise RobotError(f"{self.address} says {safety!r}: clear it at the pendant")
        if "true" in running.lower():
            raise RobotError(f"{self.address} runs a program, perhaps another session's: end that, or stop it at the pendant")


class _URLink:
    """A connected arm."""

    def __init__(self, driver: UR, measured: Any, commands: Any, jaw: Robotiq | None) -> None:
        self._driver, self._measured, self._commands, self._jaw = driver, measured, commands, jaw
        self._arm = driver.arm
        self._torques = np.array([joint.effort for joint in self._arm.joints]) / np.array(driver.currents)  # (6,) [N m/A]
        self._clock = _ControllerClock()
        self._stretched_since: float | None = None
        self._fault: RobotError | None = None
        self._wake = threading.Condition()
        self._setpoint: list[float] | None = None
        self._stopping = self._closing = self._streaming = self._ended = False
        self._hand = threading.Thread(target=self._serve, name="ur setpoints", daemon=True)
        self._hand.start()

    def state(self) -> ArmState:
        """The newest measurement. Raises RobotError where the controller reports a fault, runs slower than told, or is gone."""
        self._raise_fault()
        try:
            state, playing, speed = self._measure()
            if not playing:
                raise RobotError(ENDED)
        except (RobotError, RuntimeError) as error:
            raise self._fail(error) from error
        self._check_speed(speed, time.monotonic())
        return state

    def send(self, setpoint: Action) -> None:
        """Hands on a setpoint; returns at once, and drops it while a stop is under way. Raises RobotError: malformed, or after a fault."""
        self._raise_fault()
        if setpoint.qpos.shape != (6,) or setpoint.gripper.shape != (self._arm.gripper,):
            raise RobotError(
                f"{self._arm.name} takes 6 joints and {self._arm.gripper} gripper, got {setpoint.qpos.shape}, {setpoint.gripper.shape}"
            )
        if not (np.isfinite(setpoint.qpos).all() and np.isfinite(setpoint.gripper).all()):
            raise RobotError(f"a setpoint must be finite, got {setpoint.qpos} and {setpoint.gripper}")
        if (setpoint.qpos < self._arm.lower).any() or (setpoint.qpos > self._arm.upper).any():
            raise RobotError(f"a setpoint beyond the joint limits: {setpoint.qpos}")
        with self._wake:
            if self._closing:
                raise RobotError("the connection is closed")
            if self._stopping:
                return
            self._setpoint = [float(q) for q in setpoint.qpos]
            self._wake.notify_all()
        if self._jaw:
            self._jaw.go(float(setpoint.gripper[0]))

    def stop(self) -> None:
        """servoStop, and waits for rest; ends the program at the dashboard where that does not come about in time."""
        if self._jaw:
            self._jaw.hold()
        with self._wake:
            self._setpoint = None
            self._stopping = True
            self._wake.notify_all()
            done = self._wake.wait_for(lambda: not self._stopping or not self._hand.is_alive(), timeout=PATIENCE)
        if not done and not self._ended:
            self._end_program()

    def close(self) -> None:
        """Stops, ends the program, gives the connection back."""
        with self._wake:
            if self._closing:
                return
        self.stop()
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self._hand.join(PATIENCE)
        if self._jaw:
            self._jaw.close()
        _discard(self._measured, self._commands)

    def _serve(self) -> None:
        """The only thread that gives the vendor's client commands."""
        while True:
            with self._wake:
                self._wake.wait_for(self._due, timeout=0.25 / self._driver.watchdog_hz)
                setpoint, self._setpoint = self._setpoint, None
                stopping, closing = self._stopping, self._closing
            try:
                if not self._fault:
                    self._command(setpoint, stopping, closing)
            except Exception as error:  # whatever the vendor's client throws, the arm's owner must hear it
                self._fail(error)
            if self._fault and not self._ended:
                # A program that waits behind a protective stop would go on towards its last setpoint once that is unlocked.
                self._ended = True
                self._end_program()
            if stopping:
                with self._wake:
                    self._stopping, self._setpoint = False, None
                    self._wake.notify_all()
            if closing:
                return

    def _due(self) -> bool:
        return bool(self._setpoint or self._stopping or self._closing or (self._fault and not self._ended))

    def _command(self, setpoint: list[float] | None, stopping: bool, closing: bool) -> None:
        driver, commands = self._driver, self._commands
        good = True
        if stopping:
            if self._streaming:
                good = commands.servoStop(driver.deceleration)
                self._streaming = False
        elif closing:
            commands.stopScript()
        elif setpoint:
            self._streaming = True
            good = commands.servoJ(setpoint, 0.0, 0.0, 1 / driver.servo_hz, driver.lookahead, driver.gain)
        elif not self._streaming:
            # At rest the watchdog is kept content; while it streams, only setpoints do: if those cease, the controller must stop.
            good = commands.kickWatchdog()
        if not good:
            raise RobotError(self._refusal())

    def _refusal(self) -> str:
        """Why a command was refused. What the controller measures comes by another connection, a moment later perhaps."""
        end = time.monotonic() + 0.1
        while time.monotonic() < end:
            check_modes(self._measured)
            if not self._measured.getRobotStatus() & 2:
                return ENDED
            time.sleep(0.005)
        return f"the controller refused a command: {modes(self._measured)}"

    def _measure(self) -> tuple[ArmState, bool, float]:
        """One data package, whether the program runs, and at which share of its speed. Raises RobotError for what must not go on."""
        measured, stamp = self._measured, -1.0
        while stamp != (stamp := measured.getTimestamp()):  # again where the next package came between two values
            now = time.monotonic()
            taken = self._clock.read(stamp, now)
            check_modes(measured)
            qpos, qvel = np.array(measured.getActualQ()), np.array(measured.getActualQd())
            excess = np.array(measured.getActualCurrent()) - np.array(measured.getTargetCurrent())  # beyond the controller's own model
            playing = bool(measured.getRobotStatus() & 2)
            speed = measured.getSpeedScaling() * measured.getTargetSpeedFraction()
        if not measured.isConnected():
            raise ArmLost("the controller closed the connection")
        if now - self._clock.heard > self._driver.silence:
            raise ArmLost(f"the controller sent no measurement for {now - self._clock.heard:.2f} s")
        lower, upper = self._arm.lower - 1, self._arm.upper + 1
        if not np.isfinite([qpos, qvel, excess]).all() or (qpos < lower).any() or (qpos > upper).any():
            raise ArmLost(f"a malformed measurement: joints at {qpos}")
        grip = np.array([self._jaw.opening()]) if self._jaw else np.zeros(0)
        return ArmState(qpos=qpos, qvel=qvel, effort=excess * self._torques, gripper=grip, time=taken), playing, speed

    def _check_speed(self, speed: float, now: float) -> None:
        """Raises RobotError where the controller stretches time: setpoints would be skipped, the arm would lag."""
        if speed > 0.99:
            self._stretched_since = None
            return
        if self._stretched_since is None:
            self._stretched_since = now
        if now - self._stretched_since >= STRETCHED or not self._streaming:
            _check_slider(self._driver.address, speed)

    def _fail(self, why: Exception) -> RobotError:
        """The first fault is final; returns it."""
        with self._wake:
            if not self._fault:
                kind = ArmLost if isinstance(why, ArmLost) else RobotError
                self._fault = kind(f"{self._driver.address}: {why}")
            self._setpoint = None
            self._wake.notify_all()
            return self._fault

    def _raise_fault(self) -> None:
        if self._closing:
            raise RobotError("the connection is closed")
        if self._fault:
            raise type(self._fault)(str(self._fault))

    def _end_program(self) -> None:
        with contextlib.suppress(RobotError):
            dashboard(self._driver.address, "stop")


class _ControllerClock:
    """From the controller's time stamps to ours: the least delay seen, which leaks upwards so that clocks may drift apart."""

    DRIFT = 5e-4
    """Greatest difference in rate between the two clocks."""

    def __init__(self) -> None:
        self.heard = 0.0
        """When the newest stamp was first seen [s, monotonic]."""
        self._stamp = -np.inf
        self._offset = np.inf

    def read(self, stamp: float, now: float) -> float:
        """When the measurement of this stamp was taken [s, monotonic]. Raises ArmLost where the controller's time jumps."""
        if not np.isfinite(stamp) or stamp < self._stamp:
            raise ArmLost(f"a malformed measurement: the controller's time went from {self._stamp} to {stamp} s")
        if stamp > self._stamp:
            leak = self.DRIFT * (now - self.heard) if self.heard else 0.0
            if self.heard and stamp - self._stamp > now - self.heard + 1:
                raise ArmLost(f"a malformed measurement: the controller's time went from {self._stamp} to {stamp} s")
            self._offset = min(self._offset + leak, now - stamp)
            self._stamp, self.heard = stamp, now
        return self._stamp + self._offset


def _vendor(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RobotError("robot=ur needs ur-rtde: pip install ur-rtde") from error


def _check_slider(address: str, speed: float) -> None:
    """Raises RobotError where the controller moves slower than it is told."""
    if speed < 0.99:
        raise RobotError(f"{address} runs at {speed:.0%} speed and would stretch every setpoint: set the pendant's speed slider to 100 %")


def _discard(*clients: Any) -> None:
    """Disconnects the vendor's clients, each in a thread: they sleep over it, and may wait for a dead controller."""
    threads = []
    for client in clients:
        # Its destructor sleeps for half a second and holds the interpreter's lock: other arms would miss their setpoints.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(client))
        disconnect: Callable[[], None] = client.disconnect
        threads.append(threading.Thread(target=disconnect, daemon=True))
        threads[-1].start()
    for thread in threads:
        thread.join(PATIENCE)
