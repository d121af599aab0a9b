"""A toy: one to five parts in one colour."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import mujoco
import numpy as np

from assets.errors import ToyError
from assets.toys.part import Part

COLOURS = {
    "red": (0.85, 0.15, 0.12, 1.0),
    "green": (0.15, 0.60, 0.20, 1.0),
    "blue": (0.15, 0.30, 0.85, 1.0),
    "yellow": (0.95, 0.80, 0.10, 1.0),
}
"""RGBA by name."""

MOST_PARTS = 5


@dataclass(frozen=True)
class Toy:
    """One to five primitives merged into one solid."""

    parts: tuple[Part, ...]
    """Each later part has its centroid inside the one before it: for a ring, inside its wall, not its hole."""
    colour: str = "red"
    density: float = 400.0
    """Of the solid [kg/m3]."""
    name: str = "toy"

    def __post_init__(self) -> None:
        if not isinstance(self.parts, tuple) or not 1 <= len(self.parts) <= MOST_PARTS:
            given = len(self.parts) if isinstance(self.parts, tuple) else repr(self.parts)[:40]
            raise ToyError(f"a toy has 1 to {MOST_PARTS} parts, got {given}")
        if self.colour not in COLOURS:
            raise ToyError(f"unknown colour {self.colour!r}; known: {', '.join(COLOURS)}")
        if not math.isfinite(self.density) or not 10 <= self.density <= 5000:
            raise ToyError(f"density={self.density} kg/m3; it lies between 10 and 5000")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}", self.name):
            raise ToyError(f"name={self.name[:90]!r}; letters, digits, '_', '.' and '-' are safe in file names")
        for i, (last, part) in enumerate(zip(self.parts, self.parts[1:], strict=False), start=1):
            if last.distance(np.asarray(part.pos)) >= 0:
                raise ToyError(f"the centroid of part {i} lies outside part {i - 1}")

    @property
    def upright(self) -> bool:
        """A toy may lie on any side."""
        return False

    def spec(self) -> mujoco.MjSpec:
        """The toy for MuJoCo: see assets.graspable."""
        from assets.toys.mjcf import toy_spec

        return toy_spec(self)

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Signed distance to the solid [m], negative inside: (..., 3) -> (...). Its sign is exact."""
        return np.min([part.distance(points) for part in self.parts], axis=0)

    def extents(self) -> np.ndarray:
        """Size of the axis-aligned box around the toy, (3,) [m]."""
        axes = np.eye(3)
        return np.array([max(p.reach(a) for p in self.parts) + max(p.reach(-a) for p in self.parts) for a in axes])
