"""A pack: a folder NAME with object.xml, meshes and a texture. What it may contain is checked before MuJoCo reads it."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np

from assets.errors import ObjectError
from assets.graspable import CONTACT, VISUAL

XML_BYTES, MESH_BYTES, TEXTURE_BYTES, PACK_BYTES = 1 << 20, 16 << 20, 16 << 20, 64 << 20
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
_FOREIGN_ATTRIBUTES = {"plugin", "builtin", "hfield", "params", "mocap"}


@dataclass(frozen=True)
class Pack:
    """An object read from a pack."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def upright(self) -> bool:
        return True

    def spec(self) -> mujoco.MjSpec:
        """The object for MuJoCo: see assets.graspable. Raises ObjectError where the pack is not to be trusted or not to be read."""
        check_pack(self.folder)
        try:
            spec = mujoco.MjSpec.from_file(str(self.folder / "object.xml"))
        except ValueError as error:
            raise ObjectError(_first_line(error)) from error
        _to_contract(spec, self.folder)
        return spec


def open_pack(folder: Path) -> Pack:
    """A pack that compiles to a plausible object. Raises ObjectError with the reason where it does not."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}", folder.name):
        raise ObjectError(f"its name {folder.name[:90]!r} is not safe in file names")
    pack = Pack(folder.resolve())
    try:
        model = pack.spec().compile()
    except ValueError as error:
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
    """Refuses what a pack has no need of: includes, entities, plug-ins, files outside it, huge files. Raises ObjectError."""
    xml = folder / "object.xml"
    text = _read(xml, XML_BYTES)
    if b"<!" in re.sub(rb"<!--.*?-->", b"", text, flags=re.S):
        raise ObjectError("object.xml declares a document type or entities")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ObjectError(f"object.xml is no XML: {error}") from error
    if root.tag != "mujoco":
        raise ObjectError(f"object.xml begins with <{root.tag[:20]}>, not <mujoco>")
    compiler: dict[str, str] = {}
    for parent in root.iter():
        known = _TAGS.get(parent.tag)
        for child in parent:
            if child.tag in {"include", "plugin", "extension"} or (known is not None and child.tag not in known):
                raise ObjectError(f"object.xml holds <{child.tag[:20]}> in <{parent.tag[:20]}>, which a pack may not")
        foreign = _FOREIGN_ATTRIBUTES & parent.attrib.keys()
        if foreign and parent.tag not in {"option", "compiler"}:
            raise ObjectError(f"object.xml has the attribute {min(foreign)!r}, which a pack may not")
        if parent.tag == "compiler":
            compiler |= parent.attrib
    total = 0
    for element in root.iter():
        if element.tag == "texture" and max(_number(element.get(k)) for k in ("width", "height")) > TEXTURE_PIXELS:
            raise ObjectError(f"a texture is wider than {TEXTURE_PIXELS} pixels")
        for attribute, value in element.attrib.items():
            if attribute.startswith("file"):
                total += _check_file(folder, element, value, compiler)
    if total > PACK_BYTES:
        raise ObjectError(f"its files hold {total >> 20} MB; at most {PACK_BYTES >> 20} MB are read")
    if sum(1 for _ in root.iter("geom")) > MOST_GEOMS:
        raise ObjectError(f"more than {MOST_GEOMS} geoms")


def _check_file(folder: Path, element: ElementTree.Element, value: str, compiler: dict[str, str]) -> int:
    """Size of a file that the pack names [bytes]."""
    if element.tag not in {"mesh", "texture"}:
        raise ObjectError(f"<{element.tag[:20]}> names a file, which only meshes and textures may")
    own = "meshdir" if element.tag == "mesh" else "texturedir"
    path = folder / compiler.get(own, compiler.get("assetdir", "")) / value
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError):
        inside = False
    if not inside or ".." in Path(value).parts or Path(value).is_absolute() or "\\" in value:
        raise ObjectError(f"it names the file {value[:60]!r} outside its folder")
    most = MESH_BYTES if element.tag == "mesh" else TEXTURE_BYTES
    kinds = {".obj", ".stl", ".msh"} if element.tag == "mesh" else {".png"}
    if path.suffix.lower() not in kinds:
        raise ObjectError(f"{value[:60]!r}: a {element.tag} is one of {', '.join(sorted(kinds))}")
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ObjectError(f"{value[:60]!r} is no file")
        if size > most:
            raise ObjectError(f"{value[:60]!r} holds {size >> 20} MB; at most {most >> 20} MB are read")
        if element.tag == "texture":
            with path.open("rb") as file:
                head = file.read(24)
            if len(head) < 24 or head[:8] != b"\x89PNG\r\n\x1a\n" or max(struct.unpack(">II", head[16:24])) > TEXTURE_PIXELS:
                raise ObjectError(f"{value[:60]!r} is no PNG of at most {TEXTURE_PIXELS} pixels a side")
    except OSError as error:
        raise ObjectError(f"{value[:60]!r} cannot be read: {error.strerror}") from error
    return size


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


def _read(path: Path, most: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > most:
            raise ObjectError(f"{path.name} holds {size >> 20} MB; at most {most >> 20} MB are read")
        return path.read_bytes()
    except OSError as error:
        raise ObjectError(f"{path.name} cannot be read: {error.strerror}") from error


def _number(text: str | None) -> float:
    try:
        value = float(text or 0)
    except ValueError:
        return math.inf
    return value if math.isfinite(value) else math.inf


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
