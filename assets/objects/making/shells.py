"""Things of thin walls are cut along their walls: patches of the surface, both sides of the wall in one, each small enough to be convex."""

from __future__ import annotations

import numpy as np
import trimesh
from scipy.spatial import KDTree

from assets.objects.making.simple import simplify

THIN = 0.06
"""A wall thinner than this share of the object is one."""
FACES, EDGE = 6000, 1 / 24
"""What is cut: faces, and their longest edge as a share of the object."""
DEEPEST, SHARE = 0.0006, 0.006
"""How deep a patch's own surface may lie in its hull: the larger of metres and a share of the object's size."""
SAMPLES = 20_000
"""Points that stand for the whole surface."""
_LEAST = 8
"""Faces of a patch that is cut further."""


def is_thin(mesh: trimesh.Trimesh) -> bool:
    """Whether a closed surface is that of walls: its material is thin everywhere, on average."""
    return bool(mesh.is_watertight and 2 * mesh.volume / mesh.area < THIN * mesh.extents.max())


def shell_pieces(mesh: trimesh.Trimesh, pieces: int) -> list[trimesh.Trimesh]:
    """At most so many convex pieces of a thing of thin walls: the patch that is least convex is halved, again and again."""
    size = float(mesh.extents.max())
    coarse = simplify(mesh, FACES)
    points, faces = trimesh.remesh.subdivide_to_size(coarse.vertices, coarse.faces, EDGE * size, max_iter=12)[:2]
    fine = trimesh.Trimesh(points, faces, process=False)
    enough = max(DEEPEST, SHARE * size)
    apart = np.sqrt(fine.area / SAMPLES)
    skin = KDTree(trimesh.sample.sample_surface(fine, SAMPLES, seed=0)[0])
    patches = [np.arange(len(faces))]
    depths = [np.inf]
    while len(patches) < pieces and max(depths) > 0:
        worst = int(np.argmax(depths))
        halves = _halved(fine, patches[worst])
        if halves is None:
            depths[worst] = 0.0
            continue
        patches[worst : worst + 1] = halves
        depths[worst : worst + 1] = [_bulge(fine, half, skin, apart, enough) for half in halves]
    hulls = [_hull(fine, patch) for patch in patches]
    return [hull for hull in hulls if hull is not None]


def _halved(mesh: trimesh.Trimesh, patch: np.ndarray) -> list[np.ndarray] | None:
    """Two halves of a patch: faces that are near each other and lie alike, whichever side of the wall they are; None for a small one."""
    if len(patch) < _LEAST:
        return None
    middle, normal = mesh.triangles_center[patch], mesh.face_normals[patch]
    reach = float(np.ptp(middle, axis=0).max())
    lies = (normal[:, :, None] * normal[:, None, :]).reshape(-1, 9)
    features = np.concatenate([middle, 0.3 * reach * lies], axis=1)
    weight = mesh.area_faces[patch] + 1e-12
    centred = features - np.average(features, axis=0, weights=weight)
    first = np.linalg.svd(centred * np.sqrt(weight)[:, None], full_matrices=False)[2][0]
    side = centred @ first > 0
    for _ in range(10):
        if side.all() or not side.any():
            return None
        a, b = (np.average(features[s], axis=0, weights=weight[s]) for s in (side, ~side))
        new = ((features - a) ** 2).sum(axis=1) < ((features - b) ** 2).sum(axis=1)
        if (new == side).all():
            break
        side = new
    return None if side.all() or not side.any() else [patch[side], patch[~side]]


def _hull(mesh: trimesh.Trimesh, patch: np.ndarray) -> trimesh.Trimesh | None:
    """The hull of a patch; None where it is flat."""
    points = mesh.vertices[np.unique(mesh.faces[patch])]
    if np.linalg.svd(points - points.mean(axis=0), compute_uv=False)[-1] < 1e-5 * np.sqrt(len(points)):
        return None
    hull = trimesh.Trimesh(points, process=False).convex_hull
    return hull if hull.volume > 1e-11 else None


def _bulge(mesh: trimesh.Trimesh, patch: np.ndarray, skin: KDTree, apart: float, enough: float) -> float:
    """How far a patch is from convex [m]: how deep it lies in its hull, or how far its hull goes from all of the surface."""
    hull = _hull(mesh, patch)
    if hull is None:
        return 0.0
    middle = mesh.triangles_center[patch]
    offset = (hull.face_normals * hull.triangles[:, 0]).sum(axis=1)
    deep = (offset - middle @ hull.face_normals.T).min(axis=1).clip(min=0)
    away = (skin.query(trimesh.sample.sample_surface(hull, 200, seed=0)[0])[0] - apart).clip(min=0)
    if max(deep.max(), away.max()) < enough:
        return 0.0
    return float((deep * mesh.area_faces[patch]).sum() + away.mean() * hull.area)
