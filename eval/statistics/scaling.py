"""A power law of failure in demonstrations and toys, its error, and what more data would buy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eval.errors import EvalError
from eval.statistics import Interval

_DRAWS = 1000


@dataclass(frozen=True)
class Point:
    """One policy: what it learned from, and how it did."""

    demos: float
    toys: int
    counts: Mapping[str, tuple[int, int]]
    """Successes and trials by object."""


@dataclass(frozen=True)
class Law:
    """failure = scale x demos^-demos x toys^-toys, at most 1."""

    scale: float
    demos: float
    toys: float
    demos_interval: Interval
    toys_interval: Interval
    error: float
    """Root mean square difference between the law and the points, in success."""
    draws: np.ndarray
    """Refits to resampled objects: log scale, exponents, (D, 3)."""

    def success(self, demos: float, toys: float) -> float:
        """What the law says."""
        return float(_success(np.array([np.log(self.scale), self.demos, self.toys]), demos, toys))

    def gain(self, point: Point, more: int) -> tuple[float, float, float]:
        """Success that `more` demonstrations on the same toys would add to a point's, and its 95 % interval."""
        steps = [_success(draw, point.demos + more, point.toys) - _success(draw, point.demos, point.toys) for draw in self.draws]
        low, high = np.quantile(steps, [0.025, 0.975])
        return self.success(point.demos + more, point.toys) - self.success(point.demos, point.toys), float(low), float(high)


def fit(points: Sequence[Point]) -> Law:
    """Least squares in the logarithm of the failure rate, weighted by its precision; errors by drawing objects anew.

    Args:
        points: of one suite. A failure rate is taken as (failures + 1/2) / (trials + 1), so that none is 0.

    Raises:
        EvalError: fewer than three points, or all of one size.
    """
    if len(points) < 3 or len({point.demos for point in points}) < 2:
        raise EvalError(f"{len(points)} points; a law needs three or more, with different numbers of demonstrations")
    names = sorted(set.intersection(*(set(point.counts) for point in points)))
    counts = np.array([[point.counts[name] for name in names] for point in points], float)  # (P, O, 2)
    sizes = np.array([[point.demos, point.toys] for point in points], float)
    found = _solve(sizes, counts.sum(axis=1))
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(names), size=(_DRAWS, len(names)))
    draws = np.array([_solve(sizes, counts[:, pick].sum(axis=1)) for pick in drawn])
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    seen = counts[..., 0].sum(axis=1) / counts[..., 1].sum(axis=1)
    said = np.array([_success(found, *size) for size in sizes])
    return Law(
        float(np.exp(found[0])),
        float(found[1]),
        float(found[2]),
        Interval(float(low[1]), float(high[1])),
        Interval(float(low[2]), float(high[2])),
        float(np.sqrt(np.mean((seen - said) ** 2))),
        draws,
    )


def _solve(sizes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Log scale and both exponents, (3,), from demonstrations and toys (P, 2), successes and trials (P, 2)."""
    successes, trials = counts.T
    failure = (trials - successes + 0.5) / (trials + 1)
    weight = np.sqrt(trials * failure / np.maximum(1 - failure, 0.5 / trials))  # one over the deviation of log failure
    table = np.column_stack([np.ones(len(sizes)), -np.log(sizes)])
    return np.linalg.lstsq(table * weight[:, None], np.log(failure) * weight, rcond=None)[0]


def _success(law: np.ndarray, demos: float, toys: float) -> float:
    return 1 - min(1.0, float(np.exp(law[0] - law[1] * np.log(demos) - law[2] * np.log(toys))))
