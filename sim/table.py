"""The table, the floor and the sun above them."""

from __future__ import annotations

import mujoco

WORKSPACE = (0.5, 0.0)
"""The middle of the workspace in the robot's base frame, on the table's top z = 0 [m]."""
MIDDLE = (0.55, 0.0)
"""Of the table's top [m]."""
HALF = (0.4, 0.6)
"""Half the sides of the table's top [m]."""
COLOUR = (0.72, 0.6, 0.45)
FRICTION = (1.0, 0.005, 0.0001)


def add_table(spec: mujoco.MjSpec) -> None:
    """Adds the geoms "table" and "floor" and the light "sun"."""
    world = spec.worldbody
    box = mujoco.mjtGeom.mjGEOM_BOX
    table = world.add_geom(name="table", type=box, size=[*HALF, 0.02], pos=[*MIDDLE, -0.02], rgba=[*COLOUR, 1])
    table.friction = FRICTION
    world.add_geom(name="floor", type=box, size=[3, 3, 0.05], pos=[0, 0, -0.65], rgba=[0.4, 0.42, 0.45, 1])
    sun = world.add_light(name="sun", pos=[0.5, -0.6, 1.8], dir=[0, 0.35, -1], castshadow=False)
    sun.type = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    sun.diffuse, sun.ambient, sun.specular = [0.6, 0.6, 0.6], [0.1, 0.1, 0.1], [0.2, 0.2, 0.2]
