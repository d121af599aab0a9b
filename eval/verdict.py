"""What a comparison comes to: one of four, and a sentence that says so."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from eval.statistics import Paired
from eval.statistics.interval import Interval


class Finding(StrEnum):
    """What may be said of a new policy beside an old one."""

    BETTER = "better"
    """The new one lifts more, and that is no accident."""
    WORSE = "worse"
    """The new one lifts less, and that is no accident."""
    SAME = "same"
    """Any difference is smaller than the one that was asked about."""
    OPEN = "open"
    """No difference could be told; there may be one."""


@dataclass(frozen=True)
class Verdict:
    """A finding in words."""

    finding: Finding
    words: str


def judge(paired: Paired, adjusted_p: float, *, contests: int = 1, alpha: float = 0.05) -> Verdict:
    """What a paired comparison says of the first policy, the new one.

    Args:
        paired: the comparison.
        adjusted_p: its p-value, corrected for being one of several.
        contests: how many there are.
        alpha: false alarms allowed in all of them together.
    """
    if adjusted_p <= alpha:
        return told(paired.difference, paired.interval)
    gain = paired.detectable(alpha=alpha)
    reach = f"this comparison would have found {_points(gain)}" if gain <= 1 else "this comparison is too small to find any"
    several = f" once it is counted that there are {contests} comparisons" if paired.p <= alpha else ""
    return Verdict(Finding.OPEN, f"no difference could be told{several}{_range(paired.interval)}; {reach}")


def told(difference: float, interval: Interval | None) -> Verdict:
    """A difference that is no accident."""
    finding, word = (Finding.BETTER, "more") if difference > 0 else (Finding.WORSE, "less")
    sign = 1 if difference > 0 else -1
    shown = interval and Interval(*sorted((sign * interval.low, sign * interval.high)))
    return Verdict(finding, f"the new policy lifts {_points(abs(difference))} {word}{_range(shown)}; that is no accident")


def _points(share: float) -> str:
    points = 100 * share
    return f"{points:.0f} point{'' if round(points) == 1 else 's'}" if points >= 0.95 else f"{points:.1f} points"


def _range(interval: Interval | None) -> str:
    if interval is None:
        return ""
    low, high = (
        f"{100 * value:.0f}".replace("-0", "0") if round(100 * value) == 0 else f"{100 * value:.0f}"
        for value in (interval.low, interval.high)
    )
    return f" ({low} to {high})"
