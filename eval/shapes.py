"""What kind of shape an object has as it lies on the table: thin, flat or tall, so that results can be told apart by it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from assets.graspable import Graspable
from eval.errors import EvalError
from sim.shelf.rest import settle
from sim.surface import Surface

FLAT = 0.025
"""Below this height an object is flat [m]."""
THIN = 0.040
"""Below this mean width an object is thin [m], if it is long too."""
LONG = 4.0
"""Above this many times its mean width an object is long."""
TALL = 1.4
"""Above this many times the shorter side of its footprint an object is tall."""
KINDS = ("thin", "flat", "tall")
"""An object may be of several, or of none."""
OTHER = "other"
"""Of none."""
_CELL = 0.001
"""Between two rays from above [m]; sizes are known to about this."""


@dataclass(frozen=True)
class Extents:
    """How far an object reaches at rest [m]."""

    height: float
    length: float
    """Longer side of the smallest rectangle around what is seen from above."""
    width: float
    """Its shorter side."""
    mean_width: float
    """Area of what is seen from above, by its length: of a hammer about that of the handle."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Those of KINDS that it is of, or OTHER."""
        thin = self.mean_width < THIN and self.length > LONG * self.mean_width
        found = (thin, self.height < FLAT, self.height > TALL * self.width)
        return tuple(kind for kind, holds in zip(KINDS, found, strict=True) if holds) or (OTHER,)


def measure(item: Graspable) -> Extents:
    """An object's extents once it has come to rest, put down as modelled. Raises EvalError, SceneError."""
    surface, rest = Surface(item), settle(item)
    surface.move(np.array([0.0, 0.0, rest.pos[2]]), np.array(rest.quat))
    low, high = surface.bounds()
    xs, ys = (np.arange(low[k] - _CELL, high[k] + 2 * _CELL, _CELL) for k in (0, 1))
    heights = surface.heights(xs, ys)
    seen = np.argwhere(heights > 0)
    if len(seen) < 3:
        raise EvalError(f"object {item.name!r} cannot be seen from above")
    length, width = (side + _CELL for side in rectangle(np.stack([xs[seen[:, 0]], ys[seen[:, 1]]], 1)))  # cells have a size
    return Extents(float(heights.max()), length, width, len(seen) * _CELL**2 / length)


def rectangle(points: np.ndarray) -> tuple[float, float]:
    """Longer and shorter side of the smallest rectangle, of any direction, around points (N, 2); points on one line have width 0."""
    try:
        hull = points[ConvexHull(points).vertices]
    except QhullError:
        return float(np.linalg.norm(np.ptp(points, axis=0))), 0.0
    sides = np.roll(hull, -1, axis=0) - hull  # one side of the rectangle lies on one of the hull's
    angles = np.arctan2(sides[:, 1], sides[:, 0])
    along, across = np.stack([np.cos(angles), np.sin(angles)]), np.stack([-np.sin(angles), np.cos(angles)])  # (2, E)
    a, b = np.ptp(hull @ along, axis=0), np.ptp(hull @ across, axis=0)  # (E,)
    k = int(np.argmin(a * b))
    return float(max(a[k], b[k])), float(min(a[k], b[k]))


def by_kind(items: Iterable[Graspable]) -> dict[str, tuple[str, ...]]:
    """Names of the objects of each kind that has any, the others last."""
    found = {item.name: measure(item).kinds for item in items}
    groups = {kind: tuple(name for name, its in found.items() if kind in its) for kind in (*KINDS, OTHER)}
    return {kind: names for kind, names in groups.items() if names}
