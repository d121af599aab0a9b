"""A world of one dimension for tests of evaluation: the gripper's height decides, physics takes no time."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from assets.graspable import Graspable
from hardware.api import Action, ActionChunk, Observation
from sim.errors import PlacementError


@dataclass(frozen=True)
class Thing:
    """Nothing can be seen of it but its name."""

    name: str
    upright: bool = True

    def spec(self) -> Any:
        raise NotImplementedError


def things(n: int) -> tuple[Thing, ...]:
    return tuple(Thing(f"thing_{k}") for k in range(n))


@dataclass
class Lift:
    """A robot whose first joint is a height [m]; closed below 5 mm it holds the object. `script` bends the rules by object name."""

    item: Graspable
    dt: float = 0.05
    height: float = 0.3
    z: float = 0.02
    tilt: float = 0.0
    held: bool = False
    hardness: float = 0.0
    sent: list[Action] = field(default_factory=list)
    stopped: bool = False

    def __enter__(self) -> Lift:
        if self.item.name == "explosive":
            os._exit(9)
        if self.item.name == "impossible":
            raise RuntimeError("does not compile")
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def connect(self) -> None:
        pass

    def place(self, xy: np.ndarray, rng: np.random.Generator) -> None:
        if self.item.name == "ball" and xy[0] > 0:
            raise PlacementError("rolled away")
        self.height, self.z, self.tilt, self.held, self.stopped = 0.3, 0.02, 0.0, False, False
        self.hardness = rng.random()
        self.sent = []

    def observe(self) -> Observation:
        return Observation({}, {}, np.array([self.height, self.hardness]), np.ones(1), 0.0)

    def command(self, action: Action) -> Action:
        assert np.isfinite(action.qpos).all()
        self.sent.append(action)
        self.height = float(action.qpos[0])
        if action.gripper[0] > 0.5:
            self.held, self.z = False, 0.02
        elif self.height < 0.005:
            self.held = True
        if self.item.name == "slippery" and self.z > 0.08:
            self.held, self.z = False, 0.02
        elif self.held:
            self.z = 0.02 + self.height
        if self.item.name == "wobbly" and self.height < 0.1:
            self.tilt = np.pi / 2
        if self.item.name == "edge" and self.height < 0.1:
            self.z = -0.6
        return action

    def stop(self) -> None:
        self.stopped = True

    @property
    def grip_pose(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array([0.5, 0.0, self.height]), np.eye(3)

    @property
    def force(self) -> float:
        return 7.0 if self.held else 0.0

    @property
    def object_pose(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array([0.5, 0.0, self.z]), np.array([np.cos(self.tilt / 2), np.sin(self.tilt / 2), 0.0, 0.0])


@dataclass
class Reach:
    """Goes down, closes, goes up to `top`; with `skill` below 1 it misses the hard placements."""

    skill: float = 1.0
    top: float = 0.2
    closes: bool = True
    nan_at: int | None = None
    t: int = 0

    def reset(self, instruction: str) -> None:
        self.t = 0

    def predict(self, observation: Observation) -> ActionChunk:
        steps = np.arange(self.t, self.t + 4)
        bottom = 0.0 if observation.qpos[1] <= self.skill else 0.02
        heights = np.where(steps < 8, 0.3 - 0.3 * steps / 8, np.where(steps < 10, bottom, self.top))
        if self.nan_at is not None:
            heights = np.where(steps >= self.nan_at, np.nan, heights)
        grip = np.where((steps >= 9) & self.closes, 0.0, 1.0)
        self.t += 4
        return ActionChunk(np.stack([heights, np.zeros(4)], 1), grip[:, None])


def skilled() -> Reach:
    return Reach()


def clumsy() -> Reach:
    return Reach(skill=0.5)
