"""Things of thin walls are cut along their walls: patches of the surface, both sides of the wall in one, each small enough to be convex."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

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
_LEAST, _LOOKED_AT = 8, 200
"""Faces of a patch that is cut further, and points of a patch and of a hull that are looked at."""


def is_thin(mesh: trimesh.Trimesh) -> bool:
    """Whether a closed surface is that of walls: its material is thin everywhere, on average."""
    return bool(0 < 2 * mesh.volume / mesh.area < THIN * mesh.extents.max())


def shell_pieces(mesh: trimesh.Trimesh, counts: Sequence[int]) -> Iterator[list[trimesh.Trimesh]]:
    """Convex pieces of a thing of thin walls, at most so many of them, then more: the patch that is least convex is halved, and so on.

    Ends early where all patches are about convex.
    """
    size = float(mesh.extents.max())
    coarse = simplify(mesh, FACES)
    points, faces = trimesh.remesh.subdivide_to_size(coarse.vertices, coarse.faces, EDGE * size, max_iter=12)[:2]
    fine = trimesh.Trimesh(points, faces, process=False)
    skin = KDTree(trimesh.sample.sample_surface(fine, SAMPLES, seed=0)[0])
    apart, enough = float(np.sqrt(fine.area / SAMPLES)), max(DEEPEST, SHARE * size)
    patches = [_patch(fine, np.arange(len(faces)), skin, apart, enough)]
    for count in counts:
        while len(patches) < count:
            worst = max(range(len(patches)), key=lambda k: patches[k].excess)
            if patches[worst].excess == 0:
                break
            halves = _halved(fine, patches[worst].faces)
            if halves is None:
                patches[worst] = replace(patches[worst], excess=0.0)
            else:
                patches[worst : worst + 1] = [_patch(fine, half, skin, apart, enough) for half in halves]
        yield [patch.hull for patch in patches if patch.hull is not None]
        if len(patches) < count:
            break


@dataclass(frozen=True)
class _Patch:
    faces: np.ndarray
    """Numbers, (n,)."""
    hull: trimesh.Trimesh | None
    """None where it is flat."""
    excess: float
    """How much of the hull is not the thing, about [m3]; 0 where it is nowhere deep."""


def _patch(mesh: trimesh.Trimesh, faces: np.ndarray, skin: KDTree, apart: float, enough: float) -> _Patch:
    """Looks how far a patch is from convex: how deep it lies in its hull, and how far its hull goes from all of the surface.

    Args:
        skin: points that stand for the whole surface, `apart` from each other [m].
        enough: what need not be better [m].
    """
    hull = _hull(mesh, faces)
    if hull is None:
        return _Patch(faces, None, 0.0)
    some = faces[:: max(1, len(faces) // _LOOKED_AT)]
    offset = (hull.face_normals * hull.triangles[:, 0]).sum(axis=1)
    deep = (offset - mesh.triangles_center[some] @ hull.face_normals.T).min(axis=1).clip(min=0)
    away = (skin.query(trimesh.sample.sample_surface(hull, _LOOKED_AT, seed=0)[0])[0] - apart).clip(min=0)
    if max(deep.max(), away.max()) < enough:
        return _Patch(faces, hull, 0.0)
    return _Patch(faces, hull, float(deep.mean() * mesh.area_faces[faces].sum() + away.mean() * hull.area))


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
