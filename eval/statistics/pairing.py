"""Tests of two policies on common trials, and of several comparisons at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats


def mcnemar(first_only: int, second_only: int) -> float:
    """Exact two-sided p-value of McNemar's test from the pairs that differ; takes pairs as independent."""
    differ = first_only + second_only
    return float(stats.binomtest(first_only, differ).pvalue) if differ else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for being several, in their order.

    Whoever calls those below 5 % a difference is wrong anywhere among them in at most 5 % of cases, however they depend on each other
    (Holm, Scandinavian Journal of Statistics 1979; statsmodels' `multipletests(method="holm")` gives the same).
    """
    values = np.asarray(p_values, float)
    order = np.argsort(values, kind="stable")
    steps = np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps * values[order]), 1)
    return adjusted.tolist()
