"""A simulated robot whose sensing and acting are disturbed as a Variation says; the scene's own part is in the scene."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np

from hardware.api import Action, Observation
from sim.robots import Arm
from sim.scene import SceneConfig
from sim.simrobot import SimRobot


def open_robot(config: SceneConfig) -> SimRobot | Disturbed:
    """The robot for a scene, not yet connected: disturbed where the scene's variation asks for that."""
    robot = SimRobot(config)
    return Disturbed(robot) if config.variation.disturbs else robot


class Disturbed:
    """What a policy senses and commands goes through the disturbance; what a judge measures does not. All else is the robot's own."""

    def __init__(self, robot: SimRobot) -> None:
        self.robot = robot
        self.config: SceneConfig = robot.config
        self.dt: float = robot.dt
        self._begin()

    # --- hardware.api.Robot

    def connect(self) -> None:
        """Compiles the scene."""
        self.robot.connect()
        self._begin()

    def observe(self) -> Observation:
        """What was sensed `delay` control steps ago, with the faults of masks and pictures of that moment."""
        made = self.config.variation
        age = len(self._past)
        seen = self.robot.sensed(self._past[0]) if age else self.robot.observe()
        step = self._step - age
        masks, images = dict(seen.masks), dict(seen.images)
        for k, name in enumerate(masks):
            if made.mask is not None:
                masks[name] = made.mask.apply(masks[name], step, k)
            if made.sensor is not None:
                images[name] = made.sensor.apply(images[name], step, k)
        return replace(seen, images=images, masks=masks)

    def command(self, action: Action) -> Action:
        """Commands the action with noise on it; returns what was sent."""
        made = self.config.variation
        if made.delay:
            self._past.append(self.robot.state())
        if made.action_noise:
            noise = made.action_noise * self._rng.normal(size=len(action.qpos) + len(action.gripper))
            action = Action(action.qpos + noise[: len(action.qpos)], action.gripper + noise[len(action.qpos) :])
        self._step += 1
        return self.robot.command(action)

    def stop(self) -> None:
        """Holds the present joint positions."""
        self.robot.stop()

    def close(self) -> None:
        """Gives back what drawing took; idempotent."""
        self.robot.close()

    def __enter__(self) -> Disturbed:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what only a simulation can do

    def place(self, xy: np.ndarray, rng: np.random.Generator, *, upright: bool | None = None, start: np.ndarray | None = None) -> None:
        """Starts a trial as SimRobot does, the arm away from `start` (its home pose by default) as the variation says."""
        offset = self.config.variation.start
        if offset:
            start = np.add(self.arm.home if start is None else start, offset[: len(self.arm.joints)])
        self.robot.place(xy, rng, upright=upright, start=start)
        self._begin()

    @property
    def arm(self) -> Arm:
        """The arm of the scene."""
        return self.robot.arm

    @property
    def qpos(self) -> np.ndarray:
        """Joint positions of the arm as they are now, (n,) [rad]."""
        return self.robot.qpos

    @property
    def object_pose(self) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) [m] and quaternion (4,) of the object as they are now."""
        return self.robot.object_pose

    @property
    def grip_pose(self) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) [m] and rotation (3, 3) of the point between the finger pads as they are now."""
        return self.robot.grip_pose

    @property
    def held(self) -> bool:
        """Whether the hand touches the object from both of its sides."""
        return self.robot.held

    @property
    def force(self) -> float:
        """Sum of the normal forces where the robot touches anything but itself [N]."""
        return self.robot.force

    @property
    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest commands, joints [rad] then gripper, (n + m,) each."""
        return self.robot.limits

    def picture(self, camera: str, size: int | None = None) -> np.ndarray:
        """What one camera sees now, without delay and noise, (size, size, 3) uint8."""
        return self.robot.picture(camera, size)

    def mask(self, camera: str, size: int | None = None) -> np.ndarray:
        """Where one camera sees the object now, without faults, (size, size) bool."""
        return self.robot.mask(camera, size)

    def __getattr__(self, name: str) -> Any:
        if name == "robot":  # while being unpickled
            raise AttributeError(name)
        return getattr(self.robot, name)

    def _begin(self) -> None:
        """A new trial: nothing is past, and the noise is drawn from its beginning."""
        self._step = 0
        self._past: deque[np.ndarray] = deque(maxlen=max(1, self.config.variation.delay))
        self._rng = np.random.default_rng(self.config.variation.seed)
