"""A closed surface around any faces at all: they are given a thickness, and what they enclose is filled."""

from __future__ import annotations

import numpy as np
import trimesh
from scipy import ndimage
from scipy.spatial import KDTree

CELLS = 72
"""Cells along the longest side."""
REACH = 0.8
"""Half of the thickness [cells]: less, and a slanted face leaks."""
FINEST = 0.0005
"""[m]"""
MOST_POINTS = 1 << 20
"""At a time."""


def coat(mesh: trimesh.Trimesh) -> tuple[trimesh.Trimesh, float]:
    """The surface at a small distance from all faces, and the thickness that a face gets [m]; holes narrower than that are closed."""
    cell = max(float(mesh.extents.max()) / CELLS, FINEST)
    origin = mesh.bounds[0] - 3.5 * cell
    shape = np.ceil((mesh.extents + 7 * cell) / cell).astype(int) + 1
    points = _spread(mesh.triangles, cell / 2)
    near = np.zeros(shape, bool)
    near[tuple(np.round((points - origin) / cell).astype(int).T)] = True
    near = ndimage.binary_dilation(near, iterations=3)
    distance = np.full(shape, 3 * cell)
    distance[near] = KDTree(points).query(np.argwhere(near) * cell + origin, distance_upper_bound=3 * cell)[0].clip(max=3 * cell)
    regions = np.asarray(ndimage.label(distance > REACH * cell)[0])  # type: ignore[index]
    inside = (regions > 0) & (regions != regions[0, 0, 0])
    return surface_of(np.where(inside, REACH * cell + distance, REACH * cell - distance), origin, cell), 2 * REACH * cell


def surface_of(field: np.ndarray, origin: np.ndarray, cell: float) -> trimesh.Trimesh:
    """The closed surface between positive and other values of a grid (nx, ny, nz), which are all others at its border.

    Naive surface nets: one vertex a cell that the surface passes, in the middle of where it crosses the cell's edges.
    """
    solid = field > 0
    shape = np.array(field.shape) - 1
    total, crossings = np.zeros((*shape, 3)), np.zeros(shape)
    quads: list[np.ndarray] = []
    edges: list[tuple[int, np.ndarray, np.ndarray, np.ndarray]] = []
    for axis in range(3):
        first, second = np.take(solid, range(shape[axis]), axis), np.take(solid, range(1, shape[axis] + 1), axis)
        at = np.argwhere(first != second)  # (n, 3) grid points at which an edge along the axis begins
        step = np.eye(3, dtype=int)[axis]
        a, b = field[tuple(at.T)], field[tuple((at + step).T)]
        where = at + (a / (a - b))[:, None] * step
        edges.append((axis, at, where, a > 0))
        u, v = np.eye(3, dtype=int)[[(axis + 1) % 3, (axis + 2) % 3]]
        for cell_of in (at, at - u, at - u - v, at - v):
            np.add.at(total, tuple(cell_of.T), where)
            np.add.at(crossings, tuple(cell_of.T), 1)
    used = crossings > 0
    number = np.full(shape, -1)
    number[used] = np.arange(used.sum())
    for axis, at, _, leaves in edges:
        u, v = np.eye(3, dtype=int)[[(axis + 1) % 3, (axis + 2) % 3]]
        quad = np.stack([number[tuple(c.T)] for c in (at, at - u, at - u - v, at - v)], axis=1)
        quads.append(np.where(leaves[:, None], quad, quad[:, ::-1]))
    corners = np.concatenate(quads)
    vertices = origin + cell * total[used] / crossings[used][:, None]
    return trimesh.Trimesh(vertices, np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]]), process=False)


def _spread(triangles: np.ndarray, apart: float) -> np.ndarray:
    """Points on triangles (n, 3, 3), no two neighbours further from each other than `apart`, (m, 3)."""
    edges = np.stack([triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0], triangles[:, 2] - triangles[:, 1]])
    steps = np.maximum(1, np.ceil(np.linalg.norm(edges, axis=-1).max(axis=0) / apart)).astype(int)
    points = []
    for n in np.unique(steps):
        i, j = np.array([(i, j) for i in range(n + 1) for j in range(n + 1 - i)]).T / n
        for some in np.array_split(triangles[steps == n], 1 + (steps == n).sum() * len(i) // MOST_POINTS):
            u, v = some[:, 1] - some[:, 0], some[:, 2] - some[:, 0]
            dense = some[:, None, 0] + i[None, :, None] * u[:, None] + j[None, :, None] * v[:, None]
            points.append(_thinned(dense.reshape(-1, 3), apart / 2))
    return _thinned(np.concatenate(points), apart / 2)


def _thinned(points: np.ndarray, apart: float) -> np.ndarray:
    """One point of each small box."""
    _, first = np.unique(np.floor(points / apart).astype(np.int64), axis=0, return_index=True)
    return points[first]
