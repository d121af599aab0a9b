"""Which rows of a cache a batch is made of: the patches of its pictures, or some of them."""

from __future__ import annotations

import numpy as np


def rows_of(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Rows (N,) of pictures that begin at `starts` (S,) and have `lengths` (S,) rows each."""
    return np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())


def lowest(lengths: np.ndarray, priority: np.ndarray, cap: int) -> np.ndarray:
    """Whether each of N rows is among the `cap` of lowest priority of its picture, (N,) bool; of equal ones the first.

    What `policies.patches.thin` keeps, known before anything is read. Pictures are the rows of a matrix, so that none is sorted.

    Args:
        lengths: rows of each picture, (S,); they sum to N.
        priority: of each row, (N,).
        cap: most rows of a picture.
    """
    there = np.arange(lengths.max(initial=0)) < lengths[:, None]  # (S, L)
    if there.shape[1] <= cap:
        return np.ones(len(priority), bool)
    matrix = np.full(there.shape, np.inf)
    matrix[there] = priority
    kept = matrix <= np.partition(matrix, cap - 1, axis=1)[:, cap - 1 : cap]  # (S, L)
    if np.count_nonzero(kept & there) > np.minimum(lengths, cap).sum():  # equal priorities
        kept = np.zeros_like(there)
        np.put_along_axis(kept, np.argsort(matrix, axis=1, kind="stable")[:, :cap], values=True, axis=1)
    return kept[there]
