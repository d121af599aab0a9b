"""Statistics: known values, symmetry, coverage."""

import math

import numpy as np
import pytest

from eval.errors import EvalError
from eval.outcome import Outcome, Reason
from eval.statistics import clustered, detectable, detectable_paired, mcnemar, paired, wilson


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


def test_bootstrap_over_objects_covers_where_trials_of_an_object_resemble_each_other():
    """Objects are easy or hard: Wilson, which takes trials as independent, is far too narrow."""
    rng = np.random.default_rng(1)
    covered = naive = 0
    for _ in range(150):
        rate = rng.beta(0.8, 0.8, size=40)
        table = rows(rng.random((40, 8)) < rate[:, None])
        over, wil = clustered(table), wilson(sum(r.success is True for r in table), 320)
        assert over is not None
        covered += over.low <= 0.5 <= over.high
        naive += wil.low <= 0.5 <= wil.high
    assert 0.88 <= covered / 150 <= 0.99
    assert naive < covered


def test_bootstrap_is_seeded_and_honest_about_nothing():
    table = rows([[1, 0, 1], [0, 0, 1], [1, 1, 1]])
    assert clustered(table) == clustered(table)
    assert clustered(rows([[1, 1], [1, 1]])) is None


def test_unplaced_trials_weigh_nothing():
    table = rows([[1, 0, 1], [0, 0, 1], [1, 1, 1]])
    assert clustered([*table, row("o000", 9, None), row("x", 0, None)]) == clustered(table)
