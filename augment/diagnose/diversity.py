"""Diversity inside sub-datasets, disparity between them, and their ratio, fragmentation.

"Shortcut Learning in Generalist Robot Policies" (Xing et al., CoRL 2025), section 3.1, with k(u, v) = exp(-t |u - v|^2) on unit vectors:

    diversity of a set      1 / E k(u, v) over pairs of the set
    diversity of a mixture  m / sum over its sets of E k(u, v): the harmonic mean of the sets' (the paper does not say; its figures do)
    disparity               m (m - 1) / sum over ordered pairs of sets of E k(u, v)
    fragmentation           disparity / diversity of the mixture

All are kept as natural logarithms: at t = 100 they pass e^100.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from scipy.special import logsumexp

from augment.errors import AugmentError

TEMPERATURES = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0)
"""As in the paper's figures; its bars are at 20. A temperature says something within one kind of features only."""
_FEW = 10
"""Samples below which drawing them again says little about others."""
_ROWS = 1000
"""Of a matrix of distances that are held at a time."""


class Estimator(Enum):
    """Which pairs of a set its diversity is over."""

    with_self_pairs = "with_self_pairs"
    """All (V-statistic): at most the number of samples, 1 where all are the same. Sets of one sample have a value, 1."""
    without_self_pairs = "without_self_pairs"
    """Of two different samples (U-statistic): unbiased, without a bound. Undefined for one sample."""


@dataclass(frozen=True)
class Diversity:
    """S sub-datasets, K temperatures; logarithms are natural."""

    names: tuple[str, ...]
    temperatures: tuple[float, ...]
    estimator: Estimator
    samples: int
    """Of each sub-dataset: the same for all, since more samples have more near pairs."""
    diversity: np.ndarray
    """ln of each sub-dataset's diversity, (K, S)."""
    overall: np.ndarray
    """ln of the mixture's, (K,)."""
    disparity: np.ndarray
    """ln, (K,); NaN where there is one sub-dataset."""
    pairs: np.ndarray
    """ln of what two sub-datasets are apart, 1 / E k, (K, S, S); the diagonal is the diversity."""
    low: np.ndarray
    """Lower ends of 95 % bootstrap intervals of `diversity`, (K, S): percentiles, the samples of each sub-dataset drawn again."""
    high: np.ndarray
    disparity_ends: np.ndarray
    """Of the interval of `disparity`, (2, K)."""
    fragmentation_ends: np.ndarray
    """Of that of `fragmentation`, (2, K)."""
    notes: tuple[str, ...]
    """What had to be done otherwise than asked."""

    @property
    def fragmentation(self) -> np.ndarray:
        """ln, (K,)."""
        return self.disparity - self.overall

    def nearest(self, k: int) -> tuple[str, str, float] | None:
        """The two sub-datasets that are least apart at the k-th temperature, and ln of how far; None where there is one."""
        if len(self.names) < 2:
            return None
        apart = self.pairs[k] + np.where(np.eye(len(self.names), dtype=bool), np.inf, 0)
        i, j = np.unravel_index(int(np.argmin(apart)), apart.shape)
        return self.names[int(i)], self.names[int(j)], float(apart[i, j])


def measure(
    features: Sequence[np.ndarray],
    names: Sequence[str],
    rng: np.random.Generator,
    *,
    estimator: Estimator = Estimator.without_self_pairs,
    samples: int = 0,
    temperatures: Sequence[float] = TEMPERATURES,
    resamples: int = 200,
) -> Diversity:
    """Measures a mixture.

    Args:
        features: of each sub-dataset, (n, D); they are brought to unit length, not centred.
        names: of the sub-datasets.
        rng: of the choice of samples and of the bootstrap.
        estimator: which pairs count inside a sub-dataset. Where one has a single sample, self-pairs count everywhere, and `notes` says so.
        samples: of each sub-dataset; 0: as many as the smallest has.
        temperatures: t of the kernel.
        resamples: of the bootstrap.

    Raises:
        AugmentError: no sub-dataset, an empty one, features of other widths, of no length or not finite, or fewer samples than asked for.
    """
    chosen, notes = _choose(features, names, rng, samples)
    n, sets = len(chosen[0]), len(chosen)
    if n == 1 and estimator is Estimator.without_self_pairs:
        estimator = Estimator.with_self_pairs
        notes.append("a sub-dataset has one episode, which has no pair: self-pairs are counted in all of them, and its diversity is 1")
    elif n < _FEW:
        notes.append(f"{n} episodes of each sub-dataset: the intervals of diversity are narrower than they should be")
    t = np.asarray(temperatures, float)
    counts = [_counts(n, rng, resamples) for _ in chosen]  # (1 + R, n): the data themselves first
    own = np.empty((len(t), sets, 1 + resamples))  # ln E k
    pairs = np.empty((len(t), sets, sets))
    between = np.full((len(t), 1 + resamples), -np.inf)
    for i in range(sets):
        for j in range(i, sets):
            logs = _mean_kernel(chosen[i], chosen[j], counts[i], counts[j], t, same=i == j)
            if i == j:
                own[:, i] = _with_self_pairs(logs, n) if estimator is Estimator.with_self_pairs else logs
                pairs[:, i, i] = own[:, i, 0]
            else:
                pairs[:, i, j] = pairs[:, j, i] = logs[:, 0]
                between = np.logaddexp(between, logs + np.log(2))
    overall = np.log(sets) - logsumexp(own, axis=1)  # (K, 1 + R)
    disparity = np.log(sets * (sets - 1)) - between if sets > 1 else np.full(between.shape, np.nan)
    low, high = _ends(-own)
    return Diversity(
        tuple(names),
        tuple(float(k) for k in t),
        estimator,
        n,
        -own[..., 0],
        overall[:, 0],
        disparity[:, 0],
        -pairs,
        low,
        high,
        _ends(disparity),
        _ends(disparity - overall),
        tuple(notes),
    )


def _choose(
    features: Sequence[np.ndarray], names: Sequence[str], rng: np.random.Generator, samples: int
) -> tuple[list[np.ndarray], list[str]]:
    """As many unit vectors of each sub-dataset, float64, and what is to be said about that."""
    if not features or len(features) != len(names):
        raise AugmentError(f"{len(features)} sets of features for {len(names)} sub-datasets; one each, at least one")
    widths = {np.shape(f)[1:] for f in features}
    if len(widths) > 1 or len(next(iter(widths))) != 1:
        raise AugmentError(f"features of shapes {[np.shape(f) for f in features]}; (n, D) of one D")
    smallest = min(len(f) for f in features)
    if smallest == 0:
        raise AugmentError(f"sub-dataset {names[[len(f) for f in features].index(0)]!r} has no episode to measure")
    if samples > smallest:
        raise AugmentError(f"samples={samples}, but {names[[len(f) for f in features].index(smallest)]!r} has {smallest} episodes")
    n, chosen, notes = samples or smallest, list[np.ndarray](), list[str]()
    for name, given in zip(names, features, strict=True):
        x = np.asarray(given, np.float64)
        length = np.linalg.norm(x, axis=1, keepdims=True)
        if not np.isfinite(x).all() or (length < 1e-12).any():
            raise AugmentError(f"features of {name!r} are not finite, or of length 0")
        if len(x) > n:
            x, length = (part[np.sort(rng.choice(len(given), n, replace=False))] for part in (x / length, length))
            chosen.append(x)
        else:
            chosen.append(x / length)
    if len({len(f) for f in features}) > 1:
        notes.append(f"{n} episodes of each sub-dataset were drawn, so that their numbers can be compared")
    return chosen, notes


def _counts(n: int, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """How often each of n samples is there: once, and in each of R draws with replacement, (1 + R, n). No draw is of one sample alone."""
    counts = rng.multinomial(n, np.full(n, 1 / n), size=resamples)
    while n > 1 and (alike := counts.max(1) == n).any():
        counts[alike] = rng.multinomial(n, np.full(n, 1 / n), size=np.count_nonzero(alike))
    return np.vstack([np.ones((1, n)), counts])


def _mean_kernel(x: np.ndarray, y: np.ndarray, of_x: np.ndarray, of_y: np.ndarray, t: np.ndarray, *, same: bool) -> np.ndarray:
    """ln E k over pairs of two sets of unit vectors, (n, D) each, for each row of counts (1 + R, n): (K, 1 + R).

    same: they are one set; no sample is then paired with itself, nor with its copies in a draw.
    """
    total = np.full((len(t), len(of_x)), -np.inf)
    for first in range(0, len(x), _ROWS):
        rows = slice(first, first + _ROWS)
        squared = np.maximum(2 - 2 * x[rows] @ y.T, 0)  # (rows, n)
        if same:
            within = np.arange(len(squared))
            squared[within, first + within] = np.inf
        for k, temperature in enumerate(t):
            exponents = -temperature * squared
            peak = max(float(exponents.max()), -1e300)  # finite where a set of one has no pair
            sums = np.einsum("rn,rn->r", of_x[:, rows] @ np.exp(exponents - peak), of_y)
            with np.errstate(divide="ignore"):
                total[k] = np.logaddexp(total[k], np.log(sums) + peak)
    pairs = of_x.sum(1) * of_y.sum(1) - same * (of_x * of_y).sum(1)
    return total - np.log(np.maximum(pairs, 1))


def _with_self_pairs(logs: np.ndarray, n: int) -> np.ndarray:
    """ln E k with the n self-pairs, of that without: (1 + (n - 1) E) / n.

    Intervals take the same way, so that they hold the value: copies of a sample in a draw would be pairs that the data do not have.
    """
    with np.errstate(divide="ignore"):
        return np.logaddexp(0, np.log(n - 1) + logs) - np.log(n)


def _ends(values: np.ndarray) -> np.ndarray:
    """95 % percentile intervals along the last axis, of which the first is the value itself: (2, ...)."""
    return np.percentile(values[..., 1:], (2.5, 97.5), axis=-1)
