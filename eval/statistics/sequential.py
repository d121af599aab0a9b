"""A paired comparison that may stop at any time: a test by betting, one object after the other.

A gambler who starts with 1 and bets on each object that the new policy (or the old one) gains on it, at odds that are fair where
neither does, multiplies the stake by 1 + bet * gain: a martingale. By Ville's inequality its value ever reaches 20 with a probability
of at most 5 % where there is no difference, however often one looks and for whatever reason one stops. All bets from -1 to 1 are made at
once, with equal stakes (Robbins' mixture); where each object is tried once that is the beta mixture on the pairs that differ:
2**n B(1 + a, 1 + b) / B(1, 1). Asking the same of every other difference gives a confidence sequence: those that are not yet refuted
(Waudby-Smith and Ramdas, Journal of the Royal Statistical Society B, 2024).

What makes that valid with trials that resemble each other: the gain of an object is the mean over all its trials, it counts once,
when the object is through, and the objects come in a random order, drawn before the first trial. Counting trials one by one, round
after round over the same objects, is valid only if no object favours either policy; `python -m benchmarks.statistics` prints what
happens otherwise.

The price: many poses of few objects give it little to bet on (a stake cannot be lost twice), so that few poses of many objects suit it
best; and where the two differ by little, the whole suite finds less than a test of fixed size would.

Why not the package sequentialized-barnard-tests (STEP): its arms are unpaired and its trials independent, so that it would throw away
common seeds and be misled by objects that favour one policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize
from scipy.special import logsumexp

from eval.statistics.interval import Interval

_STAKES = 32
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(_STAKES)
_BETS = (_NODES + 1) / 2
"""Bets, 0 to 1, and below what is staked on each: a finite mixture, fair as it is, and equal to the integral for up to 63 objects."""
_LOG_WEIGHTS = np.log(_WEIGHTS / 2)


def log_evidence(gains: np.ndarray, difference: float | np.ndarray = 0.0) -> np.ndarray:
    """Log of the e-value against a mean gain of `difference`, after each object.

    Args:
        gains: of the objects in the order they were tried, -1 to 1, (..., objects).
        difference: that is put to the test, within -1 to 1; broadcasts with the leading axes.

    Returns:
        (..., objects); log(20) and more refutes the difference at 5 %.
    """
    up, down = _sides(np.asarray(gains, float), np.asarray(difference, float))
    return np.logaddexp(up, down) - np.log(2)


def confidence_sequence(gains: np.ndarray, *, alpha: float = 0.05) -> Interval:
    """The mean gains that the objects so far, (objects,), do not refute; right at all times together with probability 1 - alpha."""
    gains = np.asarray(gains, float)
    if len(gains) == 0:
        return Interval(-1.0, 1.0)
    middle = float(np.clip(gains.mean(), -1 + 1e-6, 1 - 1e-6))

    def over(difference: float) -> float:
        return float(log_evidence(gains, difference)[-1] + np.log(alpha))

    # convex in the difference, and the mean is never refuted: one root on each side, or none before the end
    edge = 1 - 1e-9
    low = -1.0 if over(-edge) < 0 else optimize.root_scalar(over, bracket=(-edge, middle)).root
    high = 1.0 if over(edge) < 0 else optimize.root_scalar(over, bracket=(middle, edge)).root
    return Interval(float(low), float(high))


@dataclass(frozen=True)
class Sequential:
    """The state of a comparison after some objects; a value: `then` returns the next one."""

    gains: tuple[float, ...] = ()
    """Of each object so far: successes of the new policy minus those of the old, over the trials of both, -1 to 1."""
    alpha: float = 0.05
    """Share of false alarms."""
    small: float = 0.0
    """Stop also when every difference of this size is refuted, 0 to 1; 0: never for that reason."""

    def then(self, gains: Sequence[float]) -> Sequential:
        """After more objects."""
        return Sequential((*self.gains, *(float(gain) for gain in gains)), self.alpha, self.small)

    @property
    def mean(self) -> float:
        """Mean gain of an object, -1 to 1."""
        return sum(self.gains) / max(len(self.gains), 1)

    @property
    def path(self) -> tuple[float, ...]:
        """The e-value after each object."""
        return tuple(np.exp(np.minimum(log_evidence(np.array(self.gains)), 700)).tolist()) if self.gains else ()

    @property
    def p_value(self) -> float:
        """Valid whenever one stops."""
        return min(1.0, 1 / max(self.path, default=1.0))

    @property
    def interval(self) -> Interval:
        """Of the mean gain of an object; valid whenever one stops."""
        found = confidence_sequence(np.array(self.gains), alpha=self.alpha)
        if not self.differs:
            return found
        return Interval(max(found.low, 0.0), found.high) if self.mean > 0 else Interval(found.low, min(found.high, 0.0))  # once out, out

    @property
    def differs(self) -> bool:
        """Whether the two are told apart."""
        return self.p_value <= self.alpha

    @property
    def same(self) -> bool:
        """Whether the two are told to be nearly the same."""
        return self.small > 0 and not self.differs and -self.small < self.interval.low and self.interval.high < self.small

    @property
    def decided(self) -> bool:
        """Whether to stop."""
        return self.differs or self.same


def _sides(gains: np.ndarray, difference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log wealth of those who bet on more than `difference`, and on less, after each object, (..., objects) each.

    Bets reach as far as they can without ruin: 1 / (1 + difference) on more, 1 / (1 - difference) on less.
    """
    sides = []
    for sign in (1, -1):
        gain = (1 + sign * gains) / (1 + sign * difference[..., None])  # what a stake on this side becomes
        factors = np.log1p(_BETS * (gain[..., None] - 1))  # (..., objects, stakes)
        sides.append(logsumexp(np.cumsum(factors, axis=-2) + _LOG_WEIGHTS, axis=-1))
    return sides[0], sides[1]
