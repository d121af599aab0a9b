"""What a robot knows of itself: its arm and where its cameras stand. Made from the arm alone: there is no object in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from scipy.ndimage import binary_dilation

from assets.graspable import VISUAL
from sim.camera import SIDE, WRIST, Camera
from sim.ik import InverseKinematics
from sim.path import Router
from sim.robots import GRIP, PANDA

_COARSE = 64
"""Rays a side of a picture that look for the robot itself."""


@dataclass(frozen=True)
class View:
    """A mask, where it was taken from, and where in it the robot may be in the way."""

    pos: np.ndarray
    """Of the camera, in the robot's base frame, (3,) [m]."""
    axes: np.ndarray
    """Of the camera as columns: right, down, forward, (3, 3)."""
    intrinsics: np.ndarray
    """(3, 3) [px]."""
    mask: np.ndarray
    """Where the object is seen, (H, W) bool."""
    known: np.ndarray
    """Where a pixel outside the mask means that there is no object, (H, W) bool."""

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Flat pixel indices (N,) of points (N, 3) [m], and which of them the picture shows, (N,) bool; others have index 0."""
        seen = (points - self.pos) @ self.axes
        depth = np.maximum(seen[:, 2], 1e-6)
        focal, middle = self.intrinsics[0, 0], self.intrinsics[0, 2]
        column, row = (np.floor(focal * seen[:, k] / depth + middle).astype(np.intp) for k in (0, 1))
        height, width = self.mask.shape
        shown = (seen[:, 2] > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        return np.where(shown, row * width + column, 0), shown


class Rig:
    """Kinematics of the arm and calibration of its cameras."""

    def __init__(self, cameras: Sequence[Camera] = (SIDE, WRIST), *, lift: float) -> None:
        spec = PANDA.spec()
        for camera in cameras:
            camera.add_to(spec)
        model = self._model = spec.compile()
        self._data = mujoco.MjData(model)
        self._joints = np.array([model.joint(name).qposadr[0] for name in PANDA.joints])
        self._fingers = np.array([model.joint(name).qposadr[0] for name in PANDA.hand.joints])
        self._groups = np.zeros(6, np.uint8)
        self._groups[VISUAL] = 1
        self._own: dict[str, np.ndarray] = {}
        self.cameras = {camera.name: camera for camera in cameras}
        self.home = np.array(PANDA.home)
        self.router = Router(InverseKinematics(model, PANDA.joints, PANDA.home), PANDA, lift=lift)

    def grip_pose(self, qpos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) [m] and rotation (3, 3) of the point between the finger pads at joint positions (n,) [rad]."""
        self._move(qpos)
        site = self._model.site(GRIP).id
        return self._data.site_xpos[site].copy(), self._data.site_xmat[site].reshape(3, 3).copy()

    def view(self, name: str, mask: np.ndarray, qpos: np.ndarray) -> View:
        """The mask of a camera, taken while the arm was at joint positions (n,) [rad] with its jaw open."""
        self._move(qpos)
        camera, k = self.cameras[name], self._model.camera(name).id
        axes = self._data.cam_xmat[k].reshape(3, 3) * [1, -1, -1]  # MuJoCo's cameras look backwards, and up is up
        own = self._own.get(name)
        if own is None:
            own = self._robot_in(k, axes, camera.intrinsics(_COARSE), near=camera.body != "world")
            if camera.body != "world":
                self._own[name] = own  # what moves with the camera always looks the same
        fine = np.arange(len(mask)) * _COARSE // len(mask)
        return View(self._data.cam_xpos[k].copy(), axes.copy(), camera.intrinsics(len(mask)), mask, ~own[np.ix_(fine, fine)])

    def _move(self, qpos: np.ndarray) -> None:
        self._data.qpos[self._joints] = qpos
        self._data.qpos[self._fingers] = PANDA.hand.positions(PANDA.hand.ready)
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)

    def _robot_in(self, camera: int, axes: np.ndarray, intrinsics: np.ndarray, *, near: bool) -> np.ndarray:
        """Where the robot is in the way of its own camera, and just beside, (_COARSE, _COARSE) bool."""
        pixel = (np.arange(_COARSE) + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
        x, y = np.meshgrid(pixel, pixel)
        rays = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3) @ axes.T
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        model, data, eye = self._model, self._data, self._data.cam_xpos[camera]
        geom, distance = np.full(len(rays), -1, np.int32), np.empty(len(rays))
        if near:  # all at once, MuJoCo overlooks what the camera is close to
            for k, ray in enumerate(rays):
                mujoco.mj_ray(model, data, eye, ray, self._groups, 1, -1, geom[k : k + 1], None)
        else:
            mujoco.mj_multiRay(model, data, eye, rays.ravel(), self._groups, 1, -1, geom, distance, None, len(rays), 1e10)
        return binary_dilation((geom >= 0).reshape(_COARSE, _COARSE), np.ones((3, 3)))
