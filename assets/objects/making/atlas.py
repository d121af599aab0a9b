"""A surface is laid flat and painted: each of its faces gets a place in one picture, with its neighbours where that is possible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import trimesh
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from assets.objects.making.paint import Paint

SIDE = 512
"""Of the picture [pixels]."""
MARGIN = 2
"""Around each chart [pixels]."""
_DIRECTIONS = np.concatenate([np.eye(3), -np.eye(3)])
_ROUNDS = 4


@dataclass(frozen=True)
class Atlas:
    """A surface with its picture."""

    uv: np.ndarray
    """Of the corners of each face, from the lower left, (n_faces, 3, 2), from 0 to 1."""
    picture: np.ndarray
    """RGB, (SIDE, SIDE, 3) u8, row 0 on top."""


def bake(mesh: trimesh.Trimesh, paint: Paint) -> Atlas:
    """Lays a surface flat, and paints each pixel with the colour that is nearest to where it is on the surface."""
    charts = _charts(mesh)
    for turn in range(_ROUNDS):
        corners = _pack(_flat(mesh, charts), charts)
        owner = _draw(corners)
        hidden = _hidden(corners, owner)
        if not hidden.any() or turn == _ROUNDS - 1:
            break
        charts = _split(mesh, charts, hidden)
    place, which = _nearest(np.asarray(owner >= 0))
    owner = owner[place, which]
    rows, columns = np.nonzero(owner >= 0)
    face = owner[rows, columns]
    at = _weights(corners[face], np.stack([place[rows, columns], which[rows, columns]], axis=1) + 0.5)
    colours = paint.at((mesh.triangles[face] * at[..., None]).sum(axis=1))
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[rows, columns] = np.round(255 * colours)
    uv = np.stack([corners[..., 1], SIDE - corners[..., 0]], axis=-1) / SIDE
    return Atlas(uv, picture)


def _nearest(there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the nearest pixel that is there, for each pixel."""
    found: Any = ndimage.distance_transform_edt(~there, return_distances=False, return_indices=True)
    return found[0], found[1]


def _charts(mesh: trimesh.Trimesh) -> np.ndarray:
    """The chart of each face, (n_faces,): faces that hang together and look the same way, out of six."""
    facing = mesh.face_normals @ _DIRECTIONS.T  # (n, 6)
    way = facing.argmax(axis=1)
    pairs = mesh.face_adjacency
    for _ in range(3):  # a face goes with its neighbours where it looks their way almost as well
        votes = facing.copy()
        for a, b in (pairs.T, pairs.T[::-1]):
            np.add.at(votes, (a, way[b]), 0.25)
        votes[facing < 0.3] = -1
        way = np.where(votes.max(axis=1) > 0, votes.argmax(axis=1), way)
    return _together(mesh, way)


def _together(mesh: trimesh.Trimesh, label: np.ndarray) -> np.ndarray:
    """Numbers for the groups of neighbours of one label."""
    pairs = mesh.face_adjacency
    same = pairs[label[pairs[:, 0]] == label[pairs[:, 1]]]
    n = len(mesh.faces)
    return connected_components(coo_array((np.ones(len(same), bool), same.T), (n, n)), directed=False)[1]


def _split(mesh: trimesh.Trimesh, charts: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """The charts, with the faces that others cover in charts of their own."""
    return _together(mesh, 2 * charts + hidden)


def _flat(mesh: trimesh.Trimesh, charts: np.ndarray) -> np.ndarray:
    """Corners of each face in the plane of its chart, (n_faces, 3, 2) [m]."""
    mean = np.zeros((charts.max() + 1, 3))
    np.add.at(mean, charts, mesh.face_normals * mesh.area_faces[:, None])
    axis = np.abs(mean).argmax(axis=1)
    flat = np.empty((len(mesh.faces), 3, 2))
    for k in range(3):
        here = axis[charts] == k
        flat[here] = mesh.triangles[here][..., [(k + 1) % 3, (k + 2) % 3]]
    return flat


def _pack(flat: np.ndarray, charts: np.ndarray) -> np.ndarray:
    """Corners of each face in the picture, row and column, (n_faces, 3, 2) [pixels], as large as all of them fit."""
    n = charts.max() + 1
    low, high = np.full((n, 2), np.inf), np.full((n, 2), -np.inf)
    np.minimum.at(low, charts, flat.min(axis=1))
    np.maximum.at(high, charts, flat.max(axis=1))
    size = high - low
    best, small, large = None, 0.0, 2 * SIDE / max(float(np.sqrt(size.prod(axis=1).sum())), 1e-9)
    for _ in range(24):
        scale = (small + large) / 2
        corner = _shelves(size * scale + 2 * MARGIN)
        small, large = (scale, large) if corner is not None else (small, scale)
        best = (corner, scale) if corner is not None else best
    corner, scale = best if best is not None else (np.zeros((n, 2)), 0.0)
    return (flat - low[charts][:, None]) * scale + corner[charts][:, None] + MARGIN


def _shelves(sizes: np.ndarray) -> np.ndarray | None:
    """Places for rectangles (n, 2) [pixels] on shelves, the tallest first, (n, 2); None where they do not fit."""
    places = np.zeros_like(sizes)
    row = column = height = 0.0
    for k in np.argsort(-sizes[:, 0], kind="stable"):
        tall, wide = sizes[k]
        if column + wide > SIDE:
            row, column, height = row + height, 0.0, 0.0
        if column + wide > SIDE or row + tall > SIDE:
            return None
        places[k] = row, column
        column, height = column + wide, max(height, tall)
    return places


def _draw(corners: np.ndarray) -> np.ndarray:
    """The face of each pixel, -1 where there is none, (SIDE, SIDE)."""
    owner = np.full((SIDE, SIDE), -1)
    first = np.floor(corners.min(axis=1)).astype(int).clip(0, SIDE - 1)
    last = np.ceil(corners.max(axis=1)).astype(int).clip(1, SIDE)
    for k, ((r0, c0), (r1, c1)) in enumerate(zip(first, np.maximum(last, first + 1), strict=True)):
        pixels = np.mgrid[r0:r1, c0:c1].reshape(2, -1).T + 0.5
        inside = (_weights(corners[[k]], pixels) > -1e-6).all(axis=1).reshape(r1 - r0, c1 - c0)
        part = owner[r0:r1, c0:c1]
        part[inside & (part < 0)] = k
    return owner


def _hidden(corners: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Whether the middle of a face belongs to another that is not next to it in the picture, (n_faces,)."""
    middle = corners.mean(axis=1)
    holder = owner[tuple(np.floor(middle).astype(int).clip(0, SIDE - 1).T)]
    theirs = np.arange(len(corners)) == holder
    apart = np.linalg.norm(middle - middle[holder], axis=1) > 0.5 * np.ptp(corners, axis=1).max(axis=1) + 1
    inside = (_weights(corners[holder], middle) > 0.1).all(axis=1)
    return (holder >= 0) & ~theirs & inside & apart


def _weights(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Barycentric weights of points (m, 2) in triangles (m or 1, 3, 2), (m, 3)."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    u, v, p = b - a, c - a, points - a
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    area = np.where(np.abs(area) < 1e-12, 1e-12, area)
    second = (p[:, 0] * v[:, 1] - p[:, 1] * v[:, 0]) / area
    third = (u[:, 0] * p[:, 1] - u[:, 1] * p[:, 0]) / area
    return np.stack([1 - second - third, second, third], axis=1)
