"""Pictures and masks of a model's cameras, as fast as software rendering allows: what a camera cannot see is not drawn."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from types import MappingProxyType
from typing import Any

import mujoco
import numpy as np

from assets.graspable import VISUAL
from sim import gl, watchdog
from sim.errors import SceneError

_HIDDEN = 5
"""A geom group that is never drawn."""
_SMALL = 256
"""A buffer of so many pixels a side is made first; a larger one when a larger picture is asked for."""


class Renderer:
    """Draws one model, square, at any size up to the model's offscreen buffer. Close it, or use it as a context manager."""

    stalls: Mapping[str, int] = MappingProxyType({})
    """Draws that hung, by back end: here none, since the process would be gone."""

    def __init__(self, model: mujoco.MjModel, *, shadows: bool = False) -> None:
        self._model, self._shadows = model, shadows
        self._mark = watchdog.mark()
        with self._mark:
            self._context = _context(os.getpid(), threading.get_ident())
            self._context.make_current()
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + 8)
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._scene.flags[flag] = shadows
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = 0
        self._option.geomgroup[[0, VISUAL]] = 1
        self._option.sitegroup[:] = 0
        self._option.tendongroup[:] = 0
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        buffer = model.vis.global_
        self._most = min(buffer.offwidth, buffer.offheight)
        with self._mark, _small(buffer):
            self._gl = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        self._gl.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR  # as it is kept: distances far away stay exact
        self._drawn = np.flatnonzero(np.isin(model.geom_group, (0, VISUAL)))
        self._object = model.geom_bodyid[self._drawn] == mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, "object")
        self._near, self._far = (model.stat.extent * plane for plane in (model.vis.map.znear, model.vis.map.zfar))  # [m]
        plane = model.geom_type[self._drawn] == mujoco.mjtGeom.mjGEOM_PLANE
        self._radius = np.where(plane, np.inf, model.geom_rbound[self._drawn])

    def look(self, data: mujoco.MjData, camera: str) -> None:
        """Points the renderer at the state of `data`, which must not change meanwhile, through the named camera."""
        k = self._model.camera(camera).id
        self._data, self._camera.fixedcamid = data, k
        self._seen = (data.geom_xpos[self._drawn] - data.cam_xpos[k]) @ data.cam_xmat[k].reshape(3, 3)  # right, up, backwards [m]
        self._view = np.ones_like(self._object) if self._shadows else self._in_view(np.radians(self._model.cam_fovy[k]) / 2)

    def views(self, data: mujoco.MjData, cameras: Sequence[str], size: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Pictures and masks of several cameras, by name; `data` as for `look`."""
        images, masks = {}, {}
        for camera in cameras:
            self.look(data, camera)
            images[camera], masks[camera] = self.picture(size), self.mask(size)
        return images, masks

    def picture(self, size: int) -> np.ndarray:
        """What the camera sees, (size, size, 3) uint8, row 0 on top."""
        self._choose(self._view)
        return self._draw(size)

    def mask(self, size: int) -> np.ndarray:
        """Pixels where the camera sees the object, (size, size) bool: what stands in front of it hides it."""
        return self._mask(self._object, size)

    def mask_of(self, bodies: np.ndarray, size: int) -> np.ndarray:
        """Pixels where the camera sees any of the chosen bodies, (nbody,) bool, as (size, size) bool."""
        return self._mask(bodies[self._model.geom_bodyid[self._drawn]], size)

    def depth(self, size: int) -> np.ndarray:
        """How far away what is seen is, along the camera's axis, (size, size) float32 [m]; where nothing is, the far plane."""
        self._choose(self._view)
        buffer = np.empty((size, size), np.float32)
        self._draw(size, buffer)
        z = buffer[::-1].astype(np.float64)  # reversed: 1 at the near plane, 0 at the far one
        return (self._near * self._far / (self._near + z * (self._far - self._near))).astype(np.float32)

    def close(self) -> None:
        """Gives the model's textures and meshes back; idempotent."""
        with self._mark:
            self._context.make_current()
            self._gl.free()

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _in_view(self, half: float) -> np.ndarray:
        """Which of the drawn geoms' bounding spheres reach into a pyramid of view of this half angle [rad], (n,) bool."""
        seen, radius = self._seen, self._radius
        outside = np.abs(seen[:, :2]).max(axis=1) * np.cos(half) + seen[:, 2] * np.sin(half)  # of the nearest side
        return (outside < radius) & (seen[:, 2] < radius)

    def _mask(self, meant: np.ndarray, size: int) -> np.ndarray:
        """Pixels of some of the drawn geoms, (n,) bool."""
        if not (meant & self._view).any():
            return np.zeros((size, size), bool)
        shown = self._view & self._may_hide(meant)
        self._choose(shown)
        flags = self._scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = 1
        colours = self._draw(size)
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = 0
        of_them = np.zeros(65536, dtype=bool)
        of_them[1 + np.flatnonzero(meant[shown])] = True  # 0 is the background, then what is drawn, in the order of the model
        return of_them[colours[..., 0].astype(np.uint16) | colours[..., 1].astype(np.uint16) << 8]

    def _may_hide(self, meant: np.ndarray) -> np.ndarray:
        """Which of the drawn geoms are meant, or overlap those as the camera sees their bounding spheres, (n,) bool."""
        seen, radius = self._seen, self._radius
        centre = seen[meant].mean(axis=0)
        size = (np.linalg.norm(seen[meant] - centre, axis=1) + radius[meant]).max()
        away, far = np.maximum(np.linalg.norm(seen, axis=1), 1e-9), max(float(np.linalg.norm(centre)), 1e-9)
        apart = np.arccos(np.clip(seen @ centre / (away * far), -1, 1))
        wide = np.arcsin(np.minimum(radius / away, 1)) + np.arcsin(min(size / far, 1))
        around = (away <= radius) | (far <= size)  # the camera is inside a sphere: angles say nothing
        return meant | around | (apart <= wide)

    def _choose(self, shown: np.ndarray) -> None:
        """Makes the scene of some of the drawn geoms, (n,) bool."""
        groups = self._model.geom_group
        kept = groups[self._drawn]
        groups[self._drawn[~shown]] = _HIDDEN
        mujoco.mjv_updateScene(self._model, self._data, self._option, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene)
        groups[self._drawn] = kept

    def _draw(self, size: int, depth: np.ndarray | None = None) -> np.ndarray:
        if size > self._most:
            raise SceneError(f"a picture of {size} px; this scene draws at most {self._most} px a side")
        rect, colours = mujoco.MjrRect(0, 0, size, size), np.empty((size, size, 3), np.uint8)
        with self._mark:
            self._context.make_current()
            if size > min(self._gl.offWidth, self._gl.offHeight):
                mujoco.mjr_resizeOffscreen(self._most, self._most, self._gl)
            mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._gl)
            mujoco.mjr_render(rect, self._scene, self._gl)
            mujoco.mjr_readPixels(colours, depth, rect, self._gl)
        return colours[::-1]  # GL's first row is the bottom


@contextmanager
def _small(buffer: Any) -> Iterator[None]:
    """While it lasts, a model asks for a buffer of 256 px at most: one of 1280 px is 25 MB and 10 ms, and few draw so large."""
    most = buffer.offwidth, buffer.offheight
    buffer.offwidth, buffer.offheight = (min(side, _SMALL) for side in most)
    try:
        yield
    finally:
        buffer.offwidth, buffer.offheight = most


@cache
def _context(process: int, thread: int) -> Any:
    """The GL context of a thread, for as long as the process lives: a new one is slow, drivers compile shaders again. A fork has none."""
    context = gl.new_context()
    atexit.register(context.free)  # while what it needs is still there
    return context
