"""What numbers of successes allow one to say. Formulas from scipy; pairing and clustering by object are ours."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from eval.errors import EvalError
from eval.outcome import Outcome

_DRAWS = 4000


@dataclass(frozen=True)
class Interval:
    """Bounds at some confidence."""

    low: float
    high: float


def wilson(successes: int, trials: int, *, confidence: float = 0.95) -> Interval:
    """Wilson's interval of a success rate; the trials are taken as independent. Raises EvalError for no trials."""
    if trials < 1:
        raise EvalError("no trial took place: there is no rate to give an interval of")
    found = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return Interval(float(found.low), float(found.high))


def by_object(rows: Sequence[Outcome]) -> dict[str, tuple[int, int]]:
    """Successes and trials that took place, by object."""
    counts: dict[str, tuple[int, int]] = {}
    for row in rows:
        k, n = counts.get(row.object, (0, 0))
        counts[row.object] = (k + (row.success is True), n + (row.success is not None))
    return counts


def clustered(rows: Sequence[Outcome], *, seed: int = 0, confidence: float = 0.95) -> Interval | None:
    """Bootstrap interval of the success rate over objects: trials of one object are not independent. None where all objects agree."""
    counts = np.array([count for count in by_object(rows).values() if count[1]], float).reshape(-1, 2)
    return _bootstrap(counts[:, 0], counts[:, 1], seed, confidence)


@dataclass(frozen=True)
class Paired:
    """Two policies on the trials that both ran."""

    trials: int
    first_rate: float
    second_rate: float
    difference: float
    """First minus second."""
    interval: Interval | None
    """Of the difference; bootstrap over objects. None where all objects agree."""
    first_only: int
    """Trials where only the first succeeded."""
    second_only: int
    p_value: float
    """Exact McNemar test."""


def paired(first: Sequence[Outcome], second: Sequence[Outcome], *, seed: int = 0, confidence: float = 0.95) -> Paired:
    """Compares two policies trial by trial. Raises EvalError where they share none."""
    one, two = _verdicts(first), _verdicts(second)
    common = sorted(one.keys() & two.keys())
    if not common:
        raise EvalError("the two results share no trial that took place in both; use the same suite and seed")
    gains: dict[tuple[str, str], list[int]] = defaultdict(list)
    for key in common:
        gains[key[:2]].append(one[key] - two[key])
    per_object = np.array([(sum(gain), len(gain)) for gain in gains.values()], float)
    first_only = sum(one[key] and not two[key] for key in common)
    second_only = sum(two[key] and not one[key] for key in common)
    return Paired(
        trials=len(common),
        first_rate=sum(one[key] for key in common) / len(common),
        second_rate=sum(two[key] for key in common) / len(common),
        difference=(first_only - second_only) / len(common),
        interval=_bootstrap(per_object[:, 0], per_object[:, 1], seed, confidence),
        first_only=first_only,
        second_only=second_only,
        p_value=mcnemar(first_only, second_only),
    )


def mcnemar(first_only: int, second_only: int) -> float:
    """Exact two-sided p-value of McNemar's test from the pairs that differ."""
    differ = first_only + second_only
    return float(stats.binomtest(first_only, differ).pvalue) if differ else 1.0


def detectable(trials: int, rate: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest gain over `rate` that two unpaired runs of `trials` each would find; inf where none would do."""

    def short(gain: float) -> float:
        other, mean = rate + gain, rate + gain / 2
        spread = _z(1 - alpha / 2) * math.sqrt(2 * mean * (1 - mean)) + _z(power) * math.sqrt(rate * (1 - rate) + other * (1 - other))
        return gain * math.sqrt(trials) - spread

    return _root(short, 1 - rate)


def detectable_paired(trials: int, discordant: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest difference that McNemar's test would find on `trials` pairs, a share `discordant` of which differ; inf where none would."""

    def short(gain: float) -> float:
        spread = _z(1 - alpha / 2) * math.sqrt(discordant) + _z(power) * math.sqrt(max(discordant - gain**2, 0))
        return gain * math.sqrt(trials) - spread

    return _root(short, discordant)


def _verdicts(rows: Sequence[Outcome]) -> Mapping[tuple[str, str, int, int], bool]:
    return {(row.suite, row.object, row.pose, row.seed): row.success for row in rows if row.success is not None}


def _bootstrap(sums: np.ndarray, counts: np.ndarray, seed: int, confidence: float) -> Interval | None:
    """Interval of sum(sums) / sum(counts), drawing pairs; None where all pairs agree, and drawing shows nothing."""
    if len(sums) == 0:
        raise EvalError("no trial took place: there is nothing to draw from")
    if np.ptp(sums / counts) == 0:
        return None

    def ratio(s: np.ndarray, n: np.ndarray, axis: int = -1) -> np.ndarray:
        return s.sum(axis) / n.sum(axis)

    rng = np.random.default_rng(seed)
    found = stats.bootstrap(
        (sums, counts), ratio, paired=True, n_resamples=_DRAWS, confidence_level=confidence, method="BCa", vectorized=True, rng=rng
    )
    return Interval(float(found.confidence_interval.low), float(found.confidence_interval.high))


def _z(probability: float) -> float:
    return float(stats.norm.ppf(probability))


def _root(short: Callable[[float], float], most: float) -> float:
    """Where `short` turns positive on (0, most]."""
    if most <= 0 or short(most) < 0:
        return math.inf
    return float(optimize.root_scalar(short, bracket=(1e-9, most)).root)
