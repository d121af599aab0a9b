"""The six household objects that robosuite's wheel carries."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import mujoco

from assets.errors import ObjectError
from assets.graspable import CONTACT, VISUAL

MASSES = {"bottle": 0.12, "bread": 0.06, "can": 0.20, "cereal": 0.18, "lemon": 0.09, "milk": 0.25}
"""Plausible masses by name [kg]; robosuite's own densities make a full can weigh 14 g."""
FRICTION = (1.2, 0.02, 0.001)


@dataclass(frozen=True)
class Household:
    """One of robosuite's objects: its mesh and texture; touched as its convex hull."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in MASSES:
            raise ObjectError(f"unknown household object {self.name!r}; known: {', '.join(MASSES)}")

    @property
    def upright(self) -> bool:
        return True

    def spec(self) -> mujoco.MjSpec:
        """The object for MuJoCo: see assets.graspable."""
        path = _folder() / f"{self.name}.xml"
        theirs = mujoco.MjSpec.from_file(str(path))
        mesh, texture, material = theirs.meshes[0], theirs.textures[0], theirs.materials[0]
        spec = mujoco.MjSpec()
        spec.modelname = self.name
        spec.add_mesh(name="object/mesh", file=str((path.parent / mesh.file).resolve()), scale=mesh.scale, maxhullvert=64)
        shown = spec.add_material(name="object/material", specular=0.2, shininess=0.1)
        if texture.type == mujoco.mjtTexture.mjTEXTURE_2D:
            spec.add_texture(name="object/texture", type=texture.type, file=str((path.parent / texture.file).resolve()))
            shown.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "object/texture"
            shown.texrepeat, shown.texuniform = material.texrepeat, material.texuniform
        else:  # the bottle is glass with an environment map
            shown.rgba = [0.35, 0.6, 0.5, 1.0]
        body = spec.worldbody.add_body(name="object")
        body.add_freejoint().name = "object"
        kind = mujoco.mjtGeom.mjGEOM_MESH
        body.add_geom(type=kind, meshname="object/mesh", material="object/material", group=VISUAL, contype=0, conaffinity=0, mass=0)
        body.add_geom(
            type=kind,
            meshname="object/mesh",
            group=CONTACT,
            mass=MASSES[self.name],
            friction=FRICTION,
            condim=4,
            solref=(0.01, 1),
            solimp=(0.95, 0.99, 0.001, 0.5, 2),
        )
        return spec


@cache
def _folder() -> Path:
    """Where the wheel keeps them. robosuite itself is not imported: that takes seconds and prints warnings."""
    found = find_spec("robosuite")
    if found is None or found.origin is None:
        raise ObjectError("the household objects come with robosuite, which is not installed: pip install robosuite==1.5.1")
    return Path(found.origin).parent / "models" / "assets" / "objects"
