"""How the object feels in the hand: its mass and its friction."""

from __future__ import annotations

import math

import mujoco


def scale_mass(spec: mujoco.MjSpec, factor: float) -> None:
    """Multiplies mass and inertia of the body "object"."""
    body = spec.body("object")
    if body.explicitinertial:
        body.mass, body.inertia, body.fullinertia = body.mass * factor, body.inertia * factor, body.fullinertia * factor
        return
    for geom in body.geoms:
        if math.isnan(geom.mass):
            geom.density *= factor
        else:
            geom.mass *= factor


def scale_friction(spec: mujoco.MjSpec, factor: float) -> None:
    """Multiplies the friction of the body "object" against everything: without priority, the larger of two frictions counts."""
    for geom in spec.body("object").geoms:
        geom.friction, geom.priority = geom.friction * factor, 1
