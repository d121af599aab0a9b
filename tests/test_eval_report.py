"""The report: one file, nothing fetched, every tag closed."""

import re
from html.parser import HTMLParser

import numpy as np
from eval_world import Lift, Thing, clumsy, skilled

from eval.evaluate import evaluate
from eval.gallery import choose, clip_of
from eval.kept import write_jpeg
from eval.report import Comparison, Page, Picture, Section, Stage, plain, write_report
from eval.results import load_report
from eval.statistics import paired
from eval.suite import make_suite
from eval.trial import Rules

RULES = Rules(execute=4)
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


def page(tmp_path):
    suite = make_suite("household", (Thing("a<b>&c"), Thing("can"), Thing("ball")), trials=4, seed=0)
    report = evaluate(clumsy, suite, RULES, workers=0, robot=Lift)
    write_jpeg(tmp_path / "can.jpg", np.zeros((8, 8, 3), np.uint8))
    clips = tuple(clip_of(tmp_path, row) for success in (True, False) for row in choose(report.rows, success, 1))
    for clip in clips:
        clip.video.write_bytes(b"film")
        write_jpeg(clip.strip, np.zeros((8, 48, 3), np.uint8))
    both = paired(evaluate(skilled, suite, RULES, workers=0, robot=Lift).rows, report.rows)
    return Page(
        "A & B",
        (Section(report, clips, tmp_path),),
        comparisons=(Comparison("household", "mean pooling", both),),
        pictures=(Picture("toys", tmp_path / "can.jpg"),),
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
        "did not take place",
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
