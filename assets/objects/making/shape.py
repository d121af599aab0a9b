"""The shape in a mesh file by strangers: one surface in metres, and the pieces with their looks as they were read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from trimesh.visual import TextureVisuals
from trimesh.visual.material import SimpleMaterial

from assets.errors import ObjectError
from assets.objects.guard.picture import check_picture
from assets.objects.guard.place import read
from assets.objects.making.companions import FILE_BYTES, MOST_FACES, Beside, companions
from assets.objects.making.paint import picture_of
from assets.objects.making.weight import UNITS

EXTENTS = (0.005, 1.0)
"""Longest side of an object [m]; beyond it the units are wrong."""
USUAL = (0.015, 0.5)
"""Within it nobody asks about units [m]."""
THINNEST = 0.0005
"""Shortest side [m]."""
CRUMB, CRUMBS = 0.02, 0.01
"""A loose piece smaller than this share of the largest is a crumb, where all of them have less than this share of the surface."""


@dataclass(frozen=True)
class Shape:
    """What was read."""

    mesh: trimesh.Trimesh
    """All of it, equal vertices merged [m]."""
    pieces: tuple[trimesh.Trimesh, ...]
    """As they were read, with colours and textures [m]."""
    notes: tuple[str, ...] = ()
    """What was mended."""
    warnings: tuple[str, ...] = ()
    """What its owner should look at."""


def read_shape(path: Path, unit: str = "m") -> Shape:
    """Reads a mesh file and the files that belong to it. Raises ObjectError where it is no object of plausible size."""
    data = read(path, FILE_BYTES)
    files = companions(path, data)
    with path.open("rb") as file:
        scene = trimesh.load_scene(file, file_type=path.suffix.lower().lstrip("."), resolver=Beside(files), process=False)
    pieces = [g for g in scene.dump() if isinstance(g, trimesh.Trimesh) and len(g.faces)]
    if not pieces:
        raise ObjectError("it holds no faces")
    if any(g.faces.min() < 0 or g.faces.max() >= len(g.vertices) for g in pieces):
        raise ObjectError("its faces name vertices that are not there")
    faces = sum(len(g.faces) for g in pieces)
    if faces > MOST_FACES:
        raise ObjectError(f"it holds {faces} faces; at most {MOST_FACES} are read: simplify it first")
    if not all(np.isfinite(g.vertices).all() for g in pieces):
        raise ObjectError("some of its vertices are not finite")
    if "" in files and len(pieces) == 1:
        _hang(pieces[0], files[""])
    for piece in pieces:
        piece.apply_scale(UNITS[unit])
    starts = np.cumsum([0, *(len(g.vertices) for g in pieces[:-1])])
    stacked = np.concatenate([g.faces + start for g, start in zip(pieces, starts, strict=True)])
    mesh = trimesh.Trimesh(np.concatenate([g.vertices for g in pieces]), stacked, process=False)
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    mesh.update_faces(mesh.nondegenerate_faces())
    mesh.update_faces(mesh.unique_faces())
    mesh.remove_unreferenced_vertices()
    if not len(mesh.faces) or not mesh.area > 0:
        raise ObjectError("its surface has no area")
    crumbs = drop_crumbs(mesh)
    size = mesh.extents
    if not EXTENTS[0] <= size.max() <= EXTENTS[1]:
        raise ObjectError(
            f"it is {size.max():.4g} m large; {EXTENTS[0]} to {EXTENTS[1]} m are expected: are its units metres?{_guess(size.max())}"
        )
    if size.min() < THINNEST:
        raise ObjectError(f"it is flat: {size.min() * 1000:.2g} mm thick")
    warnings = () if USUAL[0] <= size.max() <= USUAL[1] else (f"it is {size.max():.3g} m large: are its units metres?{_guess(size.max())}",)
    return Shape(mesh, tuple(pieces), (f"{crumbs} crumbs left out",) if crumbs else (), warnings)


def parts(mesh: trimesh.Trimesh) -> tuple[int, np.ndarray]:
    """How many parts hang together by vertices, and the part of each face, (n_faces,)."""
    n = len(mesh.vertices)
    edges = mesh.faces[:, [0, 1, 1, 2]].reshape(-1, 2)
    _, of_vertex = connected_components(coo_array((np.ones(len(edges), bool), edges.T), (n, n)), directed=False)
    used, of_face = np.unique(of_vertex[mesh.faces[:, 0]], return_inverse=True)
    return len(used), of_face


def drop_crumbs(mesh: trimesh.Trimesh) -> int:
    """Removes loose pieces too small to matter, as scans leave them. Returns how many."""
    count, of_face = parts(mesh)
    if count == 1:
        return 0
    low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    np.minimum.at(low, of_face, mesh.triangles.min(axis=1))
    np.maximum.at(high, of_face, mesh.triangles.max(axis=1))
    size = (high - low).max(axis=1)
    crumb = size < CRUMB * size.max()
    here = crumb[of_face]
    if not crumb.any() or mesh.area_faces[here].sum() > CRUMBS * mesh.area:
        return 0
    mesh.update_faces(~here)
    mesh.remove_unreferenced_vertices()
    return int(crumb.sum())


def _hang(piece: trimesh.Trimesh, picture: Path) -> None:
    """The picture beside the mesh becomes its texture, where it has a place for one and names none."""
    visual = piece.visual
    if not isinstance(visual, TextureVisuals) or visual.uv is None or picture_of(visual.material) is not None:
        return
    check_picture(picture)
    piece.visual = TextureVisuals(uv=visual.uv, material=SimpleMaterial(image=Image.open(picture)))


def _guess(size: float) -> str:
    """In which units the size would be that of an object, in words."""
    words = {"mm": "millimetres", "cm": "centimetres", "in": "inches"}
    likely = [f"{words[u]} ({size * UNITS[u]:.2g} m)" for u in words if 0.02 <= size * UNITS[u] <= 0.35]
    if not likely:
        return ""
    unit = next(u for u in words if words[u] == likely[0].split()[0])
    return f" In {' or '.join(likely)} it would be an object: the line '*,{unit}' under 'name,unit' in masses.csv beside it says so."
