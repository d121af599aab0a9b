"""Pages in a real browser without a network: nothing fails, everything is seen, fits, and can be reached from the keyboard."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, find_browser
from report_samples import clip, comparison, outcome, pictures, report

from eval.comparison import Early
from eval.kept import write_jpeg
from eval.outcome import Reason
from eval.pages.arm import Arm
from eval.pages.chart import Point, Series
from eval.pages.comparison import write_comparison
from eval.pages.report import Chart, Page, Picture, Section, Stage, write_report
from eval.pages.sweep import SweepPage, write_sweep
from eval.statistics import Interval

BINARY = find_browser()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BINARY is None, reason="no chromium on the PATH")]
NAMES = ("suites", "sweep", "comparison")

PICTURES = """Promise.all([...document.querySelectorAll("img, video[poster]")].map(async e => {
  const image = new Image();
  image.src = e.poster ?? e.src;
  await image.decode();
  return [image.naturalWidth, e.alt ?? e.ariaLabel];
}))"""
REACHABLE = """(() => {
  const all = document.querySelectorAll("a[href], button, summary, input, select, video[controls]");
  window.wanted = [...all].filter(e => e.checkVisibility());
  return wanted.length;
})()"""
CONTRAST = """(() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const rgba = colour => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = rgb => .2126 * linear(rgb[0] / 255) + .7152 * linear(rgb[1] / 255) + .0722 * linear(rgb[2] / 255);
  const paper = e => {
    for (; e; e = e.parentElement) {
      const colour = rgba(getComputedStyle(e).backgroundColor);
      if (colour[3] > 250) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); walk.nextNode();) {
    const text = walk.currentNode.data.trim(), e = walk.currentNode.parentElement;
    if (!text || !e.checkVisibility() || e.closest("script, title, .frame i")) continue;
    const style = getComputedStyle(e), ink = e.closest("svg") ? style.fill : style.color;
    const [a, b] = [light(rgba(ink)), light(paper(e))].sort((x, y) => y - x), ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) found.push(`${text.slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return found;
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(BINARY or "", tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    shown = pictures(folder / "pictures")
    clips = (clip(folder, outcome("011_banana", 1, Reason.SLIPPED)), clip(folder, outcome("milk", 2, Reason.SUCCESS)))
    write_jpeg(folder / "sheet.jpg", np.full((80, 400, 3), 200, np.uint8))
    grown = Series("cezanne", tuple(Point(n, r, r - 0.1, r + 0.05) for n, r in ((100, 0.3), (1000, 0.6), (10000, 0.8))))
    page = Page(
        "Grasping things with names that go on and on",
        (
            Section(report(0.7, unplaced=2, planned=50, missing={"milk": "the worker died twice"}), clips, shown),
            Section(report(0.4, suite="toys")),
        ),
        lead="Of two suites.",
        pictures=(Picture("Toys", folder / "sheet.jpg", "All of them."),),
        charts=(Chart("Success against demonstrations", (grown, Series("law", grown.points, fitted=True)), "demonstrations", log=True),),
        stages=(Stage("train", 300.0, "6000 steps"),),
        commands=("cezanne demo out=runs/" + "a_long_name/" * 12,),
    )
    arms = [
        Arm(policy, axis, strength, report(rate * (1 - strength / 2), axis=axis, strength=strength), clips[:1] if axis == "camera" else ())
        for policy, rate in (("cezanne", 0.8), ("heuristic", 0.5))
        for axis, strength in (("none", 0.0), ("light", 0.25), ("light", 0.5), ("light", 1.0), ("camera", 1.0), ("mask_noise", 0.5))
    ]
    early = Early(40, 96, True, 0.02, Interval(0.02, 0.4), tuple((k, 1.1**k) for k in range(1, 41)))
    return {
        "suites": write_report(folder / "suites" / "report.html", page),
        "sweep": write_sweep(
            folder / "sweep" / "report.html", SweepPage("A sweep", tuple(arms), pictures=(shown,), command="cezanne sweep")
        ),
        "comparison": write_comparison(folder / "comparison" / "report.html", comparison(across=True, early=early), (shown,)),
    }


@pytest.fixture(scope="module", params=NAMES)
def tab(browser, pages, request):
    """Each page in turn, as wide as a desk and by day."""
    found = browser.open(pages[request.param])
    yield found
    found.close()


def test_nothing_fails_and_every_picture_is_there(tab):
    sizes = tab.run(PICTURES)
    assert sizes
    assert all(width > 0 and told for width, told in sizes)
    assert tab.complaints() == []


@pytest.mark.parametrize("width", [360, 1280])
def test_a_page_is_as_wide_as_its_window(tab, width):
    tab.resize(width, 900)
    assert tab.run("document.scrollingElement.scrollWidth") <= width


def test_the_tab_key_reaches_everything_in_order(tab):
    count = tab.run(REACHABLE)
    visited = []
    for _ in range(3 * count + 20):
        tab.press("Tab", 9)
        place, outlined = tab.run(
            "[wanted.indexOf(document.activeElement), getComputedStyle(document.activeElement).outlineStyle != 'none']"
        )
        visited.append(place)
        assert place < 0 or outlined
        if place == count - 1:
            break
    assert [place for place in visited if place >= 0] == list(range(count))


@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read_by_day_and_by_night(tab, dark):
    tab.show(dark=dark)
    background = tab.run("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in re.findall(r"\d+", background)[:3]) / 765
    assert brightness < 0.15 if dark else brightness > 0.9
    assert tab.run(CONTRAST) == []
    tab.show()


def test_a_page_prints_on_light_paper(tab):
    tab.show(dark=True)
    assert tab.pdf().startswith(b"%PDF-")
    tab.show(dark=True, media="print")
    assert tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    tab.show()


def test_pictures_are_filtered_sorted_and_films_open(browser, pages):
    tab = browser.open(pages["suites"])
    tab.run(
        "window.names = () => [...document.querySelector('.tiles').children].filter(e => e.checkVisibility()).map(e => e.dataset.name); 0"
    )
    before = tab.run("names()")
    tab.run("document.querySelector('[data-sort=name]').click()")
    assert tab.run("names()") == sorted(before)
    tab.run("document.querySelector('[data-sort=rate]').click(); document.querySelector('[data-show=some]').click()")
    rates = tab.run("[...document.querySelector('.tiles').children].map(e => +e.dataset.rate)")
    assert rates == sorted(rates, reverse=True)
    assert len(tab.run("names()")) == sum(rate < 1 for rate in rates) < len(before)
    assert not tab.run("document.querySelector('.clip video').checkVisibility()")
    tab.run("document.querySelector('.clip summary').focus()")
    tab.press("Enter", 13, "\r")
    assert tab.run("document.querySelector('.clip video').checkVisibility()")
    assert tab.complaints() == []
    tab.close()
