"""The model library in robosuite's wheel: found without importing it (that takes seconds), stripped, and made light to draw."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np

from assets.graspable import CONTACT, VISUAL
from assets.objects.home import cache_folder
from sim.errors import SceneError

LIGHT = "light"
"""Folder of a library with meshes that were made light before."""


def models_folder() -> Path:
    """robosuite's folder of models. Raises SceneError where it is not installed."""
    found = importlib.util.find_spec("robosuite")
    if found is None or found.origin is None:
        raise SceneError("robosuite's model library is not installed; `make setup` installs it")
    return Path(found.origin).parent / "models/assets"


def open_model(path: Path) -> mujoco.MjSpec:
    """The model of a file without its cameras, sensors, motors, lights and sites. Of meshes of one name, which MuJoCo refuses, the first
    is meant."""
    root = ElementTree.parse(path).getroot()
    for assets in root.iter("asset"):
        named = set()
        for mesh in list(assets.iter("mesh")):
            if mesh.get("name") in named:
                assets.remove(mesh)
            named.add(mesh.get("name"))
    spec = mujoco.MjSpec.from_string(ElementTree.tostring(root, encoding="unicode"))
    spec.compiler.degree = False  # hands do not say so: their angles are meant in rad
    for mesh in spec.meshes:
        mesh.file = str((path.parent / spec.meshdir / mesh.file).resolve())
    spec.meshdir = ""
    for item in [*spec.cameras, *spec.sensors, *spec.actuators, *spec.lights]:
        spec.delete(item)
    for site in list(spec.sites):
        spec.delete(site)
    return spec


def simplify(spec: mujoco.MjSpec, kept: tuple[float, int]) -> None:
    """Replaces the visual meshes of each body by one light mesh a colour; contact meshes stay.

    Args:
        spec: edited.
        kept: share of the faces of a visual mesh that is kept, and the least number.
    """
    files = {mesh.name: (Path(mesh.file), tuple(float(s) for s in mesh.scale)) for mesh in spec.meshes}
    colours = {material.name: tuple(material.rgba) for material in spec.materials}
    looks: dict[tuple, list[Path]] = {}
    for geom in list(spec.geoms):
        if geom.contype or geom.conaffinity:
            geom.group = CONTACT
            geom.rgba = [0.5, 0.5, 0.5, 1]
            continue
        if geom.type != mujoco.mjtGeom.mjGEOM_MESH:
            geom.group, geom.mass = VISUAL, 0
            continue
        colour = colours.get(geom.material, tuple(geom.rgba))
        file, scale = files[geom.meshname]
        key = geom.parent.name, tuple(float(c) for c in np.round(colour, 3)), (*geom.pos, *geom.quat), scale
        looks.setdefault(key, []).append(file)
        spec.delete(geom)
    used = {geom.meshname for geom in spec.geoms}
    for mesh in list(spec.meshes):
        if mesh.name not in used:
            spec.delete(mesh)
    for material in list(spec.materials):
        spec.delete(material)
    for (body, colour, pose, scale), pieces in looks.items():
        vertices, faces = _light_mesh(tuple(pieces), *kept)
        name = f"{body}_look{len(spec.meshes)}"
        spec.add_mesh(name=name, uservert=(vertices * scale).ravel(), userface=faces.ravel())
        look = spec.body(body).add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name, pos=pose[:3], quat=pose[3:])
        look.rgba, look.group, look.contype, look.conaffinity, look.mass = list(colour), VISUAL, 0, 0, 0


def _content(path: Path) -> str:
    """SHA-256 of a file, or what is said to be that of one which is not there."""
    said = path.with_name(f"{path.name}.sha256")
    return said.read_text().strip() if said.exists() and not path.exists() else hashlib.sha256(path.read_bytes()).hexdigest()


@lru_cache(maxsize=256)
def _light_mesh(files: tuple[Path, ...], share: float, least: int) -> tuple[np.ndarray, np.ndarray]:
    """One mesh of the given files with a share of their faces, and at least so many; kept on disk, named by content.

    The library may bring it along, with `FILE.sha256` in place of FILE: tools/bundle/models.py packs robots so.
    """
    digest = hashlib.sha256(f"5 {[_content(path) for path in files]} {share} {least}".encode()).hexdigest()[:24]
    kept = cache_folder() / "robots" / f"{digest}.npz"
    for found in (kept, models_folder() / LIGHT / kept.name):
        if found.exists():
            with np.load(found, allow_pickle=False) as arrays:
                return arrays["vertices"], arrays["faces"]
    import fast_simplification  # these two take seconds to import, and are needed once
    import trimesh

    whole = trimesh.util.concatenate([trimesh.load_mesh(path, process=False) for path in files])
    if not isinstance(whole, trimesh.Trimesh):
        raise SceneError(f"{files[0].name} is no mesh")
    whole.merge_vertices(merge_norm=True, merge_tex=True)
    keep = max(least, int(share * len(whole.faces)))
    vertices, faces = np.asarray(whole.vertices, np.float64), np.asarray(whole.faces, np.int32)
    if len(faces) > keep:
        vertices, faces, *_ = fast_simplification.simplify(vertices, faces, target_reduction=1 - keep / len(faces))
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(f".{os.getpid()}.tmp.npz")
    np.savez(part, vertices=vertices, faces=faces)
    part.replace(kept)
    return vertices, faces
