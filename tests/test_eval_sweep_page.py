"""The page of a sweep: control first, drops on common trials, nothing counted that did not run."""

import pytest
from report_samples import clip, outcome, pictures, report

from eval.errors import EvalError
from eval.outcome import Reason
from eval.pages.arm import Arm, drops, rate_of
from eval.pages.sweep import SweepPage, write_sweep
from eval.results import Report

AXES = (("none", 0.0), ("light", 0.5), ("light", 1.0), ("mask_noise", 1.0))


def arms(**more) -> tuple[Arm, ...]:
    return tuple(Arm("cezanne", axis, s, report(0.8 - 0.5 * s, axis=axis, strength=s, **more)) for axis, s in AXES)


def test_a_drop_is_the_arm_minus_its_control_on_common_trials():
    found = drops(arms())
    assert [(drop.arm.axis, drop.arm.strength) for drop in found] == list(AXES[1:])
    control, strong = rate_of(arms()[0].report.rows), rate_of(arms()[2].report.rows)
    assert control
    assert strong
    assert found[1].paired.difference == pytest.approx(strong.rate - control.rate)
    assert found[1].paired.difference < 0
    assert all(drop.adjusted_p >= drop.paired.p for drop in found)


def test_arms_without_a_control_or_without_trials_have_no_drop():
    assert drops(arms()[1:]) == []
    empty = report(0.5, axis="light", strength=0.5, objects=("011_banana", "milk")[:1], trials=2)
    rows = tuple(outcome(row.object, row.pose, Reason.UNPLACED, axis="light", strength=0.5) for row in empty.rows)
    bare = Arm("cezanne", "light", 0.5, Report("ycb", rows, 1.0, {}))
    assert rate_of(rows) is None
    assert drops((arms()[0], bare)) == []


def test_the_page_holds_everything(tmp_path):
    failed = clip(tmp_path, outcome("011_banana", 1, Reason.SLIPPED, axis="light", strength=1.0))
    shown = [*arms(), Arm("heuristic", "none", 0.0, report(0.4, unplaced=2, planned=50, missing={"milk": "died"}), (failed,))]
    page = SweepPage("Sweep", tuple(shown), "Lead.", (pictures(tmp_path / "shown"),), "cezanne sweep axes=[light]")
    html = write_sweep(tmp_path / "out" / "report.html", page).read_text()
    texts = (
        "control",
        "mask noise",
        "heuristic",
        "lifted, then lost",
        "cezanne sweep axes=[light]",
        "2 trials of 50 missing",
        "Missing: milk",
    )
    for text in texts:
        assert text in html
    assert html.index("<b>control</b>") < html.index('scope="row">light')
    assert "tab:sweep" in (tmp_path / "out" / "table.tex").read_text()


def test_a_sweep_of_the_control_arm_alone_has_a_page(tmp_path):
    html = write_sweep(tmp_path / "report.html", SweepPage("Control", arms()[:1])).read_text()
    assert "Success against strength" not in html
    assert "Success by object" in html


def test_an_arm_in_which_nothing_took_place_is_shown_as_missing(tmp_path):
    rows = tuple(outcome("milk", k, Reason.UNPLACED, axis="light", strength=1.0) for k in range(3))
    bare = Arm("cezanne", "light", 1.0, Report("ycb", rows, 1.0, {}))
    html = write_sweep(tmp_path / "report.html", SweepPage("Sweep", (arms()[0], bare))).read_text()
    assert "3 trials did not take place" in html


def test_no_arm_no_page(tmp_path):
    with pytest.raises(EvalError, match="without any arm"):
        write_sweep(tmp_path / "report.html", SweepPage("Nothing", ()))
