"""Evaluation: any number of workers, interrupted or not, gives the same table; nothing counts that did not run."""

import errno
import importlib
from dataclasses import replace

import pytest
from eval_world import Lift, Reach, Thing, clumsy, skilled, things

from eval.errors import EvalError
from eval.evaluate import Cell, Crew, EvalConfig, evaluate, evaluate_all
from eval.kept import Kept
from eval.outcome import Reason
from eval.results import joined, load_report, load_rows
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


def test_an_interrupted_evaluation_continues_with_the_next_trial(tmp_path):
    whole = evaluate(clumsy, suite(), RULES, workers=0, robot=Lift)
    evaluate(clumsy, suite(), RULES, workers=0, robot=Lift, out=tmp_path)
    (journal,) = tmp_path.glob("parts/*/trials.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == len(whole.rows)
    killed = b"".join(lines[:7]) + lines[7][:30]  # in the middle of a line
    journal.write_bytes(killed)
    again = evaluate(clumsy, suite(), RULES, workers=0, robot=Lift, out=tmp_path)
    assert table(again) == table(whole)
    assert journal.read_bytes().startswith(killed)
    assert len(Kept(journal.parent).found) == len(whole.rows)


def test_a_longer_evaluation_takes_up_the_trials_of_a_shorter_one(tmp_path, capsys):
    evaluate(clumsy, suite(trials=2), RULES, workers=0, robot=Lift, out=tmp_path)
    more = evaluate(clumsy, suite(trials=16), RULES, workers=0, robot=Lift, out=tmp_path)
    assert "10 of 80 trials kept" in capsys.readouterr().err
    assert table(more) == table(evaluate(clumsy, suite(trials=16), RULES, workers=0, robot=Lift))


def test_several_cells_at_once_give_what_each_gives_alone():
    cells = [Cell(policy, suite(trials=n), RULES, Lift) for policy, n in ((clumsy, 4), (skilled, 2))]
    reports = evaluate_all(cells, crew=Crew(workers=2))
    assert [table(report) for report in reports] == [table(evaluate(c.policy, c.suite, RULES, workers=0, robot=Lift)) for c in cells]
    assert reports[0].digest() == evaluate(clumsy, suite(), RULES, workers=0, robot=Lift).digest()
    assert reports[0].digest() != reports[1].digest()


def test_what_two_cells_have_in_common_is_tried_once(tmp_path):
    cells = [Cell(clumsy, suite(trials=n), RULES, Lift) for n in (16, 4, 4)]
    heard = []
    reports = evaluate_all(cells, crew=Crew(workers=0), out=tmp_path, watch=lambda c, row: heard.append((c, row.key)))
    assert [len(report.rows) for report in reports] == [80, 20, 20]
    assert table(reports[1]) == table(reports[2]) == table(evaluate(clumsy, suite(), RULES, workers=0, robot=Lift))
    (journal,) = tmp_path.glob("parts/*/trials.jsonl")
    assert len(journal.read_text().splitlines()) == 80
    assert len(heard) == len(set(heard)) == 120


def test_a_perturbed_arm_starts_from_the_same_poses_as_its_control():
    perturbed = suite().under("mass", 1.0)
    assert [(t.name, t.pose, t.seed) for t in perturbed.trials] == [(t.name, t.pose, t.seed) for t in suite().trials]
    report = evaluate(skilled, perturbed, RULES, workers=0, robot=lambda item, variation: Lift(item))
    assert {(row.axis, row.strength) for row in report.rows} == {("mass", 1.0)}


def test_a_trial_counts_once():
    report = evaluate(clumsy, suite(), RULES, workers=0, robot=Lift)
    with pytest.raises(EvalError, match="1 trials are there twice, the first is s/thing_0"):
        replace(report, rows=(*report.rows, report.rows[0]))
    with pytest.raises(EvalError, match="there twice"):
        joined([report, report])


def test_arms_of_one_policy_are_told_apart(tmp_path):
    control = evaluate(clumsy, suite(), RULES, workers=0, robot=Lift)
    heavy = replace(control, rows=tuple(replace(row, axis="mass", strength=1.0) for row in control.rows[:9]))
    whole = joined([control, heavy])
    assert whole.summary()["trials"] == 20
    assert whole.summary()["arms"] == {"s none 0.0": control.count(), "s mass 1.0": heavy.count()}
    whole.save(tmp_path)
    assert load_report(tmp_path) == whole


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
    assert summary["missing_trials"] == 4
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


@pytest.mark.parametrize("wrong", [{"trials": 0}, {"trials": 17}, {"suite": "ycb66"}, {"lift": -1.0}, {"workers": -1}, {"videos": -1}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(EvalError):
        EvalConfig(**wrong)


def test_a_folder_without_a_policy_is_named(tmp_path):
    with pytest.raises(PolicyError, match=str(tmp_path)):
        evaluate(tmp_path, suite(), RULES)


def test_a_full_disk_stops_the_evaluation_and_loses_no_trial(tmp_path, monkeypatch):
    from cezanne import main

    add, room = Kept.add, [7]

    def until_full(self, row, seconds):
        if room[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        room[0] -= 1
        add(self, row, seconds)

    monkeypatch.setattr(Kept, "add", until_full)
    module = importlib.import_module("eval.evaluate")  # eval.evaluate is the function
    monkeypatch.setattr(module, "run", lambda cfg: evaluate(clumsy, suite(), RULES, workers=0, robot=Lift, out=tmp_path).summary())
    assert main(["eval"]) == 1
    (journal,) = tmp_path.glob("parts/*/trials.jsonl")
    assert len(Kept(journal.parent).found) == 7
    room[0] = 100
    assert main(["eval"]) == 0
    assert len(journal.read_text().splitlines()) == 20
