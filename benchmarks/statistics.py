"""The statistics themselves, put to the test on made-up trials: `python -m benchmarks.statistics`.

Objects are easy or hard: the success rate of each is drawn from a beta distribution, so that trials of one object are correlated by 0.1 to
0.5. Two policies find the same objects hard, more or less, and the same trials. Every line is JSON; the last one holds the bounds: how
often 95 % intervals hold the truth, how often a test sees a difference where there is none, and how often it finds one of 10 points.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import stats
from scipy.special import betaln, ndtr

from eval.statistics.interval import difference_spread, rate_bounds
from eval.statistics.power import recommend
from eval.statistics.sequential import log_evidence

DESIGNS = ((74, 3), (65, 16), (50, 3), (6, 12))
"""Objects and poses: YCB, the paper's 65, unseen toys, household."""
RATES = (0.3, 0.5, 0.7, 0.9)
CORRELATIONS = (0.1, 0.3, 0.5)
LIKENESS = (0.6, 0.8, 1.0)
"""Correlation of an object's rates with the two policies (of their normal scores); 1: both find each as hard."""
SHARED = 0.5
"""Share of trials that are hard or easy for both alike."""
SHARES = np.linspace(1e-6, 1 - 1e-6, 401)


@dataclass(frozen=True)
class Pairs:
    """Trials of two policies: which of them won, (repetitions, objects, poses) each."""

    first: np.ndarray
    second: np.ndarray

    @property
    def first_only(self) -> np.ndarray:
        """Pairs that only the first won, (repetitions, objects)."""
        return (self.first & ~self.second).sum(2)

    @property
    def second_only(self) -> np.ndarray:
        """Pairs that only the second won, (repetitions, objects)."""
        return (self.second & ~self.first).sum(2)


def draw_wins(rng: np.random.Generator, n: int, objects: int, poses: int, rate: float, correlation: float) -> np.ndarray:
    """Successes of each object, (n, objects)."""
    size = 1 / correlation - 1
    return rng.binomial(poses, rng.beta(rate * size, (1 - rate) * size, (n, objects)))


@cache
def quantiles(rate: float, correlation: float) -> np.ndarray:
    """Success rates of objects below which each of SHARES lies."""
    size = 1 / correlation - 1
    return stats.beta.ppf(SHARES, rate * size, (1 - rate) * size)


def draw_pairs(
    rng: np.random.Generator, n: int, objects: int, poses: int, rates: tuple[float, float], correlation: float, likeness: float
) -> Pairs:
    """Trials of two policies with these rates."""
    score = rng.standard_normal((n, objects))
    other = likeness * score + np.sqrt(1 - likeness**2) * rng.standard_normal((n, objects))
    mine, theirs = (
        np.interp(ndtr(z), SHARES, quantiles(rate, correlation))[..., None] for z, rate in zip((score, other), rates, strict=True)
    )
    luck = rng.random((n, objects, poses))
    second_luck = np.where(rng.random(luck.shape) < SHARED, luck, rng.random(luck.shape))
    return Pairs(luck < mine, second_luck < theirs)


def coverage(rng: np.random.Generator, n: int, objects: int, poses: int) -> list[float]:
    """Share of intervals over objects that hold the rate, for each rate and correlation."""
    found = []
    for rate in RATES:
        for correlation in CORRELATIONS:
            wins = draw_wins(rng, n, objects, poses, rate, correlation)
            low, high = rate_bounds(wins, np.full_like(wins, poses))
            found.append(float(((low <= rate) & (rate <= high)).mean()))
    return found


def difference_coverage(rng: np.random.Generator, n: int, objects: int, poses: int) -> list[float]:
    """Share of intervals that hold the difference, for each rate, correlation and likeness, with a gain of 0 and of 10 points."""
    found = []
    for rate in (0.5, 0.7, 0.85):
        for gain in (0.0, 0.1):
            for correlation in CORRELATIONS:
                for likeness in LIKENESS:
                    pairs = draw_pairs(rng, n, objects, poses, (rate + gain, rate), correlation, likeness)
                    low, high = spread_of(pairs).bounds()
                    found.append(float(((low <= gain) & (gain <= high)).mean()))
    return found


def spread_of(pairs: Pairs):
    """The interval's spread of every repetition."""
    one = pairs.first_only
    return difference_spread(one, pairs.second_only, np.full_like(one, pairs.first.shape[2]))


def mcnemar_p(pairs: Pairs) -> np.ndarray:
    """Exact p-values, (repetitions,)."""
    one, two = pairs.first_only.sum(1), pairs.second_only.sum(1)
    return np.minimum(1, 2 * stats.binom.cdf(np.minimum(one, two), one + two, 0.5))


def object_evidence(pairs: Pairs) -> np.ndarray:
    """Log evidence after each object, (repetitions, objects): what `cezanne compare sequential=true` does."""
    return log_evidence((pairs.first_only - pairs.second_only) / pairs.first.shape[2])


def trial_evidence(pairs: Pairs) -> np.ndarray:
    """Log evidence after each trial, round after round: the beta mixture on pairs that differ, which takes them as independent."""
    order = (pairs.first.astype(int) - pairs.second).transpose(0, 2, 1).reshape(len(pairs.first), -1)
    one, two = (order > 0).cumsum(1), (order < 0).cumsum(1)
    return (one + two) * np.log(2) + betaln(1 + one, 1 + two)


def false_alarms(rng: np.random.Generator, n: int, objects: int, poses: int, likeness: float) -> dict[str, float]:
    """Share of repetitions, without a difference on the whole, in which each test sees one; the worst over rates and correlations."""
    worst: dict[str, float] = {}
    for rate in (0.5, 0.8):
        for correlation in (0.1, 0.4):
            pairs = draw_pairs(rng, n, objects, poses, (rate, rate), correlation, likeness)
            p_objects, p_mcnemar = spread_of(pairs).p_value, mcnemar_p(pairs)
            alarms = {
                "mcnemar": p_mcnemar <= 0.05,
                "difference": p_objects <= 0.05,
                "verdict": np.maximum(p_objects, p_mcnemar) <= 0.05,
                "sequential": object_evidence(pairs).max(1) >= np.log(20),
                "sequential_by_trial": trial_evidence(pairs).max(1) >= np.log(20),
            }
            for name, alarm in alarms.items():
                worst[name] = max(worst.get(name, 0), float(alarm.mean()))
    return worst


def planted(rng: np.random.Generator, n: int, poses: int, gain: float, size: float = 0.1) -> dict[str, float]:
    """A difference of `gain` at the size recommended for one of `size`: how often it is found, and what stopping early saves."""
    rates, correlation, likeness = (0.6 + gain, 0.6), 0.3, 0.8
    pilot = draw_pairs(rng, 200, 100, poses, rates, correlation, likeness)
    discordant = float((pilot.first ^ pilot.second).mean())
    effect = float(spread_of(pilot).design_effect.mean())
    within = max(effect - 1, 0) / (poses - 1) if poses > 1 else 0.0
    plan = recommend(size, discordant=discordant, correlation=within, poses=poses)
    pairs = draw_pairs(rng, n, plan.objects, poses, rates, correlation, likeness)
    found = np.maximum(spread_of(pairs).p_value, mcnemar_p(pairs)) <= 0.05
    decided = object_evidence(pairs) >= np.log(20)
    used = np.where(decided.any(1), decided.argmax(1) + 1, plan.objects)
    return {
        "objects": plan.objects,
        "poses": poses,
        "power": round(float(found.mean()), 3),
        "sequential_power": round(float(decided.any(1).mean()), 3),
        "saved": round(float(1 - used.mean() / plan.objects), 3),
    }


def main() -> None:
    """Prints the figures; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=1000, help="of each setting")
    parser.add_argument("--seed", type=int, default=0, help="of everything")
    arguments = parser.parse_args()
    begin, rng = time.monotonic(), np.random.default_rng(arguments.seed)
    n = arguments.repetitions
    told: dict[str, object] = {"coverage_rate": {}, "coverage_difference": {}}
    for objects, poses in DESIGNS:
        for name, measure, times in (("coverage_rate", coverage, 4), ("coverage_difference", difference_coverage, 1)):
            found = measure(rng, times * n, objects, poses)
            bounds = [round(min(found), 3), round(max(found), 3), round(float(np.mean(found)), 3)]
            told[name][f"{objects}x{poses}"] = bounds  # type: ignore[index]
            print(json.dumps({"measure": name, "objects": objects, "poses": poses, "min_max_mean": bounds}), flush=True)
    for name, likeness in (("objects_alike", 1.0), ("objects_differ", 0.6)):
        worst: dict[str, float] = {}
        for objects, poses in DESIGNS:
            for test, share in false_alarms(rng, n, objects, poses, likeness).items():
                worst[test] = max(worst.get(test, 0), round(share, 4))
        told[f"false_alarm_{name}"] = worst
        print(json.dumps({"measure": f"false_alarm_{name}", **worst}), flush=True)
    plans = [planted(rng, n, poses, gain) for poses in (1, 3, 16) for gain in (0.1, 0.2)]
    for plan, gain in zip(plans, [0.1, 0.2] * 3, strict=True):
        print(json.dumps({"measure": "planted", "gain": gain, **plan}), flush=True)
    told["power_10_points"] = min(plan["power"] for plan in plans[::2])
    told["saved_10_points"], told["saved_20_points"] = ([plan["saved"] for plan in some] for some in (plans[::2], plans[1::2]))
    told["sequential_power_10_points"] = [plan["sequential_power"] for plan in plans[::2]]
    print(json.dumps(told | {"seconds": round(time.monotonic() - begin, 1)}))


if __name__ == "__main__":
    main()
