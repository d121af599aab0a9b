"""Three numbers that a frozen value can hold."""

from __future__ import annotations

import numpy as np

Triple = tuple[float, float, float]


def triple(values: np.ndarray) -> Triple:
    """Of an array (3,)."""
    x, y, z = (float(v) for v in values)
    return x, y, z
