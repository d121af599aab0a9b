"""Whether a parallel jaw that comes from above finds a section to close on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from assets.toys.part import Part

FINGER = 0.008
"""Free room that a finger takes beside the section [m]."""
DEPTH = 0.040
"""How deep fingers reach around the object [m]."""
GROUND = 0.0025
"""The lowest section above the table [m]."""
_OPPOSED, _LEVEL = 0.96, 0.26  # cosines: faces opposed within 16 degrees, closing within 15 degrees of level
_FEWEST = 3  # sections that must be found

_SIDES = np.array([[0, 0, 1], [0, 0, -1], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]], dtype=float)


def graspable(parts: Sequence[Part], width: float) -> bool:
    """Whether a jaw that opens to `width` [m] can grasp the union of the parts as modelled, and on at least four of its six sides.

    A section counts where two surface points face each other at most `width` apart with solid between them, the line between them is level,
    a finger has room beside each and a free way down from above, and what lies between the fingers is no taller than they are deep.
    """
    start, out = _outside(parts)
    length = _thickness(parts, start, out)
    end = start - length[:, None] * out
    facing = np.max([np.where(abs(p.distance(end)) < 1e-6, -(p.normals(end) * out).sum(-1), -1.0) for p in parts], axis=0)
    good = (length > 1e-3) & (length <= width) & (facing > _OPPOSED)
    if good.sum() < _FEWEST:
        return False
    some = np.flatnonzero(good)
    some = some[:: max(1, len(some) // 96)]
    start, end, out = start[some], end[some], out[some]
    fingers = [start + FINGER * out, end - FINGER * out]
    free = np.logical_and(*(np.min([p.distance(f) for p in parts], axis=0) > 0 for f in fingers))
    lines = np.concatenate([*fingers, (start + end) / 2])
    graspable_sides = 0
    for i, up in enumerate(_SIDES):
        level = free & (abs(out @ up) < _LEVEL) & (np.minimum(start @ up, end @ up) > GROUND - max(p.reach(-up) for p in parts))
        if level.sum() >= _FEWEST:
            rays = lines.reshape(3, -1, 3)[:, level]
            n = rays.shape[1]
            flat = rays.reshape(-1, 3)
            above = np.max([p.chords(flat, np.broadcast_to(up, flat.shape))[..., 1].max(-1) for p in parts], axis=0).reshape(3, n)
            if ((above[0] <= 0) & (above[1] <= 0) & (above[2] <= DEPTH)).sum() >= _FEWEST:
                graspable_sides += 1
                continue
        if i == 0 or graspable_sides + len(_SIDES) - 1 - i < 4:
            return False
    return graspable_sides >= 4


def surface(part: Part) -> np.ndarray:
    """Points on the surface of a part, in the toy's frame: the same pattern for every part of its shape, (n, 3)."""
    points = _pattern(part.shape) * part.box
    if part.shape == "ring":  # rims lie in the middle of the wall
        rim = abs(points[:, 2]) >= part.size[1]
        points[rim, :2] *= 1 - part.size[2] / 2 / part.size[0]
    return points @ part.rotation.T + part.pos


def _outside(parts: Sequence[Part]) -> tuple[np.ndarray, np.ndarray]:
    """Points of the union's surface and its normals there."""
    points, normals = [], []
    for part in parts:
        p = surface(part)
        n = part.normals(p)
        seen = np.min([other.distance(p + 1e-5 * n) for other in parts], axis=0) > 0
        points.append(p[seen])
        normals.append(n[seen])
    return np.concatenate(points), np.concatenate(normals)


def _thickness(parts: Sequence[Part], start: np.ndarray, out: np.ndarray) -> np.ndarray:
    """How far the solid goes on, straight in from points on its surface, (n,) [m]."""
    runs = np.concatenate([p.chords(start, -out) for p in parts], axis=1)  # (n, 2 parts, 2)
    end = np.full(len(start), 1e-5)
    for _ in range(len(parts) + 1):
        end = np.where(runs[..., 0] <= end[:, None] + 1e-6, np.maximum(runs[..., 1], end[:, None]), end[:, None]).max(-1)
    return end


@cache
def _pattern(shape: str) -> np.ndarray:
    """Points on a unit sphere, on a cuboid of half sizes 1, or on a cylinder of radius 1 and half height 1."""
    if shape == "sphere":
        k = np.arange(96) + 0.5
        z, a = 1 - 2 * k / 96, k * np.pi * (3 - np.sqrt(5))
        return np.stack([np.sqrt(1 - z * z) * np.cos(a), np.sqrt(1 - z * z) * np.sin(a), z], -1)
    if shape == "cuboid":
        u, v = (x.ravel() for x in np.meshgrid(np.linspace(-0.94, 0.94, 6), np.linspace(-0.94, 0.94, 6)))
        ones = np.ones_like(u)
        faces = [[s * ones, u, v] for s in (-1, 1)] + [[u, s * ones, v] for s in (-1, 1)] + [[u, v, s * ones] for s in (-1, 1)]
        return np.concatenate([np.stack(f, -1) for f in faces])
    a = 2 * np.pi * (np.arange(12) + 0.25) / 12
    side = [np.stack([np.cos(a), np.sin(a), np.full(12, z)], -1) for z in np.linspace(-0.94, 0.94, 8)]
    radii = (1.0,) if shape == "ring" else (0.3, 0.65, 0.95)
    caps = [np.stack([r * np.cos(a), r * np.sin(a), np.full(12, z)], -1) for r in radii for z in (-1.0, 1.0)]
    return np.concatenate(side + caps)
