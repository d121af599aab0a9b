"""Franka arms (FR3, and Panda with franky's wheels for it) through franky: joint impedance or streamed waypoints, and the Franka Hand.

The vendor's control loop runs at 1 kHz in a thread of its own, in C++. Setpoints are handed to it and never wait; measurements are read
by a thread of ours, since libfranka waits for one while nothing moves, and for a second where the arm is gone. Errors of the arm are
final until a person calls `recover`: nothing here clears them by itself.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from hardware.api import Action, ActionError, ArmLost, RobotError
from hardware.arm import ArmState
from hardware.drivers.franka_connect import check_kinematics, in_time, translate, vendor
from hardware.drivers.franka_hand import FrankaHand
from hardware.model import ArmModel, load_arm

JUMP = 0.02
"""Furthest that the first setpoint may be from the measured pose [rad]."""
READ = 0.004
"""Between readings of the arm's state [s]."""
EASE = 0.1
"""After so long without a setpoint the arm is asked to stand at the last one [s]."""
STILL = 0.02
"""An arm slower than this stands [rad/s]."""
NEAR = 0.1
"""A waypoint nearer than this is where a stop ends [rad]."""
BRAKING = 6.0
"""Of the fastest joint in a stop [rad/s^2]; the slowest of the arm's joints may do 7.5."""
SETTLE = 0.5
"""Longest that the arm may take to stand after its reference does [s]."""
READY = {"Idle", "Move"}
"""Modes of the arm in which it may be driven."""
HINTS = {
    "Reflex": "look what it hit, then recover(), or clear it in Desk",
    "UserStopped": "release the user stop",
    "Guiding": "let go of its guiding button",
    "Other": "unlock the joints and activate FCI in Desk",
    "AutomaticErrorRecovery": "wait for its recovery",
}


@dataclass(frozen=True)
class Franka:
    """A Franka arm with its hand."""

    address: str = "172.16.0.2"
    """Of the arm's controller."""
    model: str = "panda"
    """An arm of `hardware/arms`, or the path of such a file."""
    control: str = "impedance"
    """"impedance": compliant, our stiffness; "waypoints": stiff, the arm's own joint controller, 0.03 rad behind at 1 rad/s."""
    stiffness: tuple[float, ...] = (600.0, 600.0, 600.0, 600.0, 250.0, 150.0, 50.0)
    """Of impedance control, (7,) [N m/rad]; damping is critical."""
    collision_torque: tuple[float, ...] = (20.0, 20.0, 18.0, 18.0, 16.0, 14.0, 12.0)
    """External joint torques beyond which the arm itself stops, (7,) [N m]."""
    collision_force: tuple[float, ...] = (20.0, 20.0, 20.0, 25.0, 25.0, 25.0)
    """External forces [N] and torques [N m] at the tool beyond which the arm itself stops, (6,)."""
    gripper: bool = True
    """Whether there is a Franka Hand."""
    gripper_speed: float = 0.1
    """[m/s], 0.01 to 0.1."""
    gripper_force: float = 20.0
    """With which the hand holds [N], 1 to 70."""
    realtime: str = "enforce"
    """"enforce": refuse to run without a real-time kernel; "ignore": simulators."""
    silence: float | None = None
    """Longest time without a measurement before the arm counts as lost [s]; by default 0.08, and 0.45 with realtime=ignore."""
    timeout: float = 5.0
    """Longest that connecting may take [s]."""

    def __post_init__(self) -> None:
        if self.control not in ("impedance", "waypoints"):
            raise RobotError(f"robot=franka: control {self.control!r}; known: impedance, waypoints")
        if self.realtime not in ("enforce", "ignore"):
            raise RobotError(f"robot=franka: realtime {self.realtime!r}; known: enforce, ignore")
        for name, length in (("stiffness", 7), ("collision_torque", 7), ("collision_force", 6)):
            values = getattr(self, name)
            if len(values) != length or not all(0 < value < 1e4 for value in values):
                raise RobotError(f"robot=franka: {name} is {values}; give {length} values above 0")
        ranges = {"gripper_speed": (0.01, 0.1), "gripper_force": (1, 70), "silence": (0.02, 1), "timeout": (0.5, 60)}
        for name, (least, most) in ranges.items():
            if getattr(self, name) is not None and not least <= getattr(self, name) <= most:
                raise RobotError(f"robot=franka: {name} is {getattr(self, name)}; it may be {least} to {most}")

    @property
    def arm(self) -> ArmModel:
        """Its joints, limits and shape. Raises RobotError where it has not seven joints."""
        return self._arm

    @cached_property
    def _arm(self) -> ArmModel:
        arm = load_arm(self.model)
        if len(arm.joints) != 7:
            raise RobotError(f"robot=franka: arm {arm.name!r} has {len(arm.joints)} joints; a Franka arm has 7")
        return arm if self.gripper else replace(arm, gripper=0)

    @property
    def patience(self) -> float:
        """How long the arm may be silent [s]."""
        return self.silence or (0.08 if self.realtime == "enforce" else 0.45)

    @property
    def servo_hz(self) -> float:
        """Setpoints a second [Hz]: with twice as many the following error falls from 12 to 8 mrad at 1 rad/s."""
        return 100.0

    def connect(self) -> FrankaLink:
        """Opens the connection, sets collision thresholds; moves nothing. Raises RobotError: what is missing or refused."""
        arm, franky = self.arm, vendor()
        robot, hand = in_time(self.address, self.timeout, lambda: self._open(franky))
        try:
            state = robot.state
            mode = state.robot_mode.name
            if mode not in READY:
                raise RobotError(f"{self.address}: the arm is in mode {mode}, errors {state.current_errors!r}; {HINTS.get(mode, '')}")
            check_kinematics(self.address, arm, state)
            robot.set_collision_behavior(list(self.collision_torque), list(self.collision_force))
            jaw = FrankaHand(self.address, hand, self.gripper_speed, self.gripper_force) if hand is not None else None
        except RobotError:
            raise
        except Exception as error:
            raise translate(self.address, error) from error
        return FrankaLink(self, franky, robot, jaw)

    def _open(self, franky: Any) -> tuple[Any, Any]:
        realtime = franky.RealtimeConfig.Enforce if self.realtime == "enforce" else franky.RealtimeConfig.Ignore
        robot = franky.Robot(self.address, realtime_config=realtime)
        return robot, franky.Gripper(self.address) if self.gripper else None


@dataclass(frozen=True)
class _Measured:
    """What the arm said last."""

    qpos: np.ndarray
    qvel: np.ndarray
    effort: np.ndarray
    time: float
    mode: str
    errors: str


class FrankaLink:
    """A connected Franka arm: see `hardware.arm.Link`; beyond it, `recover`."""

    def __init__(self, driver: Franka, franky: Any, robot: Any, hand: FrankaHand | None) -> None:
        """Of a connected `franky.Robot`. Begins to read its state."""
        self.driver, self.hand = driver, hand
        self._franky = franky
        self._robot: Any = robot
        self._limit = np.array([joint.velocity for joint in driver.arm.joints])
        self._lock = threading.RLock()  # of the motion; re-entrant, since a signal may stop the arm in the middle of `send`
        self._motion: Any = None
        self._aim = self._speed = np.zeros(7)
        """Of the last setpoint [rad], [rad/s]."""
        self._sent_at = 0.0
        self._fault: RobotError | None = None
        self._stopping = False
        self._closing = threading.Event()
        self._stamp = -1
        self._newest = self._look()
        self._reader = threading.Thread(target=self._read, name="franka state", daemon=True)
        self._reader.start()

    def state(self) -> ArmState:
        """The newest measurement, at most 4 ms old. Raises RobotError where the arm is at fault, ArmLost where it is gone."""
        newest = self._check()
        gripper = np.array([self.hand.opening()]) if self.hand else np.zeros(0)
        return ArmState(newest.qpos, newest.qvel, newest.effort, gripper, newest.time)

    def send(self, setpoint: Action) -> None:
        """The setpoint of this servo period; the first takes control of the arm at its measured pose. Raises RobotError."""
        qpos, m = np.array(setpoint.qpos, float), self.driver.arm.gripper
        if qpos.shape != (7,) or setpoint.gripper.shape != (m,):
            raise ActionError(f"a setpoint of this arm has shapes (7,) and ({m},), got {qpos.shape} and {setpoint.gripper.shape}")
        if not (np.isfinite(qpos).all() and np.isfinite(setpoint.gripper).all()):
            raise ActionError(f"a setpoint must be finite, got qpos {qpos} and gripper {setpoint.gripper}")
        self._check()
        if self._stopping or not self._lock.acquire(timeout=0.05):
            raise RobotError(f"{self.driver.address}: the arm is coming to rest; send again when stop() has returned")
        try:
            if self._motion is None:
                self._begin(qpos)
            elif not self._robot.is_in_control:
                self._ended()
            self._target(qpos)
        except RobotError:
            raise
        except Exception as error:
            self._fault = translate(self.driver.address, error)
            raise self._fault from error
        finally:
            self._lock.release()
        if self.hand:
            self.hand.go(float(setpoint.gripper[0]))

    def stop(self) -> None:
        """Brakes, and hands the arm over to its own controller, which holds it. The hand stands; what it holds stays held."""
        self._stopping = True
        try:
            if self.hand:
                self.hand.rest(0.0)  # both at once
            with self._lock:
                if self._motion is not None:
                    self._brake()
                if self.hand:
                    self.hand.rest()
        finally:
            self._stopping = False

    def recover(self) -> None:
        """Clears the arm's errors: only for a person who has seen why it stopped. Raises RobotError where it stays at fault."""
        self.stop()
        if self._closing.is_set():
            self._check()
        try:
            self._robot.recover_from_errors()
        except Exception as error:
            raise translate(self.driver.address, error) from error
        if self.hand:
            self.hand.recover()
        deadline = time.monotonic() + 1.0
        while self._newest.mode not in READY and time.monotonic() < deadline:
            time.sleep(READ)
        self._fault = None
        self._check()

    def close(self) -> None:
        """Stops, and gives the connection back."""
        if self._closing.is_set():
            return
        self.stop()
        self._closing.set()
        self._reader.join(2.0)  # a reading of a lost arm takes a second
        if self.hand:
            self.hand.close()
        self._robot = None  # nothing else disconnects

    def _check(self) -> _Measured:
        newest, address = self._newest, self.driver.address
        if self._closing.is_set():
            raise ArmLost(f"{address}: this link is closed; connect again")
        age = time.monotonic() - newest.time
        if age > self.driver.patience:
            raise ArmLost(f"{address}: the arm has not measured itself for {age:.2f} s: power, network, or another program has it")
        if self._fault is not None:
            raise type(self._fault)(str(self._fault))
        if newest.mode not in READY:
            raise RobotError(f"{address}: the arm is in mode {newest.mode}, errors {newest.errors}; {HINTS.get(newest.mode, '')}")
        return newest

    def _look(self) -> _Measured:
        state = self._robot.state
        stamp = state.time.to_msec()
        if stamp == self._stamp:
            return self._newest
        self._stamp = stamp
        return _Measured(state.q, state.dq, state.tau_ext_hat_filtered, time.monotonic(), state.robot_mode.name, repr(state.current_errors))

    def _read(self) -> None:
        while not self._closing.wait(READ):
            try:
                self._newest = self._look()
            except Exception:  # a lost arm, in many words; `_check` says for how long
                time.sleep(READ)
            if self._motion is not None and time.monotonic() - self._sent_at > EASE:
                self._ease()

    def _begin(self, qpos: np.ndarray) -> None:
        measured = self._newest.qpos
        jump = float(np.abs(qpos - measured).max())
        if jump > JUMP:
            raise ActionError(f"the first setpoint is {jump:.3f} rad away from where the arm is; begin at the measured pose")
        self._aim, self._speed, self._sent_at = qpos, np.zeros(7), time.monotonic()  # no speed where there was no setpoint before
        if self.driver.control == "impedance":
            motion = self._franky.JointImpedanceTrackingMotion(stiffness=np.array(self.driver.stiffness))
            motion.set_reference(self._franky.JointReference(q=measured))
            self._robot.move(motion, asynchronous=True)
            self._motion = motion
        else:
            self._motion = self._waypoint(measured)

    def _target(self, qpos: np.ndarray) -> None:
        if self.driver.control == "impedance":
            # With the speed of the setpoints, damping acts on the difference: without, the arm is 0.1 rad behind at 1 rad/s.
            self._speed = np.clip((qpos - self._aim) * self.driver.servo_hz, -self._limit, self._limit)
            self._motion.set_reference(self._franky.JointReference(q=qpos, dq=self._speed))
        else:
            self._motion = self._waypoint(qpos)
        self._aim, self._sent_at = qpos, time.monotonic()

    def _waypoint(self, qpos: np.ndarray) -> Any:
        # Each comes to rest at its target unless the next replaces it: an arm whose setpoints end brakes by itself.
        motion = self._franky.JointMotion(qpos, return_when_finished=False)
        self._robot.move(motion, asynchronous=True)
        return motion

    def _ease(self) -> None:
        """No setpoint comes: the last one stays, at rest."""
        if self.driver.control == "impedance" and self._lock.acquire(blocking=False):
            try:
                if self._motion is not None:
                    self._speed = np.zeros(7)
                    self._motion.set_reference(self._franky.JointReference(q=self._aim))
                    self._sent_at = float("inf")
            finally:
                self._lock.release()

    def _ended(self) -> None:
        """The motion is over, though nobody stopped it. Raises RobotError with the arm's words."""
        self._motion = None
        try:
            self._robot.poll_motion()
            self._fault = RobotError(f"{self.driver.address}: the arm ended the motion by itself")
        except Exception as error:
            self._fault = translate(self.driver.address, error)
        raise self._fault

    def _brake(self) -> None:
        """Never raises: what goes wrong is kept as the fault."""
        motion, self._motion = self._motion, None
        try:
            if self._robot.is_in_control:
                if self.driver.control == "impedance":
                    self._slow_down(motion)
                    self._robot.move(self._franky.TorqueStopMotion(max_duration=0.5), asynchronous=True)
                elif np.abs(self._aim - self._newest.qpos).max() < NEAR:
                    self._robot.move(self._franky.JointMotion(self._aim), asynchronous=True)  # JointStopMotion would swing back
                else:
                    self._robot.move(self._franky.JointStopMotion(), asynchronous=True)
            if not self._robot.join_motion(2.0) and time.monotonic() - self._newest.time < self.driver.patience:
                self._robot.stop()  # only while the arm answers: this call waits for it
        except Exception as error:
            self._fault = self._fault or translate(self.driver.address, error)

    def _slow_down(self, motion: Any) -> None:
        """The reference comes to rest at BRAKING, then the arm does: one that stopped at once would be overshot by 0.07 rad."""
        qpos, speed = self._aim, self._speed
        began, duration = time.monotonic(), float(np.abs(speed).max()) / BRAKING
        while (t := time.monotonic() - began) < duration + SETTLE and time.monotonic() - self._newest.time < self.driver.patience:
            left = max(0.0, 1 - t / duration) if duration else 0.0
            passed = min(t, duration)
            way = speed * passed * (1 - passed / (2 * duration)) if duration else 0.0
            motion.set_reference(self._franky.JointReference(q=qpos + way, dq=speed * left))
            if not left and np.abs(self._newest.qvel).max() < STILL:
                return
            time.sleep(READ)
