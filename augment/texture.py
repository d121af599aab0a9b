"""Pictures that are computed, not taken: textures for tables and for what lies behind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial import KDTree

from sim.variation.texture import PATTERNS as TABLE

SIDE = 384
"""Of a texture [px]."""


def paint(pattern: str, rng: np.random.Generator, side: int = SIDE) -> np.ndarray:
    """A texture of two colours, (side, side, 3) u8, of one of PATTERNS; it may be continued by its mirror image."""
    x, y = np.meshgrid(*[(np.arange(side) + 0.5) / side] * 2)
    dark, bright = rng.uniform(0, 0.6, 3), rng.uniform(0.3, 1, 3)
    share = PATTERNS[pattern](x, y, rng.uniform(0.06, 0.3), rng)[..., None]
    return np.round(255 * (share * bright + (1 - share) * dark)).astype(np.uint8)


def _gradient(x: np.ndarray, y: np.ndarray, period: float, rng: np.random.Generator) -> np.ndarray:
    """From one side to the other, in any direction, (n, m) in [0, 1]."""
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * x + np.sin(angle) * y
    return (slope - slope.min()) / np.ptp(slope)


def _speckle(x: np.ndarray, y: np.ndarray, period: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of squares, coarse and fine over each other, (n, m) in [0, 1]."""
    total = np.zeros_like(x)
    for size in (period, period / 2, period / 4, period / 8):
        cells = int(np.ceil(1 / size))
        total += rng.random((cells, cells))[(y / size).astype(int), (x / size).astype(int)]
    return total / 4


def _tiles(x: np.ndarray, y: np.ndarray, period: float, rng: np.random.Generator) -> np.ndarray:
    """The cells that are nearest to random points, each of its own shade, (n, m) in [0, 1]."""
    points = rng.random((int(np.clip(1 / period**2, 8, 96)), 2))
    _, nearest = KDTree(points).query(np.stack([x, y], -1))
    return rng.random(len(points))[nearest]


PATTERNS: dict[str, Callable[[np.ndarray, np.ndarray, float, np.random.Generator], np.ndarray]] = {
    **TABLE,
    "gradient": _gradient,
    "speckle": _speckle,
    "tiles": _tiles,
}
"""By name: coordinates in [0, 1], a period and a generator to the share of the bright colour."""
