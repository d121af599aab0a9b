"""Arms of a sweep: what each came to, and what a perturbation costs beside the control arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from eval.comparison import Rate
from eval.gallery import Clip
from eval.outcome import Outcome
from eval.results import Report
from eval.statistics import Paired, clustered, detectable_paired, paired, wilson


@dataclass(frozen=True)
class Arm:
    """One policy on one suite under one perturbation."""

    policy: str
    axis: str
    """`none`: the control arm."""
    strength: float
    """0 to 1."""
    report: Report
    clips: tuple[Clip, ...] = ()
    """Films of some of its trials."""


@dataclass(frozen=True)
class Drop:
    """One arm against the control arm of the same policy and suite, on the trials that both ran."""

    arm: Arm
    paired: Paired
    """First: the arm; second: the control."""
    adjusted_p: float
    """Corrected for all drops of the sweep (Holm)."""
    detectable: float | None
    """Smallest difference that as many pairs would find in four of five cases; None: none would do."""


def rate_of(rows: Sequence[Outcome]) -> Rate | None:
    """Success with its 95 % interval over objects, or Wilson's where all objects agree; None where no trial took place."""
    ran = [row for row in rows if row.success is not None]
    if not ran:
        return None
    successes = sum(row.success is True for row in ran)
    interval = clustered(ran) or wilson(successes, len(ran))
    return Rate(successes, len(ran), interval)


def drops(arms: Sequence[Arm]) -> list[Drop]:
    """Every perturbed arm that shares trials with a control arm, in order."""
    control = {(arm.policy, arm.report.suite): _plain(arm.report.rows) for arm in arms if arm.axis == "none"}
    found = []
    for arm in arms:
        rows = _plain(arm.report.rows)
        other = control.get((arm.policy, arm.report.suite), [])
        if arm.axis != "none" and _places(rows) & _places(other):
            found.append((arm, paired(rows, other)))
    adjusted = _holm([both.p_value for _, both in found])
    return [Drop(arm, both, p, _detectable(both)) for (arm, both), p in zip(found, adjusted, strict=True)]


def _plain(rows: Sequence[Outcome]) -> list[Outcome]:
    """Rows without what was perturbed, so that trials of two arms can be paired."""
    return [replace(row, axis="none", strength=0.0) for row in rows]


def _places(rows: Sequence[Outcome]) -> set[object]:
    return {row.key for row in rows if row.success is not None}


def _detectable(both: Paired) -> float | None:
    gain = detectable_paired(both.trials, (both.first_only + both.second_only) / both.trials)
    return gain if gain < 1 else None


def _holm(p: Sequence[float]) -> list[float]:
    """P-values corrected so that all of them may be looked at together."""
    order = sorted(range(len(p)), key=lambda k: p[k])
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, k in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - rank) * p[k]))
        adjusted[k] = highest
    return adjusted
