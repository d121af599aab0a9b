"""What a driver of an arm must offer: a frozen value that connects, and the link that it gives.

A driver is a frozen dataclass whose fields are addresses and settings. Constructing it does nothing; `connect` imports the
vendor's package, opens the connection, checks that the arm is the one that it names, and moves nothing. All that moves goes through
the link, and what goes through the link has passed `hardware.safety`, which runs at the driver's servo rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from hardware.api import Action
from hardware.model import ArmModel


@dataclass(frozen=True)
class ArmState:
    """What an arm measures of itself at one moment."""

    qpos: np.ndarray
    """Joint positions, (n,) [rad]."""
    qvel: np.ndarray
    """Joint velocities, (n,) [rad/s]."""
    effort: np.ndarray
    """External joint torques, (n,) [N m]; where an arm estimates none, motor current over its greatest times the joint's effort."""
    gripper: np.ndarray
    """Opening, (m,), 0 closed to 1 open."""
    time: float
    """When it was measured [s, monotonic]."""


class Link(Protocol):
    """A connected arm, safe for several threads. Every method may raise RobotError; `stop` and `close` never do."""

    def state(self) -> ArmState:
        """The newest measurement, without waiting. Raises RobotError where the arm reports a fault or is gone: never a stand-in."""
        ...

    def send(self, setpoint: Action) -> None:
        """The setpoint of this servo period; returns at once. Raises RobotError where the arm refuses it."""
        ...

    def stop(self) -> None:
        """Comes to rest by the vendor's own means and holds; idempotent, from any state, from any thread."""
        ...

    def close(self) -> None:
        """Stops, and gives the connection back; idempotent."""
        ...


@runtime_checkable
class Recoverable(Protocol):
    """A link whose arm can be told, by a person, to forget a fault of its own."""

    def recover(self) -> object:
        """Clears the arm's errors. Raises RobotError where it stays at fault."""
        ...


class Driver(Protocol):
    """An arm that can be connected to."""

    @property
    def arm(self) -> ArmModel:
        """Its joints, limits and shape."""
        ...

    @property
    def servo_hz(self) -> float:
        """How often `Link.send` wants to be called [Hz]."""
        ...

    def connect(self) -> Link:
        """Opens the connection; moves nothing. Raises RobotError: what is missing or refused, and what would do."""
        ...
