"""A leader arm through LeRobot's Teleoperator interface: moved by hand, followed joint by joint.

LeRobot names joints, counts degrees and opens grippers from 0 to 100; that is converted here and nowhere else. Its bus may take an answer
that did not come for 0: `hardware.jog` does not follow what is far from the arm.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import pkgutil
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from hardware.api import RobotError
from hardware.jog import Control, JointTargets
from hardware.model import load_arm

_STALE = 0.2
"""A leader that has said nothing for this long is not followed [s]; for ten times as long, it is gone."""


@dataclass(frozen=True)
class Leader:
    """A leader arm that LeRobot knows by its `kind`."""

    address: str = "/dev/ttyACM1"
    """Serial port."""
    kind: str = "so101_leader"
    """As `lerobot --teleop.type`."""
    id: str = "leader"
    """As `lerobot --teleop.id`: names the calibration file."""
    model: str = "so101"
    """Arm of `hardware/arms` whose joints it moves, named as LeRobot names them."""
    calibration: str = ""
    """Folder of calibration files; empty: LeRobot's own."""
    gripper: str = "gripper"
    """Name of the jaw."""
    gripper_range: tuple[float, float] = (0.0, 100.0)
    """The jaw closed and open."""

    @property
    def help(self) -> str:
        """How it is used."""
        return "move the leader to where the arm is: the arm then follows it"

    def open(self) -> Control:
        """Connects; the leader is limp. Raises RobotError: no LeRobot, no such kind, no calibration, nothing there, other joints."""
        device = _make(self)
        names = [f"{joint.name}.pos" for joint in load_arm(self.model).joints] + [f"{self.gripper}.pos"]
        if missing := [name for name in names if name not in device.action_features]:
            raise RobotError(f"{self.kind} has no {', '.join(missing)}: it is no leader of {self.model}; give device.model another arm")
        if not Path(device.calibration_fpath).is_file():
            raise RobotError(f"no calibration {device.calibration_fpath}; make it with: {self._calibrate()}")
        try:
            device.connect(calibrate=False)
            if not device.is_calibrated:
                raise RobotError(f"the servos at {self.address} hold another calibration; renew it: {self._calibrate()}")
            return _Follower(self, device, names)
        except BaseException as error:
            _disconnect(device)
            if isinstance(error, Exception) and not isinstance(error, RobotError):
                raise RobotError(f"the leader at {self.address} does not connect: {' '.join(str(error).split())[:200]}") from error
            raise

    def _calibrate(self) -> str:
        where = f" --teleop.calibration_dir={self.calibration}" if self.calibration else ""
        return f"lerobot-calibrate --teleop.type={self.kind} --teleop.port={self.address} --teleop.id={self.id}{where}"


class _Follower:
    """A connected leader; a thread asks it, for a serial bus takes its time."""

    def __init__(self, leader: Leader, device: Any, names: list[str]) -> None:
        self._leader, self._device, self._names = leader, device, names
        self._trouble = ""
        self._newest = self._ask()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"leader {leader.address}", daemon=True)
        self._thread.start()

    def read(self, now: float) -> JointTargets:
        """The newest pose, live where it is young. Raises RobotError where the leader is gone."""
        then, values = self._newest
        age = time.monotonic() - then  # the device's clock, not the caller's: it may be a simulated one
        if age > 10 * _STALE:
            raise RobotError(f"the leader at {self._leader.address} has said nothing for {age:.1f} s: {self._trouble or 'no answer'}")
        closed, opened = self._leader.gripper_range
        qpos = np.array([values[name] for name in self._names[:-1]], float) * math.pi / 180
        gripper = np.array([(values[self._names[-1]] - closed) / (opened - closed)], float)
        if not (np.isfinite(qpos).all() and np.isfinite(gripper).all()):
            raise RobotError(f"the leader at {self._leader.address} measures {dict(values)}, not finite numbers")
        return JointTargets(qpos, np.clip(gripper, 0.0, 1.0), live=age < _STALE)

    def close(self) -> None:
        """Gives the port back; the leader stays limp."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(3.0)
        _disconnect(self._device)

    def _ask(self) -> tuple[float, Mapping[str, float]]:
        then = time.monotonic()
        return then, dict(self._device.get_action())

    def _run(self) -> None:
        while not self._closing.wait(0.01):
            try:
                self._newest = self._ask()
            except Exception as error:  # whatever a vendor's bus raises: the pose grows old, and `read` says so
                self._trouble = " ".join(str(error).split())[:200]


def _make(leader: Leader) -> Any:
    """LeRobot's device, not connected. Raises RobotError."""
    try:
        teleoperators = importlib.import_module("lerobot.teleoperators")
        factory = importlib.import_module("lerobot.teleoperators.utils").make_teleoperator_from_config
    except ImportError as error:
        raise RobotError("teleop=leader needs lerobot with Feetech support: pip install 'lerobot[feetech]'") from error
    registry = teleoperators.TeleoperatorConfig
    packages = [module.name for module in pkgutil.iter_modules(teleoperators.__path__) if module.ispkg]
    for name in sorted(packages, key=lambda name: not leader.kind.startswith(name.split("_")[0])):  # the likeliest first
        if leader.kind in registry.get_known_choices():
            break
        with contextlib.suppress(ImportError):  # of another vendor, not installed
            importlib.import_module(f"lerobot.teleoperators.{name}")
    if leader.kind not in registry.get_known_choices():
        raise RobotError(f"LeRobot knows no leader {leader.kind!r}; known: {', '.join(sorted(registry.get_known_choices()))}")
    wanted = registry.get_choice_class(leader.kind)
    given = {"id": leader.id, "port": leader.address, "use_degrees": True}
    given["calibration_dir"] = Path(leader.calibration) if leader.calibration else None
    known = {f.name for f in fields(wanted)}
    if not {"port", "use_degrees"} <= known:
        raise RobotError(f"{leader.kind} is not a leader at a port that can count degrees; it is configured by {', '.join(sorted(known))}")
    try:
        return factory(wanted(**given))
    except Exception as error:
        raise RobotError(f"LeRobot cannot make {leader.kind}: {' '.join(str(error).split())[:200]}") from error


def _disconnect(device: Any) -> None:
    with contextlib.suppress(Exception):
        if device.is_connected:
            device.disconnect()
