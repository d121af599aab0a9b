"""The test that may stop at any time: closed form, false alarms, what it finds, its interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import betaln

from benchmarks.statistics import draw_pairs, object_evidence, trial_evidence
from eval.statistics.sequential import Sequential, confidence_sequence, log_evidence

ALARM = np.log(20)


def test_with_one_trial_an_object_it_is_the_beta_mixture() -> None:
    gains = np.random.default_rng(0).choice([-1, 0, 0, 1], 60)
    won, lost = (gains > 0).cumsum(), (gains < 0).cumsum()
    assert log_evidence(gains) == pytest.approx((won + lost) * np.log(2) + betaln(1 + won, 1 + lost))


def test_evidence_is_a_fair_game() -> None:
    """Its mean over all equally likely outcomes is one, whatever the gains."""
    outcomes = np.stack(np.meshgrid(*[[-0.75, 0.75]] * 6), -1).reshape(-1, 6)
    assert np.exp(log_evidence(outcomes)).mean(0) == pytest.approx(1)


def test_evidence_takes_no_sides() -> None:
    gains = np.random.default_rng(1).uniform(-1, 1, 30)
    assert log_evidence(gains) == pytest.approx(log_evidence(-gains))
    one, two = confidence_sequence(gains), confidence_sequence(-gains)
    assert (one.low, one.high) == pytest.approx((-two.high, -two.low), abs=1e-6)


def test_looking_after_every_object_raises_few_false_alarms_even_where_objects_favour_a_policy() -> None:
    pairs = draw_pairs(np.random.default_rng(2), 500, 65, 8, (0.6, 0.6), 0.4, likeness=0.6)
    alarms = (object_evidence(pairs).max(1) >= ALARM).mean()
    naive = (trial_evidence(pairs).max(1) >= ALARM).mean()
    assert alarms <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 500)
    assert naive > 0.1  # why trials of one object do not count one by one


def test_a_large_difference_is_found_early() -> None:
    pairs = draw_pairs(np.random.default_rng(3), 200, 74, 3, (0.85, 0.6), 0.3, likeness=0.8)
    decided = object_evidence(pairs) >= ALARM
    assert decided.any(1).mean() >= 0.8
    assert np.where(decided.any(1), decided.argmax(1) + 1, 74).mean() < 60


def test_the_interval_holds_the_truth_at_all_looks_together() -> None:
    rng, held = np.random.default_rng(4), 0
    for _ in range(40):
        gains = rng.choice([-1, -1 / 3, 0, 1 / 3, 1], 40, p=[0.05, 0.1, 0.45, 0.25, 0.15])  # mean 0.15
        bounds = [confidence_sequence(gains[:k]) for k in (5, 10, 20, 40)]
        held += all(bound.low <= 0.15 <= bound.high for bound in bounds)
        assert bounds[0].high - bounds[0].low > bounds[-1].high - bounds[-1].low
    assert held >= 36


def test_state_and_interval_agree() -> None:
    state = Sequential().then([0.5] * 20)
    assert state.differs
    assert state.decided
    assert state.interval.low > 0
    kept = state.then([-1.0] * 6)  # what was refuted stays refuted
    assert kept.differs
    assert kept.interval.low >= 0
    assert not Sequential().then([0.5, -0.5]).decided
    assert (Sequential().p_value, Sequential().interval.low) == (1, -1)


def test_sameness_is_claimed_only_where_differences_are_ruled_out() -> None:
    gains = [0.2, -0.2, 0.0, 0.0] * 15
    assert Sequential(small=0.3).then(gains).same
    assert not Sequential(small=0.02).then(gains).same
    assert not Sequential().then(gains).decided
