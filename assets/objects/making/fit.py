"""How well convex pieces stand for a surface: rays from six sides, at what is seen and at what is touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
import trimesh

from assets.graspable import CONTACT, VISUAL

RAYS = 48
"""Along a side of the grid of rays of one direction."""
TOLERANCE, SHARE = 0.002, 0.02
"""Rays agree that end this close to each other, measured square to the surface: the larger of metres and a share of the object's size."""
_FAR = 100.0
"""Rays start this far away, all at one point, so that they are as good as parallel [m]."""


@dataclass(frozen=True)
class Fit:
    """How many of the rays that meet the surface or a piece end at the same place."""

    sides: tuple[float, ...]
    """Share of them from +x, -x, +y, -y, +z and -z."""

    @property
    def worst(self) -> float:
        """The least of them; from below, where an object stands, half as many would do."""
        return min(*self.sides[:5], (1 + self.sides[5]) / 2)


def fit(mesh: trimesh.Trimesh, hulls: Sequence[trimesh.Trimesh]) -> Fit:
    """Compares the pieces with the surface that they stand for."""
    spec = mujoco.MjSpec()
    for k, (shape, group) in enumerate([(mesh, VISUAL), *((hull, CONTACT) for hull in hulls)]):
        kind = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL if group == VISUAL else mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX
        spec.add_mesh(name=str(k), uservert=shape.vertices.ravel(), userface=shape.faces.ravel(), inertia=kind)
        spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=str(k), group=group, contype=0, conaffinity=0)
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    low, high = mesh.bounds
    near = max(TOLERANCE, SHARE * float(mesh.extents.max()))
    sides = []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        targets = np.zeros((RAYS, RAYS, 3))
        targets[..., u] = _between(low[u], high[u])[:, None]
        targets[..., v] = _between(low[v], high[v])[None]
        targets[..., axis] = (low[axis] + high[axis]) / 2
        for sign in (1, -1):
            eye = (low + high) / 2
            eye[axis] += sign * _FAR
            seen, slant = _cast(model, data, eye, targets.reshape(-1, 3), VISUAL)
            touched, _ = _cast(model, data, eye, targets.reshape(-1, 3), CONTACT)
            both, meet = np.isfinite(seen) & np.isfinite(touched), np.isfinite(seen) | np.isfinite(touched)
            apart = np.full(len(seen), np.inf)
            apart[both] = np.abs(seen[both] - touched[both]) * slant[both]
            sides.append(float((apart[meet] <= near).mean()) if meet.any() else 0.0)
    return Fit(tuple(sides))


def _between(low: float, high: float) -> np.ndarray:
    return low + (np.arange(RAYS) + 0.5) / RAYS * (high - low)


def _cast(model: mujoco.MjModel, data: mujoco.MjData, eye: np.ndarray, targets: np.ndarray, group: int) -> tuple[np.ndarray, np.ndarray]:
    """Rays from one point towards others (n, 3), at what is of a group.

    Returns the distances (n,) [m], infinity where nothing is, and by how much each surface faces its ray (n,), from 0 to 1.
    """
    rays = targets - eye
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    groups = np.zeros(6, np.uint8)
    groups[group] = 1
    geom, distance, normal = np.empty(len(rays), np.int32), np.empty(len(rays)), np.zeros((len(rays), 3))
    mujoco.mj_multiRay(model, data, eye, rays.ravel(), groups, 1, -1, geom, distance, normal.reshape(-1), len(rays), 1e10)
    return np.where(geom >= 0, distance, np.inf), np.abs((normal * rays).sum(axis=1))
