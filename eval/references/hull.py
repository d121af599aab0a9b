"""The shape that silhouettes enclose: everything on the table that no mask rules out, no higher than the masks call for."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter, label, maximum_filter

from eval.references.rig import View
from sim.robots.jaw import JAW

_COVERED = 0.98
"""Share of the pixels of every mask that the shape must account for."""


class Hull:
    """A solid of cubic cells standing on the table z = 0; offers what `sim.grasp` asks of a shape."""

    def __init__(self, corner: np.ndarray, cell: float, filled: np.ndarray) -> None:
        self._corner, self.cell, self.filled = corner, cell, filled
        """`corner` (3,) [m] of the first cell; `filled` (X, Y, Z) bool, with an empty margin at its sides."""
        tops = np.arange(1, filled.shape[2] + 1) * cell
        self._tops = (filled * tops).max(axis=2)  # (X, Y)
        padded = np.concatenate([filled[..., :1], filled], axis=2).astype(np.float32)  # the table does not round an object off
        soft = gaussian_filter(padded, 1.2, mode="nearest")[..., 1:]
        self._slope = np.stack(np.gradient(soft), axis=-1)  # (X, Y, Z, 3)

    @property
    def centre_of_mass(self) -> np.ndarray:
        """(3,) [m], as if it were of one stuff."""
        return self._corner + (np.argwhere(self.filled).mean(axis=0) + 0.5) * self.cell

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of the box that just holds it, (3,) and (3,) [m]."""
        cells = np.argwhere(self.filled)
        return self._corner + cells.min(axis=0) * self.cell, self._corner + (cells.max(axis=0) + 1) * self.cell

    def widened(self, margin: float) -> Hull:
        """The same, but seen from above it reaches so much further to all sides [m]: fingers keep clear of it."""
        wide = copy.copy(self)
        reach = round(margin / self.cell)
        wide._tops = maximum_filter(self._tops, size=2 * reach + 1, mode="constant")
        return wide

    def heights(self, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        """Height of its top above the table, (len(xs), len(ys)) [m]; 0 where there is nothing."""
        x, y = np.meshgrid(xs, ys, indexing="ij")
        cells, inside = self._cells(np.stack([x, y, np.zeros_like(x)], axis=-1))
        return np.where(inside, self._tops[cells[..., 0], cells[..., 1]], 0)

    def cast(self, origin: np.ndarray, direction: np.ndarray) -> tuple[float, np.ndarray]:
        """Distance [m] along a unit direction (3,) and the outward normal (3,); infinity where there is nothing within a jaw's width."""
        along = np.arange(0, JAW.room.opening, self.cell / 2)
        cells, inside = self._cells(origin + along[:, None] * direction)
        hit = self.filled[tuple(cells.T)] & inside
        if not hit.any():
            return np.inf, np.zeros(3)
        first = int(hit.argmax())
        slope = -self._slope[tuple(cells[first])]
        return float(along[first]), slope / max(float(np.linalg.norm(slope)), 1e-9)

    def _cells(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Indices (..., 3) of the cells that hold points (..., 3) [m], and which points are inside the grid."""
        cells = np.floor((points - self._corner) / self.cell).astype(np.intp)
        last = np.array(self.filled.shape) - 1
        return cells.clip(0, last), np.all((cells >= 0) & (cells <= last), axis=-1)


def carve(views: Sequence[View], low: np.ndarray, high: np.ndarray, cell: float, *, doubt: float = 0.0) -> Hull | None:
    """The shape between two corners (3,) of a box [m] that is in every mask; None where there is none.

    Silhouettes leave a roof on everything that is flat, since no camera looks along the table. It is cut at the least height
    that accounts for the masks.

    Args:
        views: at least one.
        low: on the table.
        high: above it.
        cell: side of a cell [m].
        doubt: share of the views that may be wrong about a place.
    """
    shape = tuple(int(n) for n in np.ceil((high - low) / cell))
    points = low + (np.indices(shape).reshape(3, -1).T + 0.5) * cell  # (N, 3)
    alive, misses, hits = np.arange(len(points)), np.zeros(len(points), np.int16), np.zeros(len(points), np.int16)
    most = int(doubt * len(views))
    for view in views:
        pixel, shown = view.project(points[alive])
        inside = shown & view.mask.ravel()[pixel]
        hits[alive] += inside
        misses[alive] += shown & view.known.ravel()[pixel] & ~inside
        alive = alive[misses[alive] <= most]
    alive = alive[hits[alive] > 0]
    if not len(alive):
        return None
    alive = alive[points[alive, 2] <= _least_height(views, points[alive]) + cell / 2]
    filled, sure = np.zeros(shape, bool), np.zeros(shape, bool)
    filled.ravel()[alive] = True
    sure.ravel()[alive] = hits[alive] > 0.75 * hits[alive].max()
    return Hull(low, cell, _surest(filled, sure))


def _least_height(views: Sequence[View], points: np.ndarray) -> float:
    """How high [m] a shape of these points (N, 3) must be to account for the masks."""
    falling = points[np.argsort(-points[:, 2], kind="stable")]
    least = 0.0
    for view in views:
        pixel, shown = view.project(falling)
        lowest = np.full(view.mask.size, np.nan)
        lowest[pixel[shown]] = falling[shown, 2]  # the last to be written is the lowest
        needed = lowest[view.mask.ravel()]
        needed = needed[np.isfinite(needed)]
        if len(needed):
            least = max(least, float(np.quantile(needed, _COVERED)))
    return least


def _surest(filled: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Its connected piece with the most sure cells: others are where few cameras look."""
    pieces = np.empty(filled.shape, np.int32)
    label(filled, np.ones((3, 3, 3)), output=pieces)
    return pieces == 1 + np.bincount(pieces.ravel(), weights=sure.ravel())[1:].argmax()
