"""Arms that LeRobot drives, through its Robot interface: SO-101 first.

LeRobot names joints ("shoulder_pan.pos"), counts degrees and opens grippers from 0 to 100; `_Units` is the one place that knows. Three of
its habits are unsafe for an arm that may be holding itself up, and are not used. Its connect lets go of all servos to configure them,
then gives them torque while their goal registers still point to wherever the last program left them: here servos that hold are not let
go, and limp ones get their present position as the goal first. Its bus throws away the status byte of measurements, so an overload goes
unseen, and fills a position that did not come with 0: here one packet asks each servo for everything from position to current, and an
answer that is not whole counts as none. And its disconnect drops the arm; here it goes on holding unless told otherwise.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hardware.api import Action, ArmLost, RobotError
from hardware.arm import ArmState, Link
from hardware.drivers.lerobot_ports import Port, open_port, translated
from hardware.model import ArmModel, load_arm

SLACK = 0.2
"""How far beyond its limits a joint may be measured, or sent, before the units or the calibration are in doubt [rad]."""
SAG = 0.05
"""A servo that steers by proportion carries weight by an error; a stop keeps up to this much of it, or the arm would sink [rad]."""
WINDOW = 4
"""Measurements that a velocity is taken from: LeRobot gives positions alone."""


@dataclass(frozen=True)
class LeRobotArm:
    """An arm that LeRobot knows by its `kind`."""

    address: str = "/dev/ttyACM0"
    """Serial port, or whatever the kind's configuration calls port, remote_ip, ip_address or robot_ip."""
    kind: str = "so101_follower"
    """As `lerobot --robot.type`."""
    id: str = "so101"
    """As `lerobot --robot.id`: names the calibration file."""
    model: str = "so101"
    """An arm of `hardware/arms`, its joints named as LeRobot names them."""
    calibration: Path | str = ""
    """Folder of calibration files; empty: LeRobot's own."""
    servo_hz: float = 50.0
    """Setpoints and measurements a second [Hz]."""
    unit: str = "deg"
    """What the kind measures joints in: "deg" or "rad"."""
    gripper: str = "gripper"
    """Name of the jaw."""
    gripper_range: tuple[float, float] = (0.0, 100.0)
    """The jaw closed and open, in the kind's unit."""
    stall_current: float = 2.7
    """Of a Feetech servo [A]: makes its current a share of the joint's greatest torque. 2.7 for the STS3215 at 12 V."""
    hold_on_close: bool = True
    """Keep torque when the connection is given back; False lets go: put the arm down first, a limp SO-101 falls."""
    silence: float = 0.05
    """Longest time without a whole answer before a Feetech arm counts as lost [s]."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the kind's configuration."""

    def __post_init__(self) -> None:
        if self.unit not in ("deg", "rad"):
            raise RobotError(f"unit={self.unit!r}; known: deg, rad")
        if self.servo_hz <= 0 or self.stall_current <= 0 or self.silence <= 0:
            raise RobotError(f"servo_hz={self.servo_hz}, stall_current={self.stall_current}, silence={self.silence} must be above zero")
        if self.gripper_range[0] == self.gripper_range[1]:
            raise RobotError(f"gripper_range={self.gripper_range}: closed and open are the same")

    @property
    def arm(self) -> ArmModel:
        """Its joints, limits and shape."""
        return self._arm

    @cached_property
    def _arm(self) -> ArmModel:
        return load_arm(self.model)

    def connect(self) -> Link:
        """Opens the connection; moves nothing. A limp arm gets torque where it lies.

        Raises:
            RobotError: no such kind, other joints, another unit, no calibration or that of another arm, a servo missing or at fault.
        """
        units = _Units(self)
        robot, port = open_port(self)
        units.check_names(robot)
        try:
            port.open()
            units.check_values(port.read()[1], port.proven)
            return _Link(self, units, port, port.engage())
        except BaseException as error:
            port.close()
            if isinstance(error, Exception):
                raise translated(error, self) from error
            raise


class _Units:
    """Between LeRobot's names and units and ours."""

    def __init__(self, driver: LeRobotArm) -> None:
        self.driver, self.arm = driver, driver.arm
        self.names = [joint.name for joint in self.arm.joints]
        self.scale = math.pi / 180 if driver.unit == "deg" else 1.0
        if self.arm.gripper != 1:
            raise RobotError(f"arm {self.arm.name} has {self.arm.gripper} gripper values; LeRobot's arms have one jaw")

    def measured(self, values: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
        """Joint positions (n,) [rad] and opening (1,), from values by joint. Raises RobotError where one is missing or not finite."""
        missing = [name for name in (*self.names, self.driver.gripper) if name not in values]
        if missing:
            raise RobotError(f"{self.driver.kind} measured nothing of {', '.join(missing)}")
        closed, opened = self.driver.gripper_range
        qpos = np.array([values[name] for name in self.names], float) * self.scale
        gripper = np.array([(values[self.driver.gripper] - closed) / (opened - closed)], float)
        if not (np.isfinite(qpos).all() and np.isfinite(gripper).all()):
            raise RobotError(f"{self.driver.kind} measured {dict(values)}, not finite numbers")
        return qpos, gripper

    def asked(self, setpoint: Action) -> dict[str, float]:
        """Values by joint. Raises RobotError for a setpoint that must not reach the arm."""
        if setpoint.qpos.shape != (len(self.names),) or setpoint.gripper.shape != (1,):
            raise RobotError(
                f"a setpoint of {setpoint.qpos.shape} and {setpoint.gripper.shape}; {self.arm.name} takes ({len(self.names)},) and (1,)"
            )
        if not (np.isfinite(setpoint.qpos).all() and np.isfinite(setpoint.gripper).all()):
            raise RobotError(f"a setpoint of qpos {setpoint.qpos}, gripper {setpoint.gripper} is not finite; nothing was sent")
        self._within(setpoint.qpos, "asked for", "degrees given for radians?")
        closed, opened = self.driver.gripper_range
        values = {name: float(q / self.scale) for name, q in zip(self.names, setpoint.qpos, strict=True)}
        return {**values, self.driver.gripper: closed + float(np.clip(setpoint.gripper[0], 0, 1)) * (opened - closed)}

    def check_names(self, robot: Any) -> None:
        """Raises RobotError unless the robot has the model's joints and no others."""
        ours = {f"{name}.pos" for name in (*self.names, self.driver.gripper)}
        theirs = set(robot.action_features)
        if ours != theirs or not ours <= set(robot.observation_features):
            missing, more = ", ".join(sorted(ours - theirs)) or "none", ", ".join(sorted(theirs - ours)) or "none"
            raise RobotError(
                f"{self.driver.kind} is no {self.arm.name}: it lacks {missing}, and has besides {more}; give model= another arm"
            )

    def check_values(self, values: Mapping[str, float], proven: bool) -> None:
        """Raises RobotError where a first measurement looks like another unit's, or another arm's."""
        qpos, _ = self.measured(values)
        if self.driver.unit == "rad":
            self._within(qpos, "measures", 'degrees? Give unit="deg"')
            return
        # All joints within 3.2 degrees of zero: hardly ever a pose, and nearly every pose of an arm that counts radians.
        if not proven and np.abs(qpos).max() < math.radians(3.2):
            raise RobotError(f'{self.driver.kind} measures {dict(values)}: radians? Give unit="rad", or move the arm away from its zero')
        self._within(qpos, "measures", "is this the calibration of this arm?")

    def _within(self, qpos: np.ndarray, verb: str, doubt: str) -> None:
        beyond = np.maximum(self.arm.lower - qpos, qpos - self.arm.upper)
        if beyond.max() > SLACK:
            joint = self.arm.joints[int(beyond.argmax())]
            at = qpos[int(beyond.argmax())]
            raise RobotError(f"{joint.name} {verb} {at:.2f} rad, its limits are {joint.lower:.2f} to {joint.upper:.2f}: {doubt}")


class _Link:
    """A connected arm: one thread talks to it, for a serial bus takes one question at a time."""

    def __init__(self, driver: LeRobotArm, units: _Units, port: Port, goals: Mapping[str, float]) -> None:
        self._driver, self._units, self._port = driver, units, port
        self._goal = Action(*units.measured(goals))
        self._changed = threading.Condition()
        self._wanted: tuple[Action, dict[str, float]] | None = None
        self._closing = False
        self._trouble: RobotError | None = None
        self._samples: deque[tuple[float, np.ndarray]] = deque(maxlen=WINDOW)
        self._newest: ArmState | None = None
        self._read()
        time.sleep(1 / driver.servo_hz)
        self._read()
        self.state()
        self._thread = threading.Thread(target=self._run, name=f"lerobot {driver.address}", daemon=True)
        self._thread.start()

    def state(self) -> ArmState:
        """The newest measurement."""
        with self._changed:
            if self._trouble is not None:
                raise self._trouble.with_traceback(None)  # raised again and again: it must not grow
            if self._newest is None or self._closing:
                raise ArmLost(f"{self._driver.kind} at {self._driver.address} is closed")
            return self._newest

    def send(self, setpoint: Action) -> None:
        """Hands the setpoint to the thread, which sends it at once."""
        values = self._units.asked(setpoint)
        with self._changed:
            if self._trouble is not None:
                raise self._trouble.with_traceback(None)
            if self._closing:
                raise ArmLost(f"{self._driver.kind} at {self._driver.address} is closed")
            self._wanted = Action(setpoint.qpos.copy(), setpoint.gripper.copy()), values
            self._changed.notify_all()

    def stop(self) -> None:
        """Holds the measured pose, and the jaw's goal: a held object stays held. The next setpoint moves again."""
        with self._changed:
            if self._newest is not None and not self._closing:
                at, goal = self._newest.qpos, self._goal
                pose = np.clip(at + np.clip(goal.qpos - at, -SAG, SAG), self._driver.arm.lower, self._driver.arm.upper)
                held = Action(pose, goal.gripper)
                self._wanted = held, self._units.asked(held)
                self._changed.notify_all()

    def close(self) -> None:
        """Stops, and gives the port back; torque stays on unless `hold_on_close` is off."""
        self.stop()
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(2.0)

    def _run(self) -> None:
        period = 1 / self._driver.servo_hz
        due = time.monotonic() + period
        try:
            while self._pass_on(due):
                now = time.monotonic()
                if now >= due:
                    due = max(due + period, now)
                    self._read()
        except Exception as error:
            with self._changed:
                self._trouble = translated(error, self._driver)
        finally:
            self._port.close()

    def _pass_on(self, due: float) -> bool:
        """Waits for a setpoint until `due` and sends it; False once closed and nothing is left to send."""
        with self._changed:
            self._changed.wait_for(lambda: self._wanted is not None or self._closing, max(0.0, due - time.monotonic()))
            wanted, self._wanted = self._wanted, None
            if wanted is not None:
                self._goal = wanted[0]
            elif self._closing:
                return False
        if wanted is not None:
            self._port.write(wanted[1])
        return True

    def _read(self) -> None:
        try:
            then, positions, efforts = self._port.read()
        except ArmLost:
            raise
        except RobotError as error:  # the arm's own fault: it is still there, may be told to hold, and may recover
            with self._changed:
                self._trouble = error
            return
        qpos, gripper = self._units.measured(positions)
        effort = np.array([efforts[name] for name in self._units.names])
        self._samples.append((then, qpos))
        first, last = self._samples[0], self._samples[-1]
        qvel = (last[1] - first[1]) / max(last[0] - first[0], 1e-6)
        with self._changed:
            self._trouble, self._newest = None, ArmState(qpos, qvel, effort, gripper, then)
