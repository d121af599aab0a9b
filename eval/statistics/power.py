"""What a comparison of some size would find, and what size finds a difference."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy import optimize, stats

from eval.errors import EvalError

_MOST_POSES = 16
_MOST_OBJECTS = 100_000


@dataclass(frozen=True)
class Plan:
    """How much to try."""

    objects: int
    poses: int
    """Start poses for each object."""

    @property
    def trials(self) -> int:
        """Of each policy."""
        return self.objects * self.poses


def design_effect(poses: float, correlation: float) -> float:
    """Trials that carry as much as one independent trial, where each object is tried `poses` times (Kish, Survey Sampling 1965)."""
    return 1 + (poses - 1) * correlation


def detectable(trials: float, rate: float, *, design_effect: float = 1, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest gain over `rate` that two unpaired runs of `trials` each would find; inf where none would do."""

    def short(gain: float) -> float:
        other, mean = rate + gain, rate + gain / 2
        spread = _z(1 - alpha / 2) * math.sqrt(2 * mean * (1 - mean)) + _z(power) * math.sqrt(rate * (1 - rate) + other * (1 - other))
        return gain * math.sqrt(trials / design_effect) - spread

    return _root(short, 1 - rate)


def detectable_paired(
    trials: float, discordant: float, *, design_effect: float = 1, objects: int | None = None, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Smallest difference that would be found on `trials` pairs, a share `discordant` of which differ; inf where none would.

    Args:
        trials: pairs.
        discordant: share of pairs that differ, 0 to 1.
        design_effect: of the differences within objects.
        objects: how many; their number limits what the spread between them is known by. None: many.
        alpha: of the test.
        power: share of cases in which the difference is found.
    """
    if objects is not None and objects < 2:
        return math.inf
    freedom = math.inf if objects is None else objects - 1
    sure, often = float(stats.t.ppf(1 - alpha / 2, freedom)), float(stats.t.ppf(power, freedom))

    def short(gain: float) -> float:
        spread = sure * math.sqrt(discordant) + often * math.sqrt(max(discordant - gain**2, 0))
        return gain * math.sqrt(trials / design_effect) - spread

    return _root(short, discordant)


def recommend(
    difference: float,
    *,
    discordant: float = 0.3,
    correlation: float = 0.2,
    objects: int | None = None,
    poses: int = _MOST_POSES,
    alpha: float = 0.05,
    power: float = 0.8,
) -> Plan:
    """The fewest trials that find a difference between two policies on common trials.

    Args:
        difference: to be found, such as 0.05.
        discordant: share of pairs that differ, at least the difference.
        correlation: of the differences within an object.
        objects: at most so many. None: the number of poses is `poses`, and the number of objects is free.
        poses: at most so many for each object.
        alpha: of the test.
        power: share of cases in which the difference is found.

    Raises:
        EvalError: the figures make no sense, or even all objects and poses would not find it.
    """
    if not 0 < difference <= 1 or not difference <= discordant <= 1:
        raise EvalError(
            f"difference={difference:g} discordant={discordant:g}; a difference lies in 0 to 1, and as many pairs differ at least"
        )
    if not 0 <= correlation <= 1 or poses < 1 or (objects is not None and objects < 2):
        raise EvalError(
            f"correlation={correlation:g} (0 to 1), poses={poses} (at least 1), objects={objects} (at least 2): one is out of range"
        )

    def finds(plan: Plan) -> bool:
        # the exact test counts whole pairs: one difference fewer than there are (continuity, after Fleiss, Levin and Paik 2003)
        pairs = plan.trials - 1 / difference
        effect = design_effect(plan.poses, correlation)
        return (
            pairs > 0
            and detectable_paired(pairs, discordant, design_effect=effect, objects=plan.objects, alpha=alpha, power=power) <= difference
        )

    if objects is None:
        return Plan(_least(lambda n: finds(Plan(n, poses)), 2, _MOST_OBJECTS), poses)
    if not finds(Plan(objects, poses)):
        gain = detectable_paired(
            objects * poses, discordant, design_effect=design_effect(poses, correlation), objects=objects, alpha=alpha, power=power
        )
        raise EvalError(
            f"{objects} objects x {poses} poses would not find {100 * difference:.0f} points, but {100 * gain:.0f}; more objects would"
        )
    each = _least(lambda m: finds(Plan(objects, m)), 1, poses)
    return Plan(_least(lambda n: finds(Plan(n, each)), 2, objects), each)


def _least(holds: Callable[[int], bool], low: int, high: int) -> int:
    """Smallest number in low to high for which it holds, once it always does."""
    if not holds(high):
        raise EvalError(f"not even {high} would do")
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _z(probability: float) -> float:
    return float(stats.norm.ppf(probability))


def _root(short: Callable[[float], float], most: float) -> float:
    """Where `short` turns positive on (0, most]."""
    if most <= 0 or short(most) < 0:
        return math.inf
    return float(optimize.root_scalar(short, bracket=(1e-9, most)).root)
