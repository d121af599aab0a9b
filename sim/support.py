"""How low a geom reaches: exact for primitives and for convex hulls of meshes."""

from __future__ import annotations

import mujoco
import numpy as np

_GEOM = mujoco.mjtGeom


def lowest(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> float:
    """Height of the lowest point of a geom at its present pose [m]. Raises ValueError for planes and height fields."""
    kind, size = model.geom_type[geom], model.geom_size[geom]
    down = -data.geom_xmat[geom].reshape(3, 3)[2]  # the world's downward direction in the geom's frame
    if kind == _GEOM.mjGEOM_SPHERE:
        reach = size[0]
    elif kind == _GEOM.mjGEOM_BOX:
        reach = np.abs(down) @ size
    elif kind == _GEOM.mjGEOM_CYLINDER:
        reach = size[0] * np.hypot(down[0], down[1]) + size[1] * abs(down[2])
    elif kind == _GEOM.mjGEOM_CAPSULE:
        reach = size[0] + size[1] * abs(down[2])
    elif kind == _GEOM.mjGEOM_ELLIPSOID:
        reach = np.linalg.norm(down * size)
    elif kind == _GEOM.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        first = model.mesh_vertadr[mesh]
        reach = (model.mesh_vert[first : first + model.mesh_vertnum[mesh]] @ down).max()
    else:
        raise ValueError(f"geom {geom} of type {kind} has no lowest point")
    return float(data.geom_xpos[geom, 2] - reach)
