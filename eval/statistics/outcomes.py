"""What rows of trials allow one to say: rates and differences, with intervals over objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from eval.errors import EvalError
from eval.outcome import Key, Outcome
from eval.statistics.interval import Interval, correlation, difference_spread, rate_bounds
from eval.statistics.pairing import mcnemar
from eval.statistics.power import detectable_paired


@dataclass(frozen=True)
class Paired:
    """Two policies on the trials that both ran."""

    trials: int
    first_rate: float
    second_rate: float
    difference: float
    """First minus second."""
    interval: Interval | None
    """Of the difference, 95 %, over objects. None for a single object."""
    first_only: int
    """Trials where only the first succeeded."""
    second_only: int
    p_value: float
    """Exact McNemar test: right where trials are independent, too small where objects favour one or the other."""
    objects: int = 0
    p_clustered: float = 1.0
    """Of the difference over objects; 1 for a single object."""
    design_effect: float = 1.0
    """Pairs that carry as much as one independent pair."""
    correlation: float = 0.0
    """Of the differences within an object, 0 to 1."""

    @property
    def discordant(self) -> float:
        """Share of pairs that differ."""
        return (self.first_only + self.second_only) / self.trials

    @property
    def p(self) -> float:
        """What a verdict rests on: significant only where both tests say so.

        McNemar's test is exact but takes trials as independent; the one over objects is not fooled by that but leans on the spread
        between objects, which may happen to be small.
        """
        return max(self.p_value, self.p_clustered)

    def detectable(self, *, alpha: float = 0.05, power: float = 0.8) -> float:
        """Smallest difference that a comparison like this one would find; inf where none would."""
        return detectable_paired(
            self.trials, self.discordant, design_effect=self.design_effect, objects=self.objects, alpha=alpha, power=power
        )


def by_object(rows: Sequence[Outcome]) -> dict[str, tuple[int, int]]:
    """Successes and trials that took place, by object."""
    counts: dict[str, tuple[int, int]] = {}
    for row in rows:
        k, n = counts.get(row.object, (0, 0))
        counts[row.object] = (k + (row.success is True), n + (row.success is not None))
    return counts


def clustered(rows: Sequence[Outcome], *, confidence: float = 0.95) -> Interval | None:
    """Interval of the success rate over objects: trials of one object are not independent. None for a single object."""
    counts = np.array([count for count in by_object(rows).values() if count[1]], float).reshape(-1, 2)
    if len(counts) == 0:
        raise EvalError("no trial took place: there is no rate to give an interval of")
    if len(counts) == 1:
        return None
    low, high = rate_bounds(counts[:, 0], counts[:, 1], confidence=confidence)
    return Interval(float(low), float(high))


def common(first: Sequence[Outcome], second: Sequence[Outcome]) -> list[tuple[Outcome, Outcome]]:
    """The trials that took place with both, in the order of their keys. Raises EvalError for a trial that is there twice."""
    one, two = _ran(first), _ran(second)
    return [(one[key], two[key]) for key in sorted(one.keys() & two.keys())]


def paired(first: Sequence[Outcome], second: Sequence[Outcome], *, confidence: float = 0.95) -> Paired:
    """Compares two policies trial by trial. Raises EvalError where they share no trial, or hold one twice."""
    pairs = common(first, second)
    if not pairs:
        raise EvalError("the two results share no trial that took place in both; use the same suite and seed")
    counts: dict[tuple[str, str], list[int]] = {}
    for one, two in pairs:
        count = counts.setdefault((one.suite, one.object), [0, 0, 0])
        count[0] += bool(one.success and not two.success)
        count[1] += bool(two.success and not one.success)
        count[2] += 1
    first_only, second_only, trials = np.array(list(counts.values()), float).T
    a, b = int(first_only.sum()), int(second_only.sum())
    found = Paired(
        trials=len(pairs),
        first_rate=sum(bool(one.success) for one, _ in pairs) / len(pairs),
        second_rate=sum(bool(two.success) for _, two in pairs) / len(pairs),
        difference=(a - b) / len(pairs),
        interval=None,
        first_only=a,
        second_only=b,
        p_value=mcnemar(a, b),
        objects=len(counts),
    )
    if len(counts) == 1:
        return found
    spread = difference_spread(first_only, second_only, trials)
    low, high = spread.bounds(confidence)
    effect = float(spread.design_effect)
    return replace(
        found,
        interval=Interval(max(float(low), -1.0), min(float(high), 1.0)),
        p_clustered=float(spread.p_value),
        design_effect=effect,
        correlation=correlation(effect, trials),
    )


def _ran(rows: Sequence[Outcome]) -> Mapping[Key, Outcome]:
    """The trials that took place, by key."""
    found: dict[Key, Outcome] = {}
    for row in rows:
        if row.success is None:
            continue
        if row.key in found:
            raise EvalError(
                f"trial {row.object!r} pose {row.pose} seed {row.seed} of suite {row.suite!r} is there twice: which one counts?"
            )
        found[row.key] = row
    return found
