"""The report: one file, nothing fetched, every tag closed."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from report_samples import OBJECTS, clip, outcome, pictures, report

from eval.gallery import choose
from eval.kept import write_jpeg
from eval.outcome import Reason
from eval.pages.breakdown import absent, endings, object_tiles, pose_tiles
from eval.pages.chart import Point, Series
from eval.pages.report import Chart, Comparison, Page, Picture, Section, Stage, plain, write_report
from eval.pages.strip import pictures as cut
from eval.pages.template import tint
from eval.results import load_report
from eval.statistics import paired

VOID = {"meta", "link", "img", "br"}


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.links = [], []

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href", "poster", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def page(folder: Path) -> Page:
    tested = report(0.6, suite="household", unplaced=2, planned=50, missing={"milk": "the worker died twice"})
    write_jpeg(folder / "sheet.jpg", np.zeros((8, 8, 3), np.uint8))
    clips = tuple(clip(folder, row) for success in (True, False) for row in choose(tested.rows, success, 1))
    both = paired(report(0.9, suite="household").rows, tested.rows)
    growth = Series("cezanne", (Point(100, 0.3, 0.2, 0.4), Point(1000, 0.6, 0.5, 0.7)))
    return Page(
        "A & B",
        (Section(tested, clips, pictures(folder / "shown")),),
        comparisons=(Comparison("household", "mean pooling", both),),
        pictures=(Picture("toys", folder / "sheet.jpg"),),
        charts=(Chart("Success against demonstrations", (growth,), "demonstrations", log=True),),
        stages=(Stage("train", 300.0, "6000 steps"),),
        commands=("cezanne demo seed=0",),
    )


def test_report_is_whole_and_fetches_nothing(tmp_path):
    html = write_report(tmp_path / "report.html", page(tmp_path)).read_text()
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    assert tags.links
    assert all(link.startswith(("data:", "#")) for link in tags.links)
    assert not re.search(r"https?://|@import|url\(", html)
    assert "a<b>" not in html
    assert "{{" not in html


def test_report_says_what_happened(tmp_path):
    html = write_report(tmp_path / "report.html", page(tmp_path)).read_text()
    for text in (
        "Household objects",
        "mean pooling",
        "McNemar",
        "95 % interval",
        "Fingerprint",
        "2 trials did not take place",
        "2 trials of 50 missing",
        "Missing: milk. The worker died twice.",
        "Minimum detectable difference",
        "Success against demonstrations",
        "cezanne demo seed=0",
    ):
        assert text in html


def test_results_are_read_back_as_written(tmp_path):
    report = page(tmp_path).sections[0].report
    report.save(tmp_path)
    loaded = load_report(tmp_path)
    assert loaded.rows == report.rows
    assert loaded.fingerprint == report.fingerprint
    assert {**loaded.summary(), "seconds": 0} == {**report.summary(), "seconds": 0}


def test_the_page_reads_without_script(tmp_path):
    html = re.sub(r"<script>.*?</script>", "", write_report(tmp_path / "report.html", page(tmp_path)).read_text(), flags=re.DOTALL)
    assert "tomato soup can" in html
    assert html.count('class="tools"') == html.count('class="tools" hidden')  # buttons that would do nothing are not shown


def test_tables_for_papers_lie_beside_the_page(tmp_path):
    write_report(tmp_path / "report.html", page(tmp_path))
    assert (tmp_path / "table.md").read_text().startswith("| Suite |")
    assert r"\toprule" in (tmp_path / "table.tex").read_text()


def test_trials_that_did_not_run_count_nowhere():
    tested = report(0.5, trials=8, unplaced=8)
    tiles = object_tiles(tested.rows, ())
    assert sum(tile.trials for tile in tiles) == sum(tile.trials for tile in pose_tiles(tested.rows)) == 8 * (len(OBJECTS) - 1)
    assert sum(ending.count for ending in endings(tested.rows)) == 8 * (len(OBJECTS) - 1)
    assert tiles[-1].name == "banana"
    assert tiles[-1].rate is None
    assert absent(tested) == ["8 trials did not take place, since the object would not lie still, and counted neither way: banana (8)."]
    assert absent(report(0.5)) == []


def test_objects_are_sorted_as_people_do():
    rows = [outcome(f"toy-0-{k:05d}", 0, Reason.SUCCESS) for k in (10, 9, 2)]
    assert [tile.name for tile in object_tiles(rows, ())] == ["toy 2", "toy 9", "toy 10"]


def test_a_strip_is_cut_into_its_pictures(tmp_path):
    found = clip(tmp_path, outcome("milk", 0, Reason.MISSED))
    assert len(cut(found.strip)) == 6
    write_jpeg(tmp_path / "one.jpg", np.zeros((20, 90, 3), np.uint8))
    assert len(cut(tmp_path / "one.jpg")) == 1


@pytest.mark.parametrize(("rate", "colour"), [(0.0, "bad) 100%"), (1.0, "good) 100%"), (0.5, "good) 0%"), (0.25, "bad) 50%")])
def test_colours_run_from_red_to_green(rate, colour):
    assert colour in tint(rate)


def test_films_show_every_object_before_any_twice(tmp_path):
    rows = page(tmp_path).sections[0].report.rows
    for success in (True, False):
        chosen = choose(rows, success, 3)
        assert all(row.success is success for row in chosen)
        names = [row.object for row in chosen]
        assert len(set(names)) == min(3, len({row.object for row in rows if row.success is success}))


def test_names_for_people():
    assert plain("toy-1000000-00012") == "toy 12"
    assert plain("005_tomato_soup_can") == "tomato soup can"
    assert plain("072-a_toy_airplane") == "toy airplane a"
    assert plain("milk") == "milk"
