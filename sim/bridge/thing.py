"""Our objects as robosuite's: two groups of geoms, a prefix before every name, a body in a body."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mujoco
import numpy as np
from robosuite.models.objects import MujocoXMLObject

from assets.graspable import CONTACT, VISUAL, Graspable
from sim.errors import SceneError

_GROUPS = {str(CONTACT): "0", str(VISUAL): "1"}
"""From our groups of geoms to robosuite's."""
_ROLLING = "0.0001"
"""Damping of the free joint, as in our scene: stands for rolling resistance."""


class Thing(MujocoXMLObject):
    """A Graspable, its mass, inertia and contact settings kept."""

    def __init__(self, item: Graspable, name: str = "object") -> None:
        self.item = item
        with tempfile.TemporaryDirectory() as folder:  # robosuite reads files only
            path = Path(folder) / "object.xml"
            path.write_text(described(item))
            joints: Any = [{"type": "free", "damping": _ROLLING}]
            super().__init__(str(path), name=name, joints=joints, obj_type="all", duplicate_collision_geoms=False)
        model = item.spec().compile()
        points = [model.geom_pos[g] + corner for g in range(model.ngeom) if model.geom_group[g] == CONTACT for corner in _corners(model, g)]
        self._low, self._high = np.min(points, axis=0), np.max(points, axis=0)  # (3,) each, in the frame of the body [m]

    @property
    def bottom_offset(self) -> np.ndarray:
        """From the body to the lowest point of it as modelled, (3,) [m]."""
        return np.array([0, 0, self._low[2]])

    @property
    def top_offset(self) -> np.ndarray:
        """From the body to the highest point of it as modelled, (3,) [m]."""
        return np.array([0, 0, self._high[2]])

    @property
    def horizontal_radius(self) -> float:
        """Of a circle around the body that holds all of it, seen from above [m]."""
        return float(np.linalg.norm(np.maximum(np.abs(self._low), np.abs(self._high))[:2]))

    def get_bounding_box_half_size(self) -> np.ndarray:
        """(3,) [m]."""
        return (self._high - self._low) / 2


def described(item: Graspable) -> str:
    """The object in the form that robosuite's parser takes. Raises SceneError where it does not compile."""
    spec = item.spec()
    try:
        spec.compile()
    except ValueError as error:
        raise SceneError(f"object {item.name!r} does not compile: {error}") from error
    root = ElementTree.fromstring(spec.to_xml())  # written by MuJoCo a moment ago: nobody's file
    world = root.find("worldbody")
    body = None if world is None else world.find("body[@name='object']")
    if world is None or body is None:
        raise SceneError(f"object {item.name!r}: its spec must have a body named 'object'")
    for joint in [*body.findall("joint"), *body.findall("freejoint")]:
        body.remove(joint)
    for geom in body.iter("geom"):
        group = geom.get("group", "0")
        if group not in _GROUPS:
            raise SceneError(f"object {item.name!r}: a geom is in group {group}; seen is group {VISUAL}, touched is {CONTACT}")
        geom.set("group", _GROUPS[group])
    for child in list(world):
        world.remove(child)
    ElementTree.SubElement(world, "body").append(body)
    return ElementTree.tostring(root, encoding="unicode")


def _corners(model: mujoco.MjModel, geom: int) -> np.ndarray:
    """Of the box around a geom, from its position, in the frame of the body, (8, 3) [m]."""
    centre, half = model.geom_aabb[geom][:3], model.geom_aabb[geom][3:]
    signs = np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T
    rotation = np.empty(9)
    mujoco.mju_quat2Mat(rotation, model.geom_quat[geom])
    return (centre + signs * half) @ rotation.reshape(3, 3).T
