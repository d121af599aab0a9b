"""A pack: a folder NAME with object.xml, meshes and a texture. What it may contain is checked before MuJoCo reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np

from assets.errors import ObjectError
from assets.graspable import CONTACT, VISUAL
from assets.objects.guard.limits import MARKUP_BYTES, PIXELS
from assets.objects.guard.markup import check_markup, directories
from assets.objects.guard.meshfile import check_mesh
from assets.objects.guard.picture import check_pixels
from assets.objects.guard.place import inside, megabytes, read, say, size_of

MESH_BYTES, TEXTURE_BYTES, PACK_BYTES = 16 << 20, 16 << 20, 64 << 20
TEXTURE_PIXELS = 4096
MOST_GEOMS = 256
EXTENTS = (0.003, 1.0)
"""Longest side of an object [m]; beyond it the units are wrong."""
MASSES = (0.0005, 10.0)
"""[kg]"""

_TAGS = {
    "mujoco": {"compiler", "option", "size", "visual", "statistic", "default", "asset", "worldbody", "custom"},
    "asset": {"mesh", "texture", "material"},
    "worldbody": {"body", "light", "camera", "geom", "site"},
    "body": {"freejoint", "joint", "geom", "site", "inertial", "light", "camera"},
    "default": {"default", "geom", "mesh", "material", "joint", "site"},
}
_FOREIGN_ATTRIBUTES = {"plugin", "builtin", "hfield", "params", "mocap", "strippath", "gridsize", "gridlayout", "nchannel"}
_IGNORED = {"option", "size", "visual", "statistic", "custom"}
"""The scene decides these; sizes in them can fill the memory, or end the process (MuJoCo 3.9 with nkey=100000000)."""
_KINDS = {"mesh": (".obj", ".stl", ".msh"), "texture": (".png",)}
_MUJOCO = (ValueError, RuntimeError)
"""What MuJoCo raises."""


@dataclass(frozen=True)
class Pack:
    """An object of a pack, made by `open_pack`, which looks over its files once."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def upright(self) -> bool:
        return True

    def spec(self) -> mujoco.MjSpec:
        """The object for MuJoCo: see assets.graspable. Raises ObjectError where its description is not to be trusted or not to be read."""
        root = check_description(self.folder)[0]
        try:  # what was looked over, not what two parsers may read differently
            spec = mujoco.MjSpec.from_string(ElementTree.tostring(root, encoding="unicode"))
        except _MUJOCO as error:
            raise ObjectError(_first_line(error)) from error
        _to_contract(spec, self.folder)
        return spec


def open_pack(folder: Path) -> Pack:
    """A pack that compiles to a plausible object. Raises ObjectError with the reason where it does not."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}", folder.name):
        raise ObjectError(f"its name {folder.name[:90]!r} is not safe in file names")
    pack = Pack(folder.resolve())
    check_pack(pack.folder)
    try:
        model = pack.spec().compile()
    except _MUJOCO as error:
        raise ObjectError(_first_line(error)) from error
    size = float(extents(model).max())
    if not EXTENTS[0] <= size <= EXTENTS[1]:
        raise ObjectError(f"it is {size:.4g} m large; objects of {EXTENTS[0]} to {EXTENTS[1]} m are expected: are its units metres?")
    mass = float(model.body("object").mass[0])
    if not MASSES[0] <= mass <= MASSES[1]:
        raise ObjectError(f"it weighs {mass:.4g} kg; {MASSES[0]} to {MASSES[1]} kg are expected")
    return pack


def extents(model: mujoco.MjModel) -> np.ndarray:
    """Size of the axis-aligned box around what is seen of the object, (3,) [m]."""
    low, high = bounds(model)
    return high - low


def bounds(model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the axis-aligned box around what is seen of the object, in its frame [m]."""
    lows, highs = [], []
    for geom in np.flatnonzero(model.geom_group == VISUAL):
        rotation = np.empty(9)
        mujoco.mju_quat2Mat(rotation, model.geom_quat[geom])
        rotation = rotation.reshape(3, 3)
        if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH:
            mesh = model.geom_dataid[geom]
            start, n = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
            points = model.mesh_vert[start : start + n] @ rotation.T + model.geom_pos[geom]
        else:
            centre, half = model.geom_aabb[geom][:3], model.geom_aabb[geom][3:]
            corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * half + centre
            points = corners @ rotation.T + model.geom_pos[geom]
        lows.append(points.min(0))
        highs.append(points.max(0))
    return np.min(lows, axis=0), np.max(highs, axis=0)


def check_pack(folder: Path) -> None:
    """Refuses what a pack has no need of: see `check_description`; and huge or lying meshes and textures. Raises ObjectError."""
    pixels = 0
    for path, tag in check_description(folder)[1].items():
        pixels += _check_file(path, tag)
        if pixels > PIXELS:
            raise ObjectError(f"its textures have more than {PIXELS >> 20} million pixels together")


def check_description(folder: Path) -> tuple[ElementTree.Element, dict[Path, str]]:
    """The description of a pack, without what the scene decides, and the files that it names, with the tag of each.

    Refuses includes, entities, plug-ins, files outside the folder and large ones; opens none of them. Raises ObjectError.
    """
    root = check_markup(read(folder / "object.xml", MARKUP_BYTES), folder / "object.xml")
    if root.tag != "mujoco":
        raise ObjectError(f"object.xml begins with <{root.tag[:20]}>, not <mujoco>")
    for parent in root.iter():
        known = _TAGS.get(parent.tag)
        for child in parent:
            if known is not None and child.tag not in known:
                raise ObjectError(f"object.xml holds <{child.tag[:20]}> in <{parent.tag[:20]}>, which a pack may not")
        foreign = _FOREIGN_ATTRIBUTES & parent.attrib.keys()
        if foreign and parent.tag != "option":
            raise ObjectError(f"object.xml has the attribute {min(foreign)!r}, which a pack may not")
    if sum(1 for _ in root.iter("geom")) > MOST_GEOMS:
        raise ObjectError(f"more than {MOST_GEOMS} geoms")
    folders, named = directories(root), {}
    for element in root.iter():
        for attribute, value in element.attrib.items():
            if attribute.startswith("file"):
                if element.tag not in _KINDS:
                    raise ObjectError(f"<{element.tag[:20]}> names a file, which only meshes and textures may")
                path = inside(folder / folders[element.tag], value, up=folder)
                if path.suffix.lower() not in _KINDS[element.tag]:
                    raise ObjectError(f"{say(path.name)}: a {element.tag} is one of {', '.join(_KINDS[element.tag])}")
                named[path] = element.tag
    total = sum(size_of(path, MESH_BYTES if tag == "mesh" else TEXTURE_BYTES) for path, tag in named.items())
    if total > PACK_BYTES:
        raise ObjectError(f"its files hold {megabytes(total)}; at most {megabytes(PACK_BYTES)} are read")
    for element in [e for e in root if e.tag in _IGNORED]:
        root.remove(element)
    return root, named


def _check_file(path: Path, tag: str) -> int:
    """Looks over a file that the pack names. Returns how many pixels it has."""
    if tag == "texture":
        width, height = check_pixels(read(path, TEXTURE_BYTES), say(path.name), side=TEXTURE_PIXELS, kinds=("PNG",))
        return width * height
    try:
        check_mesh(path, size=MESH_BYTES)
    except ObjectError as error:
        raise ObjectError(f"{say(path.name)}: {error}") from error
    return 0


def _to_contract(spec: mujoco.MjSpec, folder: Path) -> None:
    """Renames body, joint and assets, and drops all else."""
    bodies = list(spec.worldbody.bodies)
    if len(bodies) != 1:
        raise ObjectError(f"{len(bodies)} bodies; a pack holds one")
    (body,) = bodies
    for thing in [*spec.worldbody.geoms, *spec.lights, *spec.cameras, *spec.sites]:
        spec.delete(thing)
    for joint in list(body.joints):
        spec.delete(joint)
    body.name = "object"
    body.add_freejoint().name = "object"
    renamed: dict[tuple[str, str], str] = {}
    for kind, things in (("mesh", spec.meshes), ("texture", spec.textures), ("material", spec.materials)):
        for thing in things:
            old = thing.name or Path(thing.file).stem
            thing.name = renamed[kind, old] = f"object/{old}"
    directories = {"mesh": spec.meshdir, "texture": spec.texturedir}
    for kind, things in (("mesh", spec.meshes), ("texture", spec.textures)):
        for thing in things:
            if thing.file:
                thing.file = str((folder / directories[kind] / thing.file).resolve())
    for material in spec.materials:
        for role, texture in enumerate(list(material.textures)):
            if texture:
                material.textures[role] = renamed["texture", texture]
    for i, geom in enumerate(list(body.geoms)):
        if geom.group not in (VISUAL, CONTACT):
            spec.delete(geom)
            continue
        geom.name = f"object/{i}"
        if geom.meshname:
            geom.meshname = renamed["mesh", geom.meshname]
        if geom.material:
            geom.material = renamed["material", geom.material]
        if geom.group == VISUAL:
            geom.contype = geom.conaffinity = 0
            geom.mass = 0
    for group, what in ((VISUAL, "seen"), (CONTACT, "touched")):
        if not any(geom.group == group for geom in body.geoms):
            raise ObjectError(f"no geom of group {group}: nothing of it would be {what}")


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
