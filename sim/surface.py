"""What an object's surface looks like from above and from between the fingers, by casting rays at it.

Works alike for toys and for meshes: MuJoCo intersects its primitives exactly and its meshes through their bounding volumes.
"""

from __future__ import annotations

import mujoco
import numpy as np

from assets.graspable import VISUAL, Graspable

_FAR = 100.0
"""Parallel rays are cast from a point this far away [m]: over 0.2 m they spread by less than half a millimetre."""


class Surface:
    """The visible surface of one object, which can be turned and moved, alone in the world."""

    def __init__(self, obj: Graspable) -> None:
        self._model = obj.spec().compile()
        self._data = mujoco.MjData(self._model)
        self._groups = np.zeros(6, np.uint8)
        self._groups[VISUAL] = 1

    def move(self, pos: np.ndarray, quat: np.ndarray) -> None:
        """Puts the object at a position (3,) [m] and rotation (4,)."""
        self._data.qpos[:3], self._data.qpos[3:7] = pos, quat
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)

    @property
    def centre_of_mass(self) -> np.ndarray:
        """(3,) [m]."""
        return self._data.xipos[self._model.body("object").id].copy()

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of an axis-aligned box that holds the surface, (3,) and (3,) [m]; may be a little too large."""
        model, data = self._model, self._data
        seen = np.flatnonzero(model.geom_group == VISUAL)
        turn = data.geom_xmat[seen].reshape(-1, 3, 3)
        centre = data.geom_xpos[seen] + np.einsum("gij,gj->gi", turn, model.geom_aabb[seen, :3])
        half = np.einsum("gij,gj->gi", np.abs(turn), model.geom_aabb[seen, 3:])
        return (centre - half).min(axis=0), (centre + half).max(axis=0)

    def heights(self, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        """Height of the surface above the table z = 0, from straight above, (len(xs), len(ys)) [m]; 0 where there is none."""
        eye = np.array([xs.mean(), ys.mean(), _FAR])
        x, y = np.meshgrid(xs, ys, indexing="ij")
        rays = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1) - eye
        length = np.linalg.norm(rays, axis=1)
        rays /= length[:, None]
        distance, geom = np.empty(len(rays)), np.empty(len(rays), np.int32)
        mujoco.mj_multiRay(self._model, self._data, eye, rays.ravel(), self._groups, 1, -1, geom, distance, None, len(rays), 1e10)
        height = eye[2] + distance * rays[:, 2]
        return np.where(geom >= 0, np.maximum(height, 0), 0).reshape(x.shape)

    def cast(self, origin: np.ndarray, direction: np.ndarray) -> tuple[float, np.ndarray]:
        """Distance [m] along a unit direction (3,) to the surface and its outward normal (3,); infinity where there is none."""
        geom, normal = np.empty(1, np.int32), np.zeros(3)
        distance = mujoco.mj_ray(self._model, self._data, origin, direction, self._groups, 1, -1, geom, normal)
        return (float(distance), normal) if geom[0] >= 0 else (np.inf, normal)
