"""Sweeps and replays, with policies that need no training, in the real simulation."""

import json

import pytest

from eval.errors import EvalError
from eval.evaluate import EvalConfig
from eval.evaluate import run as evaluate
from eval.replay import ReplayConfig, find
from eval.replay import run as replay
from eval.results import load_report
from eval.sweep import SweepConfig
from eval.sweep import run as sweep


def settings(out, **more):
    return SweepConfig(
        **{"references": ["nothing"], "suites": ["household"], "limit": 2, "trials": 1, "horizon": 0.7, "videos": 1, "workers": 1}
        | {"axes": ["mass", "mask_drop"], "strengths": [1.0], "out": str(out)}
        | more
    )


def test_a_sweep_has_its_control_and_continues_where_it_was_stopped(tmp_path, capsys):
    summary = sweep(settings(tmp_path))
    whole = load_report(tmp_path / "nothing")
    assert {(row.axis, row.strength) for row in whole.rows} == {("none", 0.0), ("mass", 1.0), ("mask_drop", 1.0)}
    assert len({(row.object, row.pose, row.seed) for row in whole.rows}) == 2
    assert summary["trials"] == 6
    assert summary["policies"]["nothing"]["successes"] == 0
    assert (tmp_path / "report.html").exists()
    (journal,) = tmp_path.glob("parts/*/trials.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:4]))
    capsys.readouterr()
    again = sweep(settings(tmp_path))
    assert "4 of 6 trials kept" in capsys.readouterr().err
    assert again["policies"]["nothing"]["table"] == summary["policies"]["nothing"]["table"]
    assert json.loads((tmp_path / "summary.json").read_text())["trials"] == 6


def test_a_trial_is_replayed_from_its_row(tmp_path):
    evaluate(EvalConfig(reference="nothing", suite="household", limit=1, trials=2, horizon=0.7, videos=0, workers=1, out=str(tmp_path)))
    report = load_report(tmp_path)
    summary = replay(ReplayConfig(str(tmp_path), f"{report.rows[1].object}/{report.rows[1].pose}"))
    assert summary["same"]
    assert summary["seed"] == report.rows[1].seed
    assert list((tmp_path / "replays").glob("*.mp4"))
    with pytest.raises(EvalError, match="names 2 trials"):
        find(report, report.rows[0].object)
    with pytest.raises(EvalError, match="rows 0 to 1"):
        find(report, "2")
    with pytest.raises(EvalError, match="no trial"):
        find(report, "teapot/0")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"suites": []}, "empty"),
        ({"suites": ["teapots"]}, "unknown suite"),
        ({"references": ["oracle"]}, "unknown reference"),
        ({"references": []}, "checkpoints="),
        ({"references": ["nothing", "nothing"]}, "twice"),
        ({"strengths": []}, "strengths is empty"),
        ({"axes": ["gravity"]}, "gravity"),
        ({"strengths": [1.5]}, "1.5"),
        ({"trials": 0}, "1 to 16"),
    ],
)
def test_impossible_sweeps_are_refused_before_anything_runs(wrong, says, tmp_path):
    with pytest.raises(Exception, match=says) as error:
        sweep(settings(tmp_path, **wrong))
    assert type(error.value).__module__.split(".")[0] in ("eval", "sim")
    assert not list(tmp_path.iterdir())
