"""One primitive of a toy: a frozen value and its exact geometry."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from assets.errors import ToyError

SHAPES = {
    "sphere": ("radius",),
    "cuboid": ("half x", "half y", "half z"),
    "cylinder": ("radius", "half height"),
    "ring": ("outer radius", "half height", "wall"),
}
"""Sizes of each shape, in this order [m]. The axis of a cylinder or ring is its z; a ring is an open band, not a torus."""

SMALLEST, LARGEST = 0.001, 0.3
"""Bounds of any size [m]: thinner does not print, larger does not fit on the table."""


@dataclass(frozen=True)
class Part:
    """A primitive somewhere in the frame of its toy."""

    shape: str
    size: tuple[float, ...]
    """Half sizes [m]: see SHAPES."""
    pos: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Centroid [m]."""
    quat: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    """Rotation, wxyz; of any length: it is normalised where it is used, so that rounded digits can be stored."""

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ToyError(f"unknown shape {self.shape!r}; known: {', '.join(SHAPES)}")
        names = SHAPES[self.shape]
        for field, n in (("size", len(names)), ("pos", 3), ("quat", 4)):
            values = getattr(self, field)
            if not isinstance(values, tuple) or len(values) != n or not all(type(v) is float and math.isfinite(v) for v in values):
                raise ToyError(f"{field}={values!r} of a {self.shape}; it takes {n} finite numbers")
        for name, value in zip(names, self.size, strict=True):
            if not SMALLEST <= value <= LARGEST:
                raise ToyError(f"{name} of a {self.shape} is {value} m; it lies between {SMALLEST} and {LARGEST} m")
        if self.shape == "ring" and self.size[2] >= self.size[0]:
            raise ToyError(f"a ring with wall {self.size[2]} m and radius {self.size[0]} m has no hole")
        if max(map(abs, self.pos)) > 2 * LARGEST:
            raise ToyError(f"pos={self.pos} m; parts lie within {2 * LARGEST} m of the toy's origin")
        if not 0.1 <= math.hypot(*self.quat) <= 10:
            raise ToyError(f"quat={self.quat} is no rotation; a length near 1 is expected")

    @cached_property
    def rotation(self) -> np.ndarray:
        """toy_from_part, (3, 3)."""
        w, x, y, z = np.asarray(self.quat) / math.sqrt(sum(v * v for v in self.quat))
        rows = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
        return np.array(rows)

    @property
    def box(self) -> tuple[float, float, float]:
        """Half sizes of the box around the part in its own frame [m]."""
        if self.shape == "sphere":
            return self.size[0], self.size[0], self.size[0]
        if self.shape == "cuboid":
            return self.size[0], self.size[1], self.size[2]
        return self.size[0], self.size[0], self.size[1]

    @property
    def volume(self) -> float:
        """[m3]"""
        if self.shape == "sphere":
            return 4 / 3 * math.pi * self.size[0] ** 3
        if self.shape == "cuboid":
            return 8 * math.prod(self.size)
        radius, half = self.size[:2]
        inner = radius - self.size[2] if self.shape == "ring" else 0.0
        return math.pi * (radius**2 - inner**2) * 2 * half

    def reach(self, direction: np.ndarray) -> float:
        """How far the part extends from the toy's origin along a unit vector [m]."""
        d = direction @ self.rotation
        if self.shape == "sphere":
            own = self.size[0]
        elif self.shape == "cuboid":
            own = float(np.abs(d) @ self.size)
        else:
            own = self.size[0] * math.hypot(d[0], d[1]) + self.size[1] * abs(float(d[2]))
        return own + float(direction @ self.pos)

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Signed distance to the surface, negative inside: (..., 3) -> (...). Exact inside, a lower bound outside."""
        local = (points - self.pos) @ self.rotation
        return _DISTANCE[self.shape](local, self.size)

    def normals(self, points: np.ndarray) -> np.ndarray:
        """Outward normals of the surface nearest to points on it, (..., 3)."""
        local = (points - self.pos) @ self.rotation
        return _NORMALS[self.shape](local, self.size) @ self.rotation.T

    def chords(self, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Where lines run inside, (n, 2, 2): two stretches (enter, leave) [m along the line]; (inf, -inf) where there is none."""
        o = (origins - self.pos) @ self.rotation
        d = directions @ self.rotation
        none = np.stack([np.full(len(o), np.inf), np.full(len(o), -np.inf)], -1)
        if self.shape == "sphere":
            return np.stack([_through_round(o, d, self.size[0]), none], 1)
        if self.shape == "cuboid":
            return np.stack([_through_slabs(o, d, np.asarray(self.size)), none], 1)
        caps = _through_slabs(o[:, 2:], d[:, 2:], np.asarray(self.size[1:2]))
        outer = _both(caps, _through_round(o[:, :2], d[:, :2], self.size[0]))
        if self.shape == "cylinder":
            return np.stack([outer, none], 1)
        hole = _through_round(o[:, :2], d[:, :2], self.size[0] - self.size[2])
        before = _both(outer, np.stack([np.full(len(o), -np.inf), hole[:, 0]], -1))
        after = _both(outer, np.stack([hole[:, 1], np.full(len(o), np.inf)], -1))
        after = np.where((hole[:, 0] > hole[:, 1])[:, None], none, after)
        return np.stack([before, after], 1)


def _through_round(o: np.ndarray, d: np.ndarray, radius: float) -> np.ndarray:
    """A line through a ball, or through an endless cylinder where o and d are (n, 2)."""
    a, b, c = (d * d).sum(-1), (o * d).sum(-1), (o * o).sum(-1) - radius**2
    parallel = a < 1e-12
    a = np.where(parallel, 1.0, a)
    root = np.sqrt(np.maximum(b * b - a * c, 0))
    hit = np.where(parallel, c < 0, b * b > a * c)
    enter = np.where(parallel, -np.inf, (-b - root) / a)
    leave = np.where(parallel, np.inf, (-b + root) / a)
    return np.stack([np.where(hit, enter, np.inf), np.where(hit, leave, -np.inf)], -1)


def _through_slabs(o: np.ndarray, d: np.ndarray, half: np.ndarray) -> np.ndarray:
    """A line through a box, (n, k) coordinates."""
    d = np.where(np.abs(d) < 1e-12, 1e-12, d)
    t = np.stack([(-half - o) / d, (half - o) / d])
    return _proper(np.stack([t.min(0).max(-1), t.max(0).min(-1)], -1))


def _both(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return _proper(np.stack([np.maximum(a[:, 0], b[:, 0]), np.minimum(a[:, 1], b[:, 1])], -1))


def _proper(stretch: np.ndarray) -> np.ndarray:
    return np.where((stretch[:, 0] < stretch[:, 1])[:, None], stretch, (np.inf, -np.inf))


def _sphere_distance(p: np.ndarray, size: tuple[float, ...]) -> np.ndarray:
    return np.sqrt((p * p).sum(-1)) - size[0]


def _cuboid_distance(p: np.ndarray, size: tuple[float, ...]) -> np.ndarray:
    return (np.abs(p) - size).max(-1)


def _cylinder_distance(p: np.ndarray, size: tuple[float, ...]) -> np.ndarray:
    return np.maximum(np.hypot(p[..., 0], p[..., 1]) - size[0], np.abs(p[..., 2]) - size[1])


def _ring_distance(p: np.ndarray, size: tuple[float, ...]) -> np.ndarray:
    middle = size[0] - size[2] / 2
    return np.maximum(np.abs(np.hypot(p[..., 0], p[..., 1]) - middle) - size[2] / 2, np.abs(p[..., 2]) - size[1])


def _sphere_normals(p: np.ndarray, size: tuple[float, ...]) -> np.ndarray:
    return p / np.maximum(np.sqrt((p * p).sum(-1, keepdims=True)), 1e-12)


def _cuboid_normals(p: np.ndarray, size: tuple[float, ...]) -> np.ndarray:
    face = np.eye(3)[(np.abs(p) - size).argmax(-1)]
    return face * np.where(p < 0, -1.0, 1.0)


def _cylinder_normals(p: np.ndarray, size: tuple[float, ...]) -> np.ndarray:
    return _turned(p, np.hypot(p[..., 0], p[..., 1]) - size[0], np.abs(p[..., 2]) - size[1], outward=True)


def _ring_normals(p: np.ndarray, size: tuple[float, ...]) -> np.ndarray:
    off = np.hypot(p[..., 0], p[..., 1]) - (size[0] - size[2] / 2)
    return _turned(p, np.abs(off) - size[2] / 2, np.abs(p[..., 2]) - size[1], outward=off > 0)


def _turned(p: np.ndarray, side: np.ndarray, cap: np.ndarray, outward: np.ndarray | bool) -> np.ndarray:
    """Normals of a turned body: of its side, or of its caps where those are nearer."""
    radial = p[..., :2] / np.maximum(np.hypot(p[..., 0], p[..., 1]), 1e-12)[..., None]
    radial = radial * np.where(outward, 1.0, -1.0)[..., None]
    on_side = (side > cap)[..., None]
    axial = np.where(p[..., 2:] < 0, -1.0, 1.0)
    return np.concatenate([np.where(on_side, radial, 0.0), np.where(on_side, 0.0, axial)], -1)


_Field = Callable[[np.ndarray, tuple[float, ...]], np.ndarray]
_DISTANCE: dict[str, _Field] = {
    "sphere": _sphere_distance,
    "cuboid": _cuboid_distance,
    "cylinder": _cylinder_distance,
    "ring": _ring_distance,
}
_NORMALS: dict[str, _Field] = {"sphere": _sphere_normals, "cuboid": _cuboid_normals, "cylinder": _cylinder_normals, "ring": _ring_normals}
