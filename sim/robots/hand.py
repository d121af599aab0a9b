"""What closes on objects: a parallel jaw or a hand with fingers, as values between 0 (closed) and 1 (open)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

GRIP = "grip"
"""The site between the finger pads: z along the approach, y along the closing."""


@dataclass(frozen=True)
class Finger:
    """The room that one side of a hand takes as it comes down, seen from above: where a ray must find nothing."""

    outwards: tuple[float, ...]
    """Offsets from the inner face of its pad, away from the grip site [m]."""
    across: tuple[float, ...]
    """Offsets sideways [m]."""


@dataclass(frozen=True)
class Room:
    """The shape of a hand as the search for grasps sees it, in the frame of the grip site, ready to close."""

    opening: float
    """Between the two sides as they come down [m]."""
    tip: float
    """From the grip site to the fingertips [m]."""
    depth: float
    """From the fingertips to what is above the object, palm or knuckles, less a margin [m]."""
    fingers: tuple[Finger, Finger]
    """Of the side to which `sim.grasp.closing` points, -y of the grip site, and of the other."""
    palm: tuple[tuple[float, ...], tuple[float, ...]]
    """Offsets along the closing and across it that the palm covers [m]."""
    symmetric: bool = True
    """Whether half a turn about the approach gives the same hand."""
    pads: tuple[tuple[float, float, float], tuple[float, float, float]] = ((-0.006, 0.0, 0.006), (-0.006, 0.0, 0.006))
    """Offsets sideways at which the pads of the two sides meet an object [m]."""


@dataclass(frozen=True)
class Preshape:
    """One way in which a hand comes down."""

    ready: tuple[float, ...]
    """Its values, (m,)."""
    room: Room


@dataclass(frozen=True)
class Closing:
    """How a hand closes, one row a control step."""

    values: np.ndarray
    """What it is told, (k, m)."""
    lower: np.ndarray
    """How far the arm is below the grasp, so that the pads stay level, (k,) [m]."""


class Hand(Protocol):
    """Frozen. Values are (m,), 0 closed to 1 open, one for each motor: m = 1 for a jaw."""

    @property
    def values(self) -> tuple[str, ...]:
        """Names of the m values."""
        ...

    @property
    def actuators(self) -> tuple[str, ...]:
        """Names of the motors in the model, (a,)."""
        ...

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of all joints of the hand in the model, (k,), driven and coupled."""
        ...

    @property
    def sides(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Bodies that close from one side and from the other: an object that both touch is held."""
        ...

    @property
    def preshapes(self) -> tuple[Preshape, ...]:
        """For the search for grasps; the hand waits in the first."""
        ...

    @property
    def room(self) -> Room:
        """Of the first preshape."""
        ...

    @property
    def ready(self) -> np.ndarray:
        """Values with which it waits, (m,)."""
        ...

    def closing(self, preshape: int, width: float) -> Closing:
        """From one of the preshapes on an object of a width between the pads [m]."""
        ...

    def commands(self, values: np.ndarray) -> np.ndarray:
        """What the motors are told, (a,) [rad or m], for values (m,)."""
        ...

    def positions(self, values: np.ndarray) -> np.ndarray:
        """Where the joints are at rest in the air, (k,) [rad or m], for values (m,)."""
        ...

    def sense(self, positions: np.ndarray) -> np.ndarray:
        """The values (m,) that joints at `positions` (k,) [rad or m] show."""
        ...
