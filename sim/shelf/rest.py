"""How an object comes to lie when it is put on the table as modelled."""

from __future__ import annotations

import mujoco
import numpy as np

from assets.graspable import CONTACT, Graspable
from assets.objects.meta import Rest
from sim.errors import SceneError
from sim.scene import set_physics
from sim.support import lowest
from sim.table import WORKSPACE, add_table

TIMESTEP = 0.002
LONGEST = 4.0
"""So long it may move [s]."""
_QUIET = 0.2
"""So long it must lie still: what tips over is slow at first [s]."""
_STEPS = 25
"""Between two looks at it."""


def settle(thing: Graspable) -> Rest:
    """Puts an object down from 1 mm above the table and lets it come to rest. Raises SceneError where it does not compile."""
    spec = thing.spec()
    set_physics(spec, TIMESTEP)
    add_table(spec)
    spec.joint("object").damping[0] = 1e-4  # as in every scene: balls come to rest
    try:
        model = spec.compile()
    except ValueError as error:
        raise SceneError(f"object {thing.name!r} does not compile: {error}") from error
    data = mujoco.MjData(model)
    body = model.body("object").id
    geoms = [g for g in range(model.ngeom) if model.geom_bodyid[g] == body and model.geom_group[g] == CONTACT]
    start = model.joint("object").qposadr[0]
    first = model.joint("object").dofadr[0]
    pose, velocity = data.qpos[start : start + 7], data.qvel[first : first + 6]
    pose[:] = (*WORKSPACE, 0.5, 1, 0, 0, 0)
    mujoco.mj_forward(model, data)
    pose[2] -= min(lowest(model, data, g) for g in geoms) - 0.001
    quiet = 0.0
    while data.time < LONGEST and quiet < _QUIET - 1e-9:
        mujoco.mj_step(model, data, nstep=_STEPS)
        still = np.abs(velocity[:3]).max() < 0.02 and np.abs(velocity[3:]).max() < 0.6
        quiet = quiet + _STEPS * TIMESTEP if still else 0.0
    mujoco.mj_kinematics(model, data)
    if not np.isfinite(pose).all():
        return Rest((0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), False)
    lying = abs(min(lowest(model, data, g) for g in geoms)) < 0.004
    x, y, z = (round(float(v), 5) for v in pose[:3] - (*WORKSPACE, 0.0))
    w, i, j, k = (round(float(v), 5) for v in pose[3:] * (1 if pose[3] >= 0 else -1))
    return Rest((x, y, z), (w, i, j, k), bool(quiet and lying))
