"""Features in a plane, for a picture of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh


@dataclass(frozen=True)
class Plane:
    """N points."""

    points: np.ndarray
    """(N, 2), around 0."""
    shares: tuple[float, float]
    """Of the variance of the features, along each axis."""


def flatten(features: np.ndarray) -> Plane:
    """The two principal components of features (N, D).

    The paper draws a t-SNE, which parts what hangs together and forgets how far apart it is. Here distances are those of the
    features, less what the plane leaves out. Signs are such that the largest coordinate of each axis is positive: one picture
    for one set of features.
    """
    x = np.asarray(features, float)
    x = x - x.mean(0)
    count, width = x.shape
    small = x @ x.T if count < width else x.T @ x  # the same eigenvalues
    last = len(small)
    values, vectors = eigh(small, subset_by_index=(max(last - 2, 0), last - 1))
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    points = np.zeros((count, 2))
    points[:, : len(values)] = vectors * np.sqrt(values) if count < width else x @ vectors
    largest = points[np.abs(points).argmax(0), [0, 1]]
    points *= np.where(largest < 0, -1, 1)
    total = float(np.square(x).sum())
    shares = [float(v) / total if total > 1e-12 else 0.0 for v in [*values, 0.0, 0.0][:2]]
    return Plane(points, (shares[0], shares[1]))
