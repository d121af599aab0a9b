"""LeRobot's Robot over a session: what LeRobot sends passes the safety filter, and what was sent comes back."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from lerobot.cameras import CameraConfig
from lerobot.cameras.utils import make_cameras_from_configs
from lerobot.robots import Robot, RobotConfig
from lerobot.utils.decorators import check_if_already_connected, check_if_not_connected

from hardware.api import Action, RobotError
from hardware.catalogue import find_robot, open_driver
from hardware.limits import Limits
from hardware.model import ArmModel, load_arm

if TYPE_CHECKING:
    from hardware.arm import Driver
    from hardware.session import Session

PAUSE = 0.2
"""LeRobot saves episodes and loads policies between actions; after so long without one the arm comes to rest and waits [s]."""
SIMULATED = {"state_age": 0.5, "heartbeat": 1.0, "contact": 1.0}
"""Limits of a simulated world: a busy machine is no fault there, and a stiff servo no contact."""

logger = logging.getLogger(__name__)


@RobotConfig.register_subclass("cezanne")
@dataclass
class CezanneConfig(RobotConfig):
    """`--robot.type=cezanne`."""

    driver: str = "sim"
    """A name of `cezanne robots`; "sim" is a Panda with a toy on a table, and its cameras."""
    address: str = ""
    """Of the arm; empty: the driver's own."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Further fields of the driver."""
    speed: float = 0.1
    """Share of the data sheet's speeds."""
    limits: dict[str, float] = field(default_factory=dict)
    """Fields of `hardware.limits.Limits` that are to be other than by default."""
    use_degrees: bool = False
    """False: joints in rad, gripper 0 closed to 1 open; True: degrees and 0 to 100, as LeRobot's leader arms send them."""
    cameras: dict[str, CameraConfig] = field(default_factory=dict)
    """LeRobot's own; the simulated world brings "side" and "wrist"."""
    seed: int = 0
    """Of the toy in the simulated world."""


class Cezanne(Robot):
    """An arm of Cezanne's."""

    config_class = CezanneConfig
    name = "cezanne"
    _arm: Session

    def __init__(self, config: CezanneConfig) -> None:
        super().__init__(config)
        self.config = config
        self.cameras = make_cameras_from_configs(config.cameras)
        if find_robot(config.driver).simulated and (config.driver != "sim" or self.cameras):
            raise RobotError(f"driver={config.driver}: of the simulated worlds LeRobot gets sim alone, with that world's own cameras")
        self._open: contextlib.ExitStack | None = None
        self._pictures: dict[str, Callable[[], np.ndarray]] = {}
        self._acted = threading.Condition()

    # --- what it is, connected or not

    @cached_property
    def model(self) -> ArmModel:
        """Joints and limits of the arm."""
        if self.config.driver == "sim":
            return load_arm("panda")
        return open_driver(self.config.driver, self.config.address, self.config.settings).arm

    @cached_property
    def action_features(self) -> dict[str, type]:
        """`JOINT.pos` for every joint, and `gripper.pos`."""
        return {f"{name}.pos": float for name in self._names}

    @cached_property
    def observation_features(self) -> dict[str, type | tuple[int, int, int]]:
        """The same, and every camera's picture."""
        if self.config.driver == "sim":
            return {**self.action_features, **dict.fromkeys(("side", "wrist"), (128, 128, 3))}
        return {**self.action_features, **{name: (int(c.height or 0), int(c.width or 0), 3) for name, c in self.config.cameras.items()}}

    @cached_property
    def _names(self) -> list[str]:
        m = self.model.gripper
        return [*(joint.name for joint in self.model.joints), *(["gripper"] if m == 1 else [f"gripper_{i}" for i in range(m)])]

    @property
    def is_connected(self) -> bool:
        """Whether there is a session."""
        return self._open is not None

    @property
    def is_calibrated(self) -> bool:
        """The driver has seen to that."""
        return True

    def calibrate(self) -> None:
        """Nothing to do."""

    def configure(self) -> None:
        """Nothing to do."""

    # --- in use

    @check_if_already_connected
    def connect(self, calibrate: bool = True) -> None:
        """Opens the session, says its limits, moves nothing. Raises RobotError."""
        from hardware.session import session

        self._pictures = {}
        with contextlib.ExitStack() as stack:
            driver, plain = self._driver(stack)
            limits = Limits(driver.arm, speed=self.config.speed, **{**plain, **self._changes()})
            for line in limits.lines():
                logger.info(line)
            arm = self._arm = stack.enter_context(session(driver, limits=limits))
            self._observed, self._last = arm.state().time, time.monotonic()
            for name, camera in self.cameras.items():
                camera.connect()
                stack.callback(camera.disconnect)
                self._pictures[name] = camera.read_latest
            ended = threading.Event()
            thread = threading.Thread(target=self._pauses, args=(arm, ended), name="cezanne pauses", daemon=True)
            stack.callback(thread.join)
            stack.callback(ended.set)
            thread.start()
            self._open = stack.pop_all()

    @check_if_not_connected
    def get_observation(self) -> dict[str, Any]:
        """Measured joints and gripper, and the newest pictures. Raises RobotError where the arm is gone."""
        state = self._arm.state()
        self._observed = state.time
        return {**self._told(state.qpos, state.gripper), **{name: take() for name, take in self._pictures.items()}}

    @check_if_not_connected
    def send_action(self, action: dict[str, Any]) -> dict[str, float]:
        """Offers an action to the filter; returns the setpoint that went to the arm last. Raises RobotError once it was stopped."""
        if set(action) != set(self.action_features):
            missing, strange = set(self.action_features) - set(action), set(action) - set(self.action_features)
            raise RobotError(f"an action must name every joint and nothing else; missing: {sorted(missing)}, not known: {sorted(strange)}")
        values = np.array([float(action[name]) for name in self.action_features])
        n = len(self.model.joints)
        asked = Action(values[:n] * self._scale, values[n:] / self._full)
        with self._acted:
            self._last = time.monotonic()
            sent = self._arm.offer(asked, self._observed)
        if (stop := self._arm.stopped) is not None:
            raise RobotError(f"stopped, {stop.reason}: {stop.detail}; look at the arm, then connect again")
        return self._told(sent.qpos, sent.gripper)

    @check_if_not_connected
    def disconnect(self) -> None:
        """Comes to rest and gives the arm back."""
        stack, self._open = self._open, None
        if stack is not None:
            stack.close()

    # --- inside

    @property
    def _scale(self) -> float:
        return np.pi / 180 if self.config.use_degrees else 1.0

    @property
    def _full(self) -> float:
        return 100.0 if self.config.use_degrees else 1.0

    def _told(self, qpos: np.ndarray, gripper: np.ndarray) -> dict[str, float]:
        values = np.concatenate([qpos / self._scale, gripper * self._full])
        return dict(zip(self.action_features, map(float, values), strict=True))

    def _changes(self) -> dict[str, Any]:
        known = {f.name for f in fields(Limits)} - {"arm", "speed", "workspace"}
        strange = sorted(set(self.config.limits) - known)
        if strange:
            raise RobotError(f"limits.{strange[0]} is not known; known: {', '.join(sorted(known))}")
        return {name: float(value) for name, value in self.config.limits.items()}

    def _driver(self, stack: contextlib.ExitStack) -> tuple[Driver, dict[str, Any]]:
        if self.config.driver != "sim":
            return open_driver(self.config.driver, self.config.address, self.config.settings), {}
        from assets.toys import ToySet
        from sim.live import LiveWorld
        from sim.scene import SceneConfig

        world = stack.enter_context(LiveWorld(SceneConfig(ToySet.sample(self.config.seed, 1).toys[0])))
        for camera in world.cameras():
            stream = camera.open()
            stack.callback(stream.close)
            self._pictures[camera.name] = lambda stream=stream: stream.latest().image
        return world, SIMULATED

    def _pauses(self, arm: Session, ended: threading.Event) -> None:
        """Rests the arm where LeRobot does something else for a while; a hung LeRobot is no reason for a stop that a person must clear."""
        while not ended.wait(PAUSE / 4):
            with self._acted:
                if time.monotonic() - self._last > PAUSE:
                    arm.hold()
