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
    """Lower ends of 95 % bootstrap intervals of `diversity`, over samples, (K, S)."""
    high: np.ndarray
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
    t = np.asarray(temperatures, float)
    logs = np.empty((len(t), sets, sets))  # ln E k
    low, high = np.empty((len(t), sets)), np.empty((len(t), sets))
    for i in range(sets):
        for j in range(i, sets):
            squared = np.maximum(2 - 2 * chosen[i] @ chosen[j].T, 0)  # (n, n)
            if i == j:
                np.fill_diagonal(squared, 0)
                logs[:, i, i] = [_inside(squared, k, estimator) for k in t]
                low[:, i], high[:, i] = _interval(squared, t, estimator, rng, resamples)
            else:
                logs[:, i, j] = logs[:, j, i] = [_mean_log(-k * squared) for k in t]
    own = logs[:, np.arange(sets), np.arange(sets)]
    others = np.where(np.eye(sets, dtype=bool), -np.inf, logs)
    disparity = np.log(sets * (sets - 1)) - logsumexp(others, axis=(1, 2)) if sets > 1 else np.full(len(t), np.nan)
    overall = np.log(sets) - logsumexp(own, axis=1)
    seen = tuple(float(k) for k in t)
    return Diversity(tuple(names), seen, estimator, n, -own, overall, disparity, -logs, low, high, tuple(notes))


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


def _inside(squared: np.ndarray, t: float, estimator: Estimator) -> float:
    """ln E k inside one set, of its squared distances (n, n)."""
    n = len(squared)
    if estimator is Estimator.with_self_pairs:
        return _mean_log(-t * squared)
    apart = -t * squared[~np.eye(n, dtype=bool)]
    return _mean_log(apart)


def _mean_log(exponents: np.ndarray) -> float:
    return float(logsumexp(exponents) - np.log(exponents.size))


def _interval(
    squared: np.ndarray, t: np.ndarray, estimator: Estimator, rng: np.random.Generator, resamples: int
) -> tuple[np.ndarray, np.ndarray]:
    """95 % percentile intervals of ln diversity, (K,) each: samples are drawn again; a sample is paired with itself only where asked."""
    n = len(squared)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(float)  # (R, n)
    bounds = np.empty((2, len(t)))
    for k, temperature in enumerate(t):
        exponents = -temperature * squared
        off = np.where(np.eye(n, dtype=bool), -np.inf, exponents)
        peak = off.max() if n > 1 else 0.0
        kernel = np.exp(off - peak)  # self-pairs left out
        total = np.einsum("rn,nm,rm->r", counts, kernel, counts, optimize=True)
        if estimator is Estimator.with_self_pairs:
            value = np.logaddexp(np.log(np.maximum(total, 1e-300)) + peak, np.log((counts**2).sum(1))) - 2 * np.log(n)
        else:
            weight = np.maximum(n**2 - (counts**2).sum(1), 1)
            value = np.log(np.maximum(total, 1e-300)) + peak - np.log(weight)
        bounds[:, k] = np.percentile(-value, (2.5, 97.5))
    return bounds[0], bounds[1]
