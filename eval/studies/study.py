"""A study: one question, arms that differ in one thing, one figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes

from eval.outcome import Outcome
from eval.results import Report
from eval.statistics import Interval, clustered, paired, wilson
from eval.statistics.pairing import holm
from sim.variation import STRENGTHS

CURVE = tuple(round(strength, 2) for strength in STRENGTHS.values())
"""Strengths of a perturbation, along a curve that starts at the control."""


@dataclass(frozen=True)
class Profile:
    """How large a study is made."""

    name: str
    train: tuple[str, ...]
    """How every policy of the study is trained, as overrides of `cezanne train`."""
    suite: str
    trials: int
    """Start poses for each object."""
    toys: tuple[int, ...]
    demos: tuple[int, ...]
    """Grid of the study of both; the data set must hold the most demonstrations on the most toys, the same number of each."""


CPU = Profile("cpu", ("steps=600",), "ycb65", 2, (25, 75, 220), (25, 75, 220, 440, 660))
GPU = Profile("gpu", ("steps=20000", "batch=256"), "ycb65", 16, (25, 125, 250), (25, 125, 250, 500, 1000, 1500, 2000, 2500))
PROFILES = {profile.name: profile for profile in (CPU, GPU)}


@dataclass(frozen=True)
class Arm:
    """One point of a figure: a policy, and how it is tried."""

    label: str
    x: float | None = None
    """Where on the horizontal axis; None: arms stand side by side as bars."""
    curve: str = ""
    """Which curve it belongs to."""
    train: tuple[str, ...] | None = None
    """How its policy differs from the profile's, as overrides of `cezanne train`; None: the checkpoint that the study is given."""
    axis: str = "none"
    strength: float = 0.0
    execute: int | None = None
    """Actions of each chunk carried out; None: as the policy was trained."""
    reference: str = ""
    """A reference policy instead."""
    paper: float | None = None
    """What "Learning to Grasp Anything by Playing with Random Toys" reports for it, success in per cent."""


@dataclass(frozen=True)
class Result:
    """What came of an arm."""

    arm: Arm
    report: Report
    seconds: float
    """Of training it, once [s]."""
    checkpoint: str

    @property
    def rate(self) -> float:
        """Success."""
        successes, trials = self.report.count()
        return successes / trials

    @property
    def interval(self) -> Interval:
        """95 %, over objects: trials of one object are not independent; Wilson's where all objects agree."""
        return clustered(self.report.rows) or wilson(*self.report.count())


@dataclass(frozen=True)
class Study:
    """A question and the arms that answer it."""

    name: str
    question: str
    x: str
    """What the horizontal axis says."""
    arms: Callable[[Profile], Sequence[Arm]]
    answer: Callable[[Sequence[Result]], list[str]]
    """Sentences, from the results."""
    paper: str = ""
    """What the paper's numbers are, where there are any."""
    logarithmic: bool = False
    draw: Callable[[Sequence[Result], Axes], None] | None = None
    """A figure of its own."""
    more: Callable[[Sequence[Result]], list[str]] | None = None
    """Lines of Markdown below the table of the arms."""


def against(results: Sequence[Result], first: str) -> list[str]:
    """Each arm's paired difference to the one called `first`, in words."""
    base = next(result for result in results if result.arm.label == first)
    others = [result for result in results if result is not base]
    pairs = [paired(_plain(result.report), _plain(base.report)) for result in others]
    said = []
    for result, both, p in zip(others, pairs, holm([both.p for both in pairs]), strict=True):
        low, high = (both.interval.low, both.interval.high) if both.interval else (both.difference, both.difference)
        gain = both.detectable()
        reach = f"one of {100 * gain:.0f} would have been" if gain <= 1 else "so few pairs that differ can tell none"
        told = "that is no accident" if p < 0.05 else f"no difference could be told, {reach}"
        said.append(
            f"{result.arm.label} against {first}: {round(100 * both.difference):+d} points "
            f"({round(100 * low):+d} to {round(100 * high):+d}; "
            f"{both.trials} pairs, p = {p:.2g} after Holm): {told}."
        )
    return said


def _plain(report: Report) -> list[Outcome]:
    """The rows as if nothing were perturbed, so that arms of different strength pair up."""
    return [replace(row, axis="none", strength=0.0) for row in report.rows]


def tolerance(results: Sequence[Result], what: str) -> list[str]:
    """Where a curve has lost half of what the control had, by interpolation."""
    said = []
    for curve in dict.fromkeys(result.arm.curve for result in results):
        mine = sorted((r for r in results if r.arm.curve == curve), key=lambda r: r.arm.x or 0)
        rates, xs = np.array([r.rate for r in mine]), np.array([r.arm.x or 0 for r in mine])
        half = rates[0] / 2
        below = np.flatnonzero(rates < half)
        name = f"{curve}: " if curve else ""
        ends = f"{name}from {100 * rates[0]:.0f} % to {100 * rates[-1]:.0f} % at full strength"
        if len(below):
            k = below[0]
            at = xs[k - 1] + (xs[k] - xs[k - 1]) * (rates[k - 1] - half) / (rates[k - 1] - rates[k])
            ends += f"; half of it is lost at {what} {at:.2f}"
        said.append(ends + ".")
    return said
