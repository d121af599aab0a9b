"""Pictures and masks of a model's cameras, as fast as software rendering allows."""

from __future__ import annotations

import mujoco
import numpy as np

from assets.graspable import VISUAL
from sim import gl


class Renderer:
    """Draws one model at one size. Owns a GL context: close it, or use it as a context manager."""

    def __init__(self, model: mujoco.MjModel, size: int, *, shadows: bool = False) -> None:
        gl.require()
        self._model, self._size = model, size
        self._context = mujoco.GLContext(size, size)
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
        self._rect = mujoco.MjrRect(0, 0, size, size)
        self._gl = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._gl)
        self._object: np.ndarray | None = None

    def look(self, data: mujoco.MjData, camera: str) -> None:
        """Points the renderer at the state of `data` through the named camera."""
        self._camera.fixedcamid = self._model.camera(camera).id
        mujoco.mjv_updateScene(self._model, data, self._option, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene)

    def picture(self) -> np.ndarray:
        """What the camera sees, (H, W, 3) uint8, row 0 on top."""
        return self._draw()

    def mask(self) -> np.ndarray:
        """Pixels where the camera sees the object, (H, W) bool: what stands in front of it hides it."""
        flags = self._scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = 1
        colours = self._draw()
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = 0
        if self._object is None:  # the order of the drawn geoms never changes for one model
            body = self._model.body("object").id
            drawn = [
                (geom.segid, geom.objid) for geom in self._scene.geoms[: self._scene.ngeom] if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM
            ]
            self._object = np.zeros(65536, dtype=bool)
            self._object[[seg + 1 for seg, geom in drawn if self._model.geom_bodyid[geom] == body]] = True
        return self._object[colours[..., 0].astype(np.uint16) | colours[..., 1].astype(np.uint16) << 8]

    def close(self) -> None:
        """Gives the GL context back; idempotent."""
        self._gl.free()
        self._context.free()

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _draw(self) -> np.ndarray:
        self._context.make_current()
        colours = np.empty((self._size, self._size, 3), np.uint8)
        mujoco.mjr_render(self._rect, self._scene, self._gl)
        mujoco.mjr_readPixels(colours, None, self._rect, self._gl)
        return colours[::-1]  # GL's first row is the bottom
