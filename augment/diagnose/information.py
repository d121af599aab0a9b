"""How much one factor of the data says about another: entropies and normalised mutual information, exact from counts.

"Shortcut Learning in Generalist Robot Policies" (Xing et al., CoRL 2025), section 3.2: a factor that the task depends on (u) and one that
it does not (v) must be independent over the whole mixture, else a policy can read the one off the other.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import random_table

from augment.errors import AugmentError

SUPPORT = 1e-12
"""Probabilities below this are none."""
_CELLS = 1_000_000
"""Of drawn tables, or labels dealt out, that are held at a time."""
_SPARSE = 20
"""Cells for each episode above which dealing out labels is faster than drawing tables."""
_ALL = 20
"""Episodes up to which every order of labels may be looked at."""


@dataclass(frozen=True)
class Dependence:
    """Two factors over the same episodes."""

    u: str
    v: str
    where: str
    """`mixture`, or a sub-dataset's name."""
    joint: np.ndarray
    """Episodes by value, (U, V)."""
    u_labels: tuple[str, ...]
    v_labels: tuple[str, ...]
    nmi: float
    """Normalised mutual information, 0 to 1."""
    null: float
    """Mean of it when v is dealt out anew: what so few episodes share by chance."""
    p: float
    """Of a permutation test that they are independent."""

    @property
    def adjusted(self) -> float:
        """0 where they share what chance would, 1 where each determines the other; below 0 is less than chance."""
        return (self.nmi - self.null) / (1 - self.null) if self.null < 1 else 0.0


def entropy(p: np.ndarray) -> float:
    """Shannon entropy of counts or probabilities of any shape [bit]. Raises AugmentError for what is no distribution."""
    p = _distribution(p)
    seen = p[p > SUPPORT]
    return float(-(seen * np.log2(seen)).sum())


def mutual_information(joint: np.ndarray) -> float:
    """Of a table of counts or probabilities, (U, V) [bit]."""
    joint = _distribution(joint)
    return max(entropy(joint.sum(1)) + entropy(joint.sum(0)) - entropy(joint), 0.0)


def normalized_mutual_information(joint: np.ndarray) -> float:
    """2 I(u, v) / (H(u) + H(v)) of a table of counts or probabilities, (U, V): 0 independent, 1 each determines the other.

    Where neither factor varies there is nothing that could be shared: 0.

    Raises:
        AugmentError: a table that is not two-dimensional, holds what is negative or not finite, or sums to zero.
    """
    joint = _distribution(joint)
    if joint.ndim != 2:
        raise AugmentError(f"a joint table has two dimensions, got {joint.ndim}")
    total = entropy(joint.sum(1)) + entropy(joint.sum(0))
    return float(np.clip(2 * mutual_information(joint) / total, 0, 1)) if total > SUPPORT else 0.0


def disjoint_value(diversity: float) -> float:
    """Normalised mutual information of two sub-datasets, mixed equally, that share no value of either factor: 4 / (C + 4).

    Proposition 3.1. diversity: C, the sum of the entropies of both factors inside both sub-datasets [bit].
    """
    return 4 / (diversity + 4)


def overlap_bound(u: np.ndarray, v: np.ndarray) -> float | None:
    """The bound of Proposition 3.2, 1 - C_div / (C_div + 4 - C_int), for two sub-datasets mixed equally; None where it does not hold.

    As published it is false: for u = v = ((.99, .01), (.01, .99)) it says 0, the true value is 0.86. Its proof needs both sub-datasets to
    have the same probabilities wherever their supports meet, which is checked here.

    Args:
        u: probabilities of the relevant factor in both sub-datasets, (2, U).
        v: those of the irrelevant one, (2, V).
    """
    shared = 0.0
    for p in (np.asarray(u, float), np.asarray(v, float)):
        meet = (p > SUPPORT).all(0)
        if not np.allclose(p[0, meet], p[1, meet], atol=1e-9):
            return None
        shared += float(p[:, meet].sum())
    diversity = sum(entropy(row) for p in (u, v) for row in np.asarray(p, float))
    room = diversity + 4 - shared
    return float(1 - diversity / room) if room > SUPPORT else 0.0


def joint_counts(u: Sequence[Hashable], v: Sequence[Hashable]) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Episodes by the values of two factors, (U, V) i64, and the values in order. Raises AugmentError for factors of other lengths."""
    if len(u) != len(v) or not len(u):
        raise AugmentError(f"factors of {len(u)} and {len(v)} episodes; a joint table needs the same ones, at least one")
    rows, columns = (sorted(set(values), key=_order) for values in (u, v))
    table = np.zeros((len(rows), len(columns)), np.int64)
    at_row, at_column = ({value: k for k, value in enumerate(values)} for values in (rows, columns))
    np.add.at(table, ([at_row[value] for value in u], [at_column[value] for value in v]), 1)
    return table, tuple(map(str, rows)), tuple(map(str, columns))


def depend(
    u: tuple[str, Sequence[Hashable]],
    v: tuple[str, Sequence[Hashable]],
    rng: np.random.Generator,
    *,
    where: str = "mixture",
    permutations: int = 1999,
) -> Dependence:
    """Two named factors of the same episodes, with a permutation test: one is dealt out anew among the episodes.

    Where there are no more than `permutations` different ways for at most 20 episodes, p and the mean are exact: over all of them.
    Otherwise p counts the data as one of the draws (Phipson and Smyth, 2010), so that it is never 0.
    """
    joint, u_labels, v_labels = joint_counts(u[1], v[1])
    value = normalized_mutual_information(joint)
    total = entropy(joint.sum(1)) + entropy(joint.sum(0))
    if total <= SUPPORT or min(joint.shape) < 2:  # a factor that does not vary shares nothing, however it is dealt
        return Dependence(u[0], v[0], where, joint, u_labels, v_labels, value, 0.0, 1.0)
    inside, every = _dealt(joint, rng, permutations)
    null = np.clip(2 * (total - inside) / total, 0, 1)
    reach = np.count_nonzero(null >= value - 1e-12)
    p = reach / len(null) if every else (1 + reach) / (1 + permutations)
    return Dependence(u[0], v[0], where, joint, u_labels, v_labels, value, float(null.mean()), float(p))


def bins(values: Sequence[float], resolution: float = 0.0, most: int = 6, period: float = 0.0) -> tuple[str, ...]:
    """A label for each value of a continuous factor: the middle of its cluster where there are a few narrow ones, else an interval.

    Values that lie no further apart than `resolution` are one cluster, so that errors of measurement do not look like information; there
    are at most `most`, none wider than three times the resolution. Labels have no more digits than the resolution, and no interval is
    narrower than its last digit.
    Intervals hold equal numbers of episodes; there are twice the cube root of that number (Rice's rule), at most `most`: so few that
    chance does not look like dependence. What comes again after a `period`, an angle after 360 degrees, is counted on from its widest gap.
    Raises AugmentError for what is not finite.
    """
    x = np.asarray(values, float)
    if not np.isfinite(x).all():
        raise AugmentError("a factor holds what is not finite; leave those episodes out")
    if period > 0:
        x = _unwrapped(x, period)
    digits = max(-math.floor(math.log10(resolution)), 0) if resolution > 0 else None
    order = np.argsort(x, kind="stable")
    cluster = np.empty(len(x), np.int64)
    cluster[order] = np.concatenate([[0], np.cumsum(np.diff(x[order]) > max(resolution, 1e-9))])
    spread = max((float(np.ptp(x[cluster == k])) for k in range(min(cluster.max(initial=-1) + 1, most))), default=0.0)
    if cluster.max(initial=0) < most and spread <= 3 * resolution + 1e-9:
        return tuple(_told(float(x[cluster == k].mean()), digits) for k in cluster)
    count = int(np.clip(np.ceil(2 * len(x) ** (1 / 3)), 2, most))
    edges = np.quantile(x, np.linspace(0, 1, count + 1))
    edges = np.unique(edges if digits is None else edges.round(digits))
    place = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(edges) - 2)
    ends = [_told(float(edge), digits) for edge in edges]
    return tuple(f"{ends[k]} to {ends[k + 1]}" for k in place)


def _dealt(joint: np.ndarray, rng: np.random.Generator, permutations: int) -> tuple[np.ndarray, bool]:
    """Entropies of tables with the margins of this one [bit], and whether they are those of all ways to deal out one factor.

    Tables are drawn at once (Patefield, Applied Statistics 1981), or labels permuted where nearly all cells would be empty.
    """
    count = int(joint.sum())
    weight = np.arange(count + 1) * np.log2(np.maximum(np.arange(count + 1), 1))  # n log2 n of the counts that there can be
    if count <= _ALL:
        ways, flat = min((_ways(table.sum(0)), k) for k, table in enumerate((joint, joint.T)))
        if ways <= permutations:
            table = joint.T if flat else joint
            return np.log2(count) - _spread(table, np.array(list(_orders(tuple(table.sum(0).tolist())))), weight) / count, True
    sums = np.empty(permutations)
    sparse = joint.size > _SPARSE * count
    tables, labels = random_table(joint.sum(1), joint.sum(0)), np.repeat(np.arange(joint.shape[1]), joint.sum(0))
    most = max(_CELLS // (count if sparse else joint.size), 1)
    for first in range(0, permutations, most):
        size = min(most, permutations - first)
        if sparse:
            drawn = rng.permuted(np.broadcast_to(labels, (size, count)), axis=1)
            sums[first : first + size] = _spread(joint, drawn, weight)
        else:
            sums[first : first + size] = weight[tables.rvs(size, random_state=rng).reshape(size, -1)].sum(1)
    return np.log2(count) - sums / count, False


def _spread(joint: np.ndarray, dealt: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Sum of n log2 n over the cells of each table that columns dealt out (B, n) make with the rows of this one, (B,)."""
    rows = np.repeat(np.arange(joint.shape[0]), joint.sum(1))
    cells = rows * joint.shape[1] + dealt + joint.size * np.arange(len(dealt))[:, None]
    seen, counts = np.unique(cells, return_counts=True)
    return np.bincount(seen // joint.size, weights=weight[counts], minlength=len(dealt))


def _ways(counts: np.ndarray) -> int:
    """In which so many labels of each kind can be dealt out."""
    return math.factorial(int(counts.sum())) // math.prod(math.factorial(int(n)) for n in counts)


def _orders(counts: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """All of these ways."""
    if not any(counts):
        yield ()
    for k, n in enumerate(counts):
        if n:
            yield from ((k, *rest) for rest in _orders((*counts[:k], n - 1, *counts[k + 1 :])))


def _unwrapped(x: np.ndarray, period: float) -> np.ndarray:
    """Counted on from the value after the widest gap, which lies within half a period of 0."""
    x = x % period
    turn = np.sort(x)
    start = turn[(int(np.argmax(np.diff(turn, append=turn[0] + period))) + 1) % len(turn)]
    return start + (x - start) % period - (period if start > period / 2 else 0.0)


def _distribution(p: np.ndarray) -> np.ndarray:
    p = np.asarray(p, float)
    if not np.isfinite(p).all() or (p < 0).any() or p.sum() <= 0:
        raise AugmentError("a table of counts or probabilities must be finite, not negative and not all zero")
    return p / p.sum()


def _told(value: float, digits: int | None) -> str:
    """A number with so many digits behind the point; None: three digits in all."""
    return f"{value:.3g}" if digits is None else f"{round(value, digits) + 0.0:.{digits}f}"


def _order(value: Hashable) -> tuple[float, str]:
    """Numbers, and intervals by their lower end, before and among words."""
    try:
        return float(str(value).split(" to ")[0]), str(value)
    except ValueError:
        return np.inf, str(value)
