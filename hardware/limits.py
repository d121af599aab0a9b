"""What an arm is held to: on unless a field is named otherwise, and printed before anything moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hardware.api import RobotError
from hardware.model import ArmModel

OLDEST = 15.0
"""Picture that any action may answer to, however slow the arm is [s]: in this time the world may have changed."""


@dataclass(frozen=True)
class Workspace:
    """Where the arm and its gripper may be, in the base's frame [m]."""

    lower: tuple[float, float, float] = (-0.3, -0.6, -0.008)
    """Least x, y, z of any part that moves; for a table at z = 0 with what the shape's capsules stand out below the fingertips."""
    upper: tuple[float, float, float] = (0.9, 0.6, 1.2)

    def __post_init__(self) -> None:
        if not all(np.isfinite([*self.lower, *self.upper])) or not all(a < b for a, b in zip(self.lower, self.upper, strict=True)):
            raise RobotError(f"workspace from {self.lower} to {self.upper} m is empty; each lower bound must lie below its upper one")


@dataclass(frozen=True)
class Limits:
    """All that `hardware.safety` enforces on one arm."""

    arm: ArmModel
    speed: float = 0.1
    """Share of the data sheet's velocity, acceleration and jerk; braking has all of the acceleration and jerk."""
    margin: float = 0.02
    """Kept from every joint limit [rad]."""
    workspace: Workspace = Workspace()
    inside: float = 0.003
    """Targets outside the workspace by less than `reach` are brought this far into it [m]."""
    reach: float = 0.05
    """[m]"""
    clearance: float = 0.01
    """Between parts of the arm that must not touch [m]."""
    jump: float = 0.6
    """Furthest that one action may be from the setpoint, any joint [rad]."""
    following: float = 0.1
    """Furthest that the arm may be from its setpoint at rest, any joint [rad]."""
    lag: float = 0.12
    """Time by which it may trail a moving setpoint besides, at the greatest speed [s]."""
    contact: float = 0.35
    """External torque over the joint's greatest that counts as contact."""
    contact_time: float = 0.05
    """Time that it must last [s]."""
    observation_age: float = 1.0
    """Oldest picture that an action may answer to, at full speed; slower arms may look back further, in proportion [s]."""
    action_age: float = 0.25
    """Longest that an action is pursued when no other comes, at full speed; slower arms wait longer, in proportion [s]."""
    state_age: float = 0.1
    """Oldest measurement [s]."""
    heartbeat: float = 0.3
    """Longest that the control loop may be silent [s]."""
    blocked_time: float = 2.0
    """Longest that nothing is asked but what is forbidden [s]."""
    gripper_speed: float = 4.0
    """Of a gripper's full range a second [1/s]."""

    def __post_init__(self) -> None:
        if not 0 < self.speed <= 1:
            raise RobotError(f"speed={self.speed} must be above 0 and at most 1")
        for name in ("margin", "clearance", "inside", "reach"):
            if not 0 <= getattr(self, name) < 0.5:
                raise RobotError(f"{name}={getattr(self, name)} must be at least 0 and below 0.5")
        for name in (
            *("jump", "following", "lag", "contact", "contact_time", "observation_age", "action_age"),
            *("state_age", "heartbeat", "blocked_time", "gripper_speed"),
        ):
            if not 0 < getattr(self, name) < np.inf:
                raise RobotError(f"{name}={getattr(self, name)} must be above zero and finite")
        if (self.lower >= self.upper).any():
            raise RobotError(f"margin={self.margin} rad leaves no room between the joint limits of {self.arm.name}")

    @cached_property
    def lower(self) -> np.ndarray:
        """Least joint setpoints, (n,) [rad]."""
        return self.arm.lower + self.margin

    @cached_property
    def upper(self) -> np.ndarray:
        """Greatest joint setpoints, (n,) [rad]."""
        return self.arm.upper - self.margin

    @cached_property
    def velocity(self) -> np.ndarray:
        """Greatest joint speeds of setpoints, (n,) [rad/s]."""
        return np.array([joint.velocity for joint in self.arm.joints]) * self.speed

    @cached_property
    def acceleration(self) -> np.ndarray:
        """Greatest accelerations towards a target, (n,) [rad/s^2]."""
        return self.full_acceleration * self.speed

    @cached_property
    def jerk(self) -> np.ndarray:
        """Greatest jerks towards a target, (n,) [rad/s^3]."""
        return self.full_jerk * self.speed

    @cached_property
    def full_acceleration(self) -> np.ndarray:
        """Greatest accelerations of braking, (n,) [rad/s^2]."""
        return np.array([joint.acceleration for joint in self.arm.joints])

    @cached_property
    def full_jerk(self) -> np.ndarray:
        """Greatest jerks of braking, (n,) [rad/s^3]."""
        return np.array([joint.jerk for joint in self.arm.joints])

    @cached_property
    def effort(self) -> np.ndarray:
        """External torques that count as contact, (n,) [N m]."""
        return np.array([joint.effort for joint in self.arm.joints]) * self.contact

    @cached_property
    def error(self) -> np.ndarray:
        """Furthest that the arm may be from its setpoint, (n,) [rad]."""
        return self.following + self.lag * self.velocity

    @property
    def oldest_picture(self) -> float:
        """That an action may answer to [s]."""
        return min(self.observation_age / self.speed, OLDEST)

    def lines(self) -> Iterator[str]:
        """What is in force, for people, one line a limit."""
        yield f"arm {self.arm.name}: {len(self.arm.joints)} joints, speed {self.speed:.0%} of the data sheet"
        yield "joint           from      to [rad]   rad/s   rad/s2    rad/s3   contact N m"
        for i, joint in enumerate(self.arm.joints):
            yield (
                f"{joint.name:22.22} {self.lower[i]:+.2f} {self.upper[i]:+.2f} {self.velocity[i]:8.2f} {self.acceleration[i]:8.2f}"
                f" {self.jerk[i]:9.1f} {self.effort[i]:9.1f}"
            )
        low, high = self.workspace.lower, self.workspace.upper
        sides = ", ".join(f"{axis} {a:+.3f} to {b:+.3f}" for axis, a, b in zip("xyz", low, high, strict=True))
        yield f"workspace {sides} m in the base's frame; parts of the arm stay {self.clearance * 1000:.0f} mm apart"
        least, most = self.error.min(), self.error.max()
        yield f"the arm may trail its setpoint by {least:.2f} to {most:.2f} rad, an action may ask for {self.jump} rad at once"
        picture, action = self.oldest_picture, self.action_age / self.speed
        yield (
            f"stops for a picture of {picture:.2g} s ago, an action of {action:.2g} s, a measurement of {self.state_age} s, "
            f"a loop silent for {self.heartbeat} s, forbidden motion asked for during {self.blocked_time} s"
        )
