"""Evaluation: any number of workers, interrupted or not, gives the same table; nothing counts that did not run."""

from dataclasses import replace

import pytest
from eval_world import Lift, Reach, Thing, clumsy, skilled, things

from eval.errors import EvalError
from eval.evaluate import EvalConfig, evaluate
from eval.outcome import Reason
from eval.results import load_rows
from eval.suite import make_suite
from eval.trial import Rules
from policies.errors import PolicyError

RULES = Rules(execute=4)


def suite(*names, trials=4):
    items = tuple(Thing(name) for name in names) or things(5)
    return make_suite("s", items, trials=trials, seed=0)


def table(report):
    return [replace(row, latency_ms=None) for row in report.rows]


def test_any_number_of_workers_gives_the_same_table():
    alone = evaluate(clumsy, suite(), RULES, workers=0, robot=Lift)
    two = evaluate(clumsy, suite(), RULES, workers=2, robot=Lift)
    assert table(alone) == table(two)
    assert 0 < alone.summary()["successes"] < 20
    assert [(row.object, row.pose) for row in alone.rows] == [(t.name, t.pose) for t in suite().trials]


def test_an_interrupted_evaluation_continues_to_the_same_table(tmp_path):
    whole = evaluate(clumsy, suite(), RULES, workers=0, robot=Lift)
    evaluate(clumsy, suite(), RULES, workers=0, robot=Lift, out=tmp_path)
    parts = sorted(tmp_path.glob("parts/*/*.json"))
    assert len(parts) == 5
    parts[1].unlink()
    parts[3].write_text('{"rows": [')  # killed while writing elsewhere: damaged
    before = parts[0].stat().st_mtime_ns
    again = evaluate(clumsy, suite(), RULES, workers=0, robot=Lift, out=tmp_path)
    assert table(again) == table(whole)
    assert parts[0].stat().st_mtime_ns == before


def test_results_of_another_policy_or_rule_are_never_taken_up(tmp_path):
    evaluate(clumsy, suite(), RULES, workers=0, robot=Lift, out=tmp_path)
    better = evaluate(skilled, suite(), RULES, workers=0, robot=Lift, out=tmp_path)
    assert better.summary()["successes"] == 20
    evaluate(skilled, suite(), replace(RULES, lift=0.15), workers=0, robot=Lift, out=tmp_path)
    assert len(list((tmp_path / "parts").iterdir())) == 3


def test_what_did_not_run_counts_for_nothing():
    report = evaluate(skilled, suite("ball", "impossible", "thing"), RULES, workers=0, robot=Lift)
    summary = report.summary()
    assert (summary["successes"], summary["trials"], summary["unplaced"]) == (6, 6, 2)
    assert "does not compile" in summary["missing"]["impossible"]
    assert summary["per_object"]["ball"] == [2, 2]
    assert sum(summary["reasons"].values()) == summary["trials"]


def test_nothing_at_all_is_an_error_not_a_zero():
    report = evaluate(skilled, suite("impossible"), RULES, workers=0, robot=Lift)
    with pytest.raises(EvalError, match="does not compile"):
        report.summary()


def test_a_worker_that_dies_takes_only_its_object():
    report = evaluate(skilled, suite("explosive", "thing", "other"), RULES, workers=2, robot=Lift)
    assert report.summary()["successes"] == 8
    assert "died" in report.missing["explosive"]


def nan():
    return Reach(nan_at=3)


def test_nan_is_reported_as_refused():
    summary = evaluate(nan, suite(), RULES, workers=0, robot=Lift).summary()
    assert (summary["success_rate"], summary["reasons"]["refused"], summary["trials"]) == (0, 20, 20)


def test_table_is_written_and_read_back(tmp_path):
    report = evaluate(clumsy, suite("ball", "thing"), RULES, workers=0, robot=Lift)
    report.save(tmp_path)
    rows = load_rows(tmp_path / "trials.parquet")
    assert rows == report.rows
    assert rows[-1].reason in Reason
    (tmp_path / "trials.parquet").write_text("no table")
    with pytest.raises(EvalError, match="no table"):
        load_rows(tmp_path / "trials.parquet")


@pytest.mark.parametrize("wrong", [{"trials": 0}, {"trials": 17}, {"suite": "ycb65"}, {"lift": -1.0}, {"workers": -1}, {"videos": -1}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(EvalError):
        EvalConfig(**wrong)


def test_a_folder_without_a_policy_is_named(tmp_path):
    with pytest.raises(PolicyError, match=str(tmp_path)):
        evaluate(tmp_path, suite(), RULES)
