"""Trials: what counts as success, and why a failure failed."""

import numpy as np
import pytest
from eval_world import Lift, Reach, Thing

from eval.errors import EvalError
from eval.outcome import Outcome, Reason
from eval.suite import Trial
from eval.trial import Rules, run_trial


def attempt(name="thing", pose=0, rules=None, **policy):
    robot = Lift(Thing(name))
    outcome = run_trial(robot, Reach(**policy), Trial(0, name, pose, 7), rules or Rules(), suite="s", execute=4)
    return robot, outcome


def test_a_lift_held_for_half_a_second_is_a_success_and_ends_the_trial():
    robot, outcome = attempt()
    assert outcome.success
    assert outcome.reason is Reason.SUCCESS
    assert outcome.time_to_lift == pytest.approx(11 * 0.05)
    assert outcome.steps == len(robot.sent) == 11 + 10
    assert outcome.seconds == pytest.approx(outcome.steps * 0.05)


@pytest.mark.parametrize(
    ("name", "policy", "reason"),
    [
        ("slippery", {"top": 0.07}, Reason.SLIPPED),
        ("thing", {"top": 0.06}, Reason.UNFINISHED),
        ("wobbly", {"skill": -1}, Reason.TOPPLED),
        ("edge", {"skill": -1}, Reason.TOPPLED),
        ("thing", {"closes": False}, Reason.NEVER_CLOSED),
        ("thing", {"skill": -1}, Reason.MISSED),
    ],
)
def test_failures_have_reasons(name, policy, reason):
    _, outcome = attempt(name, **policy)
    assert (outcome.success, outcome.reason, outcome.time_to_lift) == (False, reason, None)


def test_how_high_and_how_long_are_configured():
    assert attempt(rules=Rules(lift=0.3))[1].reason is Reason.UNFINISHED
    assert attempt(rules=Rules(lift=0.3), top=0.31)[1].success
    assert attempt(rules=Rules(hold=0.0))[1].steps == 11


@pytest.mark.parametrize("nan_at", [0, 5, 10])
def test_nan_stops_the_trial_and_never_reaches_the_robot(nan_at):
    robot, outcome = attempt(nan_at=nan_at)
    assert outcome.reason is Reason.REFUSED
    assert outcome.success is False
    assert robot.stopped
    assert len(robot.sent) == outcome.steps == nan_at
    assert all(np.isfinite(action.qpos).all() for action in robot.sent)


def test_an_object_that_will_not_lie_still_is_no_trial():
    _, outcome = attempt("ball", pose=15)
    assert outcome.reason is Reason.UNPLACED
    assert outcome.success is None


@pytest.mark.parametrize("wrong", [{"lift": 0.0}, {"lift": 2.0}, {"hold": -1.0}, {"hold": 9.0}, {"horizon": 0.0}, {"execute": 0}])
def test_senseless_rules_are_refused(wrong):
    with pytest.raises(EvalError):
        Rules(**wrong)


def test_rows_return():
    _, outcome = attempt()
    assert Outcome.from_row(outcome.row()) == outcome
    with pytest.raises(EvalError):
        Outcome.from_row({"suite": "s"})
