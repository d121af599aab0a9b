"""The page of a comparison: the verdict first, red where worlds differ, every object with its two values."""

from dataclasses import replace

import pytest
from report_samples import OBJECTS, comparison, pictures

from eval.comparison import Early
from eval.errors import EvalError
from eval.pages.comparison import write_comparison
from eval.pages.words import plain
from eval.statistics import Interval

BANNER = "tried in different worlds"


def test_the_verdict_comes_first_in_words(tmp_path):
    html = write_comparison(tmp_path / "report.html", comparison(), (pictures(tmp_path / "shown"),)).read_text()
    heading = html[html.index("<h1") : html.index("</h1>")]
    assert "The new policy lifts more" in heading
    assert "cezanne compare new_policy old_policy" in html
    assert "3 trials of old_policy that new_policy did not run are left out" in html
    assert r"old\_policy" in (tmp_path / "table.tex").read_text()


def test_different_worlds_are_marked_in_red(tmp_path):
    assert BANNER not in write_comparison(tmp_path / "a.html", comparison()).read_text()
    html = write_comparison(tmp_path / "b.html", comparison(across=True)).read_text()
    assert html.index(BANNER) < html.index("<h1")
    assert "egl" in html


def test_every_object_is_shown_with_both_values(tmp_path):
    made = comparison(name="<b>new</b>")
    html = write_comparison(tmp_path / "report.html", made).read_text()
    assert html.count('class="duel"') == sum(len(contest.objects) for contest in made.contests)
    assert all(plain(name) in html for name in OBJECTS if "<" not in name)
    assert "<b>new</b>" not in html


def test_a_sequential_comparison_shows_its_evidence(tmp_path):
    early = Early(40, 96, True, 0.02, Interval(0.02, 0.4), tuple((k, 1.1**k) for k in range(1, 41)))
    html = write_comparison(tmp_path / "report.html", comparison(early=early)).read_text()
    assert "Stopped early: 40 of 96 pairs" in html
    assert "evidence (e-value)" in html
    assert "Evidence" not in write_comparison(tmp_path / "other.html", comparison()).read_text()


def test_no_contest_no_page(tmp_path):
    with pytest.raises(EvalError, match="share no contest"):
        write_comparison(tmp_path / "report.html", replace(comparison(), contests=()))
