"""Statistics: known values, symmetry, coverage."""

import math

import numpy as np
import pytest

from benchmarks.statistics import draw_pairs, draw_wins, mcnemar_p, planted, spread_of
from eval.errors import EvalError
from eval.outcome import Outcome, Reason
from eval.statistics import clustered, detectable, detectable_paired, mcnemar, paired, wilson
from eval.statistics.interval import clopper_pearson, rate_bounds
from eval.statistics.pairing import holm
from eval.statistics.power import recommend


def row(name, pose, success):
    reason = Reason.UNPLACED if success is None else Reason.SUCCESS if success else Reason.MISSED
    return Outcome("s", name, pose, 0, success, reason, 10, 0.5, None, 0.0, None)


def rows(table):
    """One row for each entry of (objects, poses)."""
    return [row(f"o{i:03}", j, None if value is None else bool(value)) for i, line in enumerate(table) for j, value in enumerate(line)]


@pytest.mark.parametrize(
    ("k", "n", "low", "high"), [(9, 10, 0.596, 0.982), (45, 50, 0.786, 0.957), (90, 100, 0.826, 0.945), (450, 500, 0.871, 0.923)]
)
def test_wilson_against_known_values(k, n, low, high):
    found = wilson(k, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-4)


def test_no_trial_no_rate():
    with pytest.raises(EvalError):
        wilson(0, 0)


def test_mcnemar_is_symmetric_and_exact():
    assert mcnemar(3, 11) == mcnemar(11, 3)
    assert mcnemar(0, 0) == mcnemar(5, 5) == 1
    assert mcnemar(0, 6) == pytest.approx(2 * 0.5**6)


def test_paired_difference_turns_its_sign():
    rng = np.random.default_rng(0)
    a, b = rows(rng.random((12, 4)) < 0.7), rows(rng.random((12, 4)) < 0.4)
    one, two = paired(a, b), paired(b, a)
    assert one.difference == pytest.approx(-two.difference) == pytest.approx(one.first_rate - one.second_rate)
    assert one.interval is not None
    assert one.interval.low < one.difference < one.interval.high
    assert one.p_value == two.p_value


def test_pairs_need_both_trials():
    a, b = rows([[1, 1], [None, 0]]), rows([[1, None], [1, 1]])
    assert paired(a, b).trials == 2
    with pytest.raises(EvalError, match="share no trial"):
        paired(rows([[None]]), rows([[1]]))


def test_detectable_against_published_sizes():
    assert detectable(686, 0.85) == pytest.approx(0.05, abs=5e-4)
    assert detectable(199, 0.80) == pytest.approx(0.10, abs=1e-3)
    assert detectable_paired(280, 0.09) == pytest.approx(0.05, abs=5e-4)
    assert detectable_paired(155, 0.20) == pytest.approx(0.10, abs=1e-3)
    assert math.isinf(detectable(3, 0.99))
    assert math.isinf(detectable_paired(10, 0.0))


@pytest.mark.parametrize(("objects", "poses"), [(74, 3), (65, 16), (50, 3)])
def test_intervals_of_a_rate_hold_the_truth_as_often_as_they_say(objects, poses):
    """Objects are easy or hard: Wilson, which takes trials as independent, is too narrow."""
    rng = np.random.default_rng(1)
    for rate, within in [(0.3, 0.1), (0.5, 0.3), (0.7, 0.5), (0.9, 0.2)]:
        wins = draw_wins(rng, 6000, objects, poses, rate, within)
        low, high = rate_bounds(wins, np.full_like(wins, poses))
        assert 0.94 <= ((low <= rate) & (rate <= high)).mean() <= 0.97
    naive = [wilson(int(k), objects * poses) for k in wins.sum(1)[:400]]
    assert sum(bound.low <= rate <= bound.high for bound in naive) < 0.94 * 400


def test_six_objects_are_called_too_few_rather_than_enough():
    wins = draw_wins(np.random.default_rng(2), 4000, 6, 12, 0.9, 0.4)
    low, high = rate_bounds(wins, np.full_like(wins, 12))
    assert ((low <= 0.9) & (high >= 0.9)).mean() >= 0.94


@pytest.mark.parametrize(("objects", "poses"), [(74, 3), (50, 3), (30, 8)])
def test_intervals_of_a_difference_hold_the_truth_as_often_as_they_say(objects, poses):
    rng, held = np.random.default_rng(3), []
    for gain, within, likeness in [(0.0, 0.3, 0.6), (0.1, 0.1, 0.8), (0.1, 0.4, 0.8)]:
        low, high = spread_of(draw_pairs(rng, 1500, objects, poses, (0.6 + gain, 0.6), within, likeness)).bounds()
        held.append(((low <= gain) & (gain <= high)).mean())
    assert 0.94 <= np.mean(held) <= 0.97


def test_no_difference_raises_few_alarms_even_where_objects_favour_a_policy():
    pairs = draw_pairs(np.random.default_rng(4), 1000, 65, 8, (0.6, 0.6), 0.4, 0.6)
    over_objects, by_trial = spread_of(pairs).p_value, mcnemar_p(pairs)
    assert (np.maximum(over_objects, by_trial) <= 0.05).mean() <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 1000)
    assert (by_trial <= 0.05).mean() > 0.15  # why McNemar alone is not the verdict


@pytest.mark.parametrize("poses", [1, 3, 16])
def test_ten_points_are_found_at_the_recommended_size(poses):
    assert planted(np.random.default_rng(5), 500, poses, 0.1)["power"] >= 0.8 - 2 * math.sqrt(0.16 / 500)


def test_recommendations_are_monotone_and_say_what_cannot_be():
    sizes = [recommend(d, objects=74).trials for d in (0.3, 0.2, 0.15)]
    assert sizes == sorted(sizes)
    assert recommend(0.1, correlation=0.5, poses=4).objects > recommend(0.1, correlation=0.0, poses=4).objects
    assert detectable_paired(222, 0.3, design_effect=2, objects=74) > detectable_paired(222, 0.3)
    with pytest.raises(EvalError, match="6 objects x 16 poses would not find 2 points"):
        recommend(0.02, objects=6)
    with pytest.raises(EvalError, match="discordant"):
        recommend(0.5, discordant=0.3)


def test_holm_against_known_values_and_its_laws():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    values = np.random.default_rng(6).random(9) ** 3
    found = holm(values.tolist())
    assert all(found >= values)
    assert np.argsort(values).tolist() == np.argsort(found, kind="stable").tolist() or max(found) == 1
    assert min(found) == pytest.approx(min(1, 9 * values.min()))


def test_clopper_pearson_holds_wilson_s_rate_and_is_exact():
    assert (clopper_pearson(0, 10).low, clopper_pearson(10, 10).high) == (0, 1)
    assert clopper_pearson(0, 10).high == pytest.approx(1 - 0.025**0.1)


def test_where_all_trials_agree_the_interval_still_says_how_little_that_is():
    found = clustered(rows([[1, 1, 1, 1]] * 6))
    assert found is not None
    assert (found.low < 0.7, found.high) == (True, pytest.approx(1))
    assert clustered(rows([[1, 0, 1]])) is None  # one object says nothing of others
    same = paired(rows([[1, 0]] * 6), rows([[1, 0]] * 6))
    assert same.interval is not None
    assert same.interval.low < 0 < same.interval.high
    assert same.p == 1


def test_a_trial_that_is_there_twice_is_refused():
    table = rows([[1, 0], [0, 1]])
    with pytest.raises(EvalError, match="twice"):
        paired([*table, table[0]], table)


def test_unplaced_trials_weigh_nothing():
    table = rows([[1, 0, 1], [0, 0, 1], [1, 1, 1]])
    assert clustered([*table, row("o000", 9, None), row("x", 0, None)]) == clustered(table)
