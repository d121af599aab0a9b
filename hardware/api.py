"""The vocabulary that simulated robots, physical robots and policies share.

Units and layouts, everywhere: pictures RGB uint8 (H, W, 3) with row 0 on top; angles [rad]; lengths [m];
time [s] from a monotonic clock; gripper 0 closed to 1 open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class RobotError(Exception):
    """A robot cannot do what was asked: not connected, a camera silent, a command refused."""


class ArmLost(RobotError):
    """The connection to an arm is gone."""


class SegmenterError(RobotError):
    """A target cannot be found or followed: the prompt shows nothing, or a model is missing."""


class ActionError(RobotError):
    """An action that must not reach a robot: not finite, or of the wrong shape."""


@dataclass(frozen=True)
class Observation:
    """What a robot senses at one moment."""

    images: Mapping[str, np.ndarray]
    """Pictures by camera name, each (H, W, 3) uint8."""
    masks: Mapping[str, np.ndarray]
    """Pixels of the target by camera name, each (H, W) bool; all False where it is not seen."""
    qpos: np.ndarray
    """Joint positions of the arm, (n,) [rad]."""
    gripper: np.ndarray
    """Opening of the gripper, (m,) in [0, 1]; m = 1 for a jaw, the number of actuated joints for a hand."""
    time: float
    """When it was sensed [s, monotonic]."""


@dataclass(frozen=True)
class Action:
    """One command: absolute joint targets."""

    qpos: np.ndarray
    """Joint targets of the arm, (n,) [rad]."""
    gripper: np.ndarray
    """Targets of the gripper, (m,), 0 closed to 1 open."""

    def __post_init__(self) -> None:
        if self.qpos.ndim != 1 or self.gripper.ndim != 1:
            raise ActionError(f"an action is two vectors, got shapes {self.qpos.shape} and {self.gripper.shape}")
        if not (np.isfinite(self.qpos).all() and np.isfinite(self.gripper).all()):
            raise ActionError(f"an action must be finite, got qpos {self.qpos} and gripper {self.gripper}")


@dataclass(frozen=True)
class ActionChunk:
    """The next T actions of a policy, one control period apart. May hold anything: Action refuses what is not finite."""

    qpos: np.ndarray
    """Joint targets, (T, n) [rad]."""
    gripper: np.ndarray
    """Gripper targets, (T, m), 0 closed to 1 open."""

    def __len__(self) -> int:
        return len(self.qpos)

    def __getitem__(self, t: int) -> Action:
        """The action of step t. Raises ActionError where it is not finite."""
        return Action(self.qpos[t], self.gripper[t])


class Robot(Protocol):
    """An arm with a gripper and cameras, simulated or physical."""

    def connect(self) -> None:
        """Opens the devices; moves nothing. Raises RobotError."""
        ...

    def observe(self) -> Observation:
        """What is sensed now. Raises RobotError rather than filling a field with a stand-in."""
        ...

    def command(self, action: Action) -> Action:
        """Sends an action for the next control period and returns what was sent after limits."""
        ...

    def stop(self) -> None:
        """Comes to rest; idempotent, from any state."""
        ...


class Policy(Protocol):
    """Turns what is seen into what to do next."""

    def reset(self, instruction: str) -> None:
        """Starts a new trial."""
        ...

    def predict(self, observation: Observation) -> ActionChunk:
        """The next actions, the first of them for now."""
        ...
