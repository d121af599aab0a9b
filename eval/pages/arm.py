"""Arms of a sweep: what each came to, and what a perturbation costs beside the control arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from eval.comparison import Rate
from eval.gallery import Clip
from eval.outcome import Outcome
from eval.results import Report
from eval.statistics import Paired, clustered, paired, wilson
from eval.statistics.pairing import holm


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
    """Smallest difference that a comparison like this one finds in four of five cases; None: none would do."""


def rate_of(rows: Sequence[Outcome]) -> Rate | None:
    """Success with its 95 % interval over objects, or Wilson's for a single object; None where no trial took place."""
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
    adjusted = holm([both.p for _, both in found])
    return [Drop(arm, both, p, finite(both.detectable())) for (arm, both), p in zip(found, adjusted, strict=True)]


def _plain(rows: Sequence[Outcome]) -> list[Outcome]:
    """Rows without what was perturbed, so that trials of two arms can be paired."""
    return [replace(row, axis="none", strength=0.0) for row in rows]


def _places(rows: Sequence[Outcome]) -> set[object]:
    return {row.key for row in rows if row.success is not None}


def finite(gain: float) -> float | None:
    """A detectable difference; None where none would do."""
    return gain if gain < 1 else None
