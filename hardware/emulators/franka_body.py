"""How an emulated Franka moves: rigid links with friction, and a hand whose fingers keep their speed until something is between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from hardware.emulators.franka_memory import MAX_WIDTH

VISCOUS = 0.21
"""Friction of a joint that grows with its speed [N m s/rad]."""
DRY = np.array([1.1, 1.1, 1.1, 1.1, 0.8, 0.4, 0.25])
"""Friction of the joints that does not, (7,) [N m]."""
ROTOR = np.array([0.195, 0.195, 0.195, 0.195, 0.074, 0.074, 0.074])
"""Inertia of the motors behind their gears, (7,) [kg m^2]."""
HAND_SPEED = 0.1
"""Greatest speed at which the opening changes [m/s]."""


class Links(Protocol):
    """The masses of an arm; vectors are (7,)."""

    def forward(self, qpos: np.ndarray, qvel: np.ndarray, torque: np.ndarray) -> np.ndarray:
        """Accelerations [rad/s^2] from torques [N m], weight and rotation included."""
        ...

    def inverse(self, qpos: np.ndarray, qvel: np.ndarray, acceleration: np.ndarray) -> np.ndarray:
        """Torques [N m] beyond the arm's weight that give these accelerations [rad/s^2]."""
        ...

    def inertia(self, qpos: np.ndarray) -> np.ndarray:
        """What each joint alone would move [kg m^2]."""
        ...


@dataclass
class FrankaBody:
    """The state of an arm with its hand, one step after the other."""

    qpos: np.ndarray
    """(7,) [rad]"""
    lower: np.ndarray
    """Hard stops, (7,) [rad]."""
    upper: np.ndarray
    links: Links
    width: float = MAX_WIDTH
    """Opening of the hand [m]."""
    drive: float = MAX_WIDTH
    """What the opening would be with nothing between the fingers [m]."""
    qvel: np.ndarray = field(default_factory=lambda: np.zeros(7))
    """(7,) [rad/s]"""
    torque: np.ndarray = field(default_factory=lambda: np.zeros(7))
    """Of the motors, gravity included, (7,) [N m]."""
    goal: float = MAX_WIDTH
    """Opening that the hand moves to [m]."""
    speed: float = HAND_SPEED
    """Of the opening [m/s]."""

    def step(self, dt: float, push: np.ndarray, block: float) -> None:
        """Time goes on by `dt` [s] under contact torques `push` (7,) [N m], with the fingers held apart at `block` [m]."""
        free = self.qvel + dt * self.links.forward(self.qpos, self.qvel, self.torque + push - VISCOUS * self.qvel)
        brake = dt * DRY / self.links.inertia(self.qpos)  # dry friction stops a joint, it never turns it round
        self.qvel = np.copysign(np.maximum(np.abs(free) - brake, 0), free)
        wanted = self.qpos + dt * self.qvel
        self.qpos = np.minimum(np.maximum(wanted, self.lower), self.upper)
        self.qvel[wanted != self.qpos] = 0
        reach = dt * min(self.speed, HAND_SPEED)
        if self.goal > self.drive:  # it opens from where the fingers are
            self.drive = max(self.drive, min(self.width, self.goal))
        self.drive += min(max(self.goal - self.drive, -reach), reach)
        self.width = min(max(self.drive, block, 0.0), MAX_WIDTH)
