"""Comparisons: what is paired, what is refused, what is said, and the exit code for CI."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eval_world import Lift, clumsy, skilled, things

import cezanne
from eval.compare import CompareConfig, decided, open_side, run
from eval.comparison import Side, compare
from eval.duel import duel
from eval.errors import EvalError
from eval.evaluate import Crew
from eval.outcome import Outcome, Reason
from eval.results import Report
from eval.suite import make_suite
from eval.trial import Rules
from eval.verdict import Finding

PRINTS = {"mujoco": "3.3", "gl": "egl", "assets": "a", "config": "c", "checkpoint": "x", "commit": "1"}
RULES = {"lift": 0.1, "hold": 0.5, "horizon": 8.0}


def rows(table: np.ndarray, *, suite: str = "s", axis: str = "none", strength: float = 0.0) -> tuple[Outcome, ...]:
    """One trial for each entry of (objects, poses)."""
    return tuple(
        Outcome(suite, f"o{i:03}", j, 7, bool(won), Reason.SUCCESS if won else Reason.MISSED, 10, 0.5, None, 0.0, None, axis, strength)
        for i, line in enumerate(table)
        for j, won in enumerate(line)
    )


def draw(rate: float, *, objects: int = 40, poses: int = 4, seed: int = 0) -> np.ndarray:
    """Common seeds: a trial is as hard for everybody."""
    return np.random.default_rng(seed).random((objects, poses)) < rate


def side(name: str, *parts: tuple[Outcome, ...], rules: dict[str, float] | None = None, **prints: str) -> Side:
    found = tuple(row for part in parts for row in part)
    return Side(name, found, {row.suite: PRINTS | prints for row in found}, rules=RULES if rules is None else rules)


def other_side(key: str) -> Side:
    """One line of its fingerprint is not what it is for all others."""
    found = side("a", rows(draw(0.5)))
    return replace(found, fingerprints={"s": PRINTS | {key: "other"}})


def save(folder: Path, report_rows: tuple[Outcome, ...], **prints: str) -> Path:
    Report("s", report_rows, 1.0, PRINTS | prints, setup={"policy": "p", "sources": {}, "rules": RULES}).save(folder)
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return save(tmp_path / "good", rows(draw(0.8)), checkpoint="g"), save(tmp_path / "bad", rows(draw(0.4)), checkpoint="b")


@pytest.fixture
def verdict(tmp_path: Path):
    """What the verb returns."""

    def run_it(new: Path, old: Path, **keys: Any) -> dict[str, Any]:
        return run(CompareConfig(str(new), str(old), out=str(tmp_path / "out"), **keys))

    return run_it


@pytest.mark.parametrize(("new", "old", "finding"), [(0.8, 0.5, "better"), (0.5, 0.8, "worse"), (0.6, 0.6, "open")])
def test_a_verdict_says_which_is_better(new: float, old: float, finding: str) -> None:
    (contest,) = compare(side("a", rows(draw(new))), side("b", rows(draw(old, seed=1)))).contests
    assert contest.verdict.finding == finding
    assert ("no accident" in contest.verdict.words) == (finding != "open")
    assert ("would have found" in contest.verdict.words) == (finding == "open")


def test_a_comparison_turns_its_sign_with_its_sides() -> None:
    a, b = side("a", rows(draw(0.7))), side("b", rows(draw(0.5, seed=1)))
    (one,), (two,) = compare(a, b).contests, compare(b, a).contests
    assert one.paired.difference == pytest.approx(-two.paired.difference)
    assert one.paired.p == pytest.approx(two.paired.p)
    assert (one.new, one.old) == (two.old, two.new)
    assert [tally.gain for tally in one.objects] == pytest.approx([-tally.gain for tally in two.objects])


def test_trials_that_one_side_did_not_run_count_for_nothing() -> None:
    table = draw(0.6, objects=10)
    full, part = rows(table), rows(table[:6])
    unplaced = tuple(replace(row, success=None, reason=Reason.UNPLACED) for row in rows(table)[24:28])
    (contest,) = compare(side("a", full), side("b", part, unplaced)).contests
    assert (contest.paired.trials, contest.unpaired_new, contest.unpaired_old) == (24, 16, 0)
    assert contest.paired.difference == 0
    assert {tally.object for tally in contest.objects} == {f"o{k:03}" for k in range(6)}


def test_a_trial_that_is_there_twice_is_refused() -> None:
    table = rows(draw(0.5))
    with pytest.raises(EvalError, match="twice"):
        compare(side("a", table, table[:1]), side("b", table))


def test_nothing_in_common_is_refused() -> None:
    with pytest.raises(EvalError, match="share no trial"):
        compare(side("a", rows(draw(0.5))), side("b", rows(draw(0.5), suite="t")))


@pytest.mark.parametrize("key", ["mujoco", "gl", "assets"])
def test_different_worlds_are_refused_unless_insisted(key: str) -> None:
    new, old = other_side(key), side("b", rows(draw(0.5)))
    with pytest.raises(EvalError, match=f"{key} of s: other against"):
        compare(new, old)
    found = compare(new, old, across=True)
    assert found.across
    assert [discord.key for discord in found.discords] == [key]


def test_different_rules_are_refused_with_both_values_but_not_another_size_of_pictures() -> None:
    new, old = rows(draw(0.5)), rows(draw(0.5))
    with pytest.raises(EvalError, match=r"hold=1\.0 against hold=0\.5"):
        compare(side("a", new, rules=RULES | {"hold": 1.0}, config="other"), side("b", old))
    assert not compare(side("a", new, config="other"), side("b", old)).across


@pytest.mark.parametrize("key", ["checkpoint", "commit", "torch"])
def test_other_differences_are_shown_only(key: str) -> None:
    found = compare(other_side(key), side("b", rows(draw(0.5))))
    assert not found.across
    assert [discord.key for discord in found.discords] == [key]


def test_many_contests_correct_each_other() -> None:
    axes = [f"axis{k}" for k in range(8)]
    new = [rows(draw(0.5, seed=k), axis=axis, strength=0.5) for k, axis in enumerate(axes)]
    old = [rows(draw(0.5, seed=k + 50), axis=axis, strength=0.5) for k, axis in enumerate(axes)]
    found = compare(side("a", *new), side("b", *old))
    assert [contest.axis for contest in found.contests] == axes
    assert all(contest.adjusted_p >= contest.paired.p for contest in found.contests)
    assert min(contest.adjusted_p for contest in found.contests) == pytest.approx(min(1, 8 * min(c.paired.p for c in found.contests)))


def test_a_tolerated_loss_is_no_failure() -> None:
    new, old = side("a", rows(draw(0.5))), side("b", rows(draw(0.8)))
    assert compare(new, old).worse()
    assert compare(new, old, margin=0.1).worse()
    assert not compare(new, old, margin=0.28).worse()
    assert not compare(old, new).worse()


def test_the_exit_code_is_for_ci(folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = map(str, folders)
    assert cezanne.main(["compare", bad, good, "--fail-if-worse", f"out={tmp_path / 'out'}"]) == 1
    out, err = capsys.readouterr()
    summary = json.loads(out.splitlines()[-1])
    assert (summary["ok"], summary["worse"], summary["finding"]) == (False, ["s"], "worse")
    assert "no accident" in err
    assert Path(summary["report"]).exists()


def test_only_a_loss_beyond_the_margin_fails_and_only_where_it_is_asked(verdict, folders: tuple[Path, Path]) -> None:
    good, bad = folders
    assert verdict(good, bad, fail_if_worse=True)["ok"]
    assert verdict(bad, good)["ok"]
    assert verdict(bad, good, fail_if_worse=True, margin=60.0)["ok"]
    assert not verdict(bad, good, fail_if_worse=True, margin=5.0)["ok"]
    same = verdict(good, good, fail_if_worse=True)
    assert (same["ok"], same["finding"], same["contests"]["s"]["difference"]) == (True, "open", 0)


def test_what_cannot_be_compared_says_why(verdict, folders: tuple[Path, Path], tmp_path: Path) -> None:
    good, _ = folders
    other = save(tmp_path / "other", rows(draw(0.8)), mujoco="3.2")
    for old, expected in (
        (other, "mujoco of s: 3.3 against 3.2"),
        (tmp_path / "none", "there is no folder"),
        (tmp_path, "several policies"),
    ):
        with pytest.raises(EvalError, match=expected):
            verdict(good, old)
    with pytest.raises(EvalError, match="margin=-1"):
        CompareConfig("a", "b", margin=-1)
    assert verdict(good, other, across=True)["across"]


def test_a_sweep_of_one_policy_is_opened_by_its_folder(tmp_path: Path) -> None:
    save(tmp_path / "sweep" / "policy", rows(draw(0.8)))
    assert len(open_side(tmp_path / "sweep").rows) == 160


@pytest.mark.parametrize(("new", "finding", "saves"), [(skilled, Finding.BETTER, True), (clumsy, Finding.OPEN, False)])
def test_a_duel_stops_when_the_difference_is_clear(tmp_path: Path, new, finding: Finding, saves: bool) -> None:
    """The skilled one always lifts, the clumsy one every other time."""
    suite = make_suite("s", things(24), trials=4, seed=0)
    crew = Crew(workers=0)
    found = duel(new, clumsy, suite, Rules(execute=4), rng=np.random.default_rng(0), batch=4, crew=crew, out=tmp_path, robot=Lift)
    comparison = decided(found, ("new", "old"))
    (contest,) = comparison.contests
    assert comparison.early is not None
    assert contest.verdict.finding is finding
    assert (comparison.early.used < comparison.early.planned) == comparison.early.stopped == saves
    assert comparison.early.used == contest.paired.trials == len(found.new.rows)
    assert (contest.paired.interval is not None and contest.paired.interval.low > 0) == (finding is Finding.BETTER)


def test_a_duel_stops_for_sameness(tmp_path: Path) -> None:
    suite = make_suite("s", things(24), trials=2, seed=0)
    found = duel(
        clumsy, clumsy, suite, Rules(execute=4), rng=np.random.default_rng(0), batch=4, small=0.5, crew=Crew(workers=0), robot=Lift
    )
    (contest,) = decided(found, ("new", "old")).contests
    assert contest.verdict.finding is Finding.SAME
    assert found.pairs[-1] < found.planned
