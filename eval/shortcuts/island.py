"""Two islands of data: where the object lies in each, and from where it is seen."""

from __future__ import annotations

from dataclasses import dataclass

from assets.toys import Part, Toy
from sim.camera import Camera

RED = Toy((Part("cylinder", (0.024, 0.035)),), "red", name="red-can")
BLUE = Toy((Part("cylinder", (0.024, 0.035)),), "blue", name="blue-can")
"""What is grasped: cans look and feel the same from every side, so that nothing but their place and their colour differs."""

CORNER = 0.034
"""How far the corner of the box around a can is from its axis [m]: distractors keep their distance from there."""

ASIDE = 0.12
"""The islands lie so far to the right and to the left of the middle of the workspace [m]: 27 degrees apart, seen from the base."""
SPREAD = 0.01
"""Objects lie within this distance of their place, in x and in y [m]."""
EDGE = 10.0
"""The outermost camera angles, to both sides [deg]: 20 degrees apart."""


@dataclass(frozen=True)
class Task:
    """One place of the object, and the camera angles from which its demonstrations are seen."""

    place: tuple[float, float]
    """From the middle of the workspace [m]."""
    low: float
    high: float
    """The camera is turned about the robot's base by an angle between these, another for each demonstration [deg]."""
    edge: float
    """The angle that tests see it from, and that tests of the other island borrow [deg]."""
    blue: bool = False
    """Which of two objects is meant, where there are two."""


Island = tuple[Task, ...]
"""A sub-dataset: its tasks have demonstrations in equal number."""


def island(side: int, *, low: float, high: float, edge: float, places: int = 1, blue: bool = False) -> Island:
    """Tasks on the right (side -1) or on the left (1) that share their camera angles; `places` of them along the robot's x axis."""
    return tuple(Task((x, side * ASIDE), low, high, edge, blue) for x in along(places))


def along(places: int) -> tuple[float, ...]:
    """Evenly from -0.08 to 0.08 m; one is in the middle."""
    return (0.0,) if places == 1 else tuple(round(-0.08 + 0.16 * k / (places - 1), 4) for k in range(places))


def view(fovy: float) -> Camera:
    """The camera at angle 0: in front of the robot, which it sees from the base upwards to the hand."""
    return Camera("side", (1.25, 0.0, 0.72), (0.38, 0.0, 0.10), (0, 0, 1), fovy)
