"""How an object is turned before it is laid down."""

from __future__ import annotations

import numpy as np


def drawn_rotation(rng: np.random.Generator, *, stands: bool) -> np.ndarray:
    """A unit quaternion (4,), uniform: about the vertical alone where the object stands, else any."""
    if stands:
        half = rng.uniform(-np.pi, np.pi) / 2
        return np.array([np.cos(half), 0, 0, np.sin(half)])
    quat = rng.normal(size=4)
    return quat / np.linalg.norm(quat)
