"""Charts: every value is where it belongs, everything can be heard, bad input is one line."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from eval.errors import EvalError
from eval.pages.chart import Point, Series, curves, dumbbell, interval_row, legend


def series(name: str = "a<b", count: int = 3) -> Series:
    return Series(name, tuple(Point(k, 0.2 + 0.1 * k, 0.1 + 0.1 * k, 0.3 + 0.1 * k) for k in range(count)))


def numbers(text: str) -> list[float]:
    return [float(part) for part in re.findall(r"-?\d+(?:\.\d+)?", text)]


def drawn(svg: str, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(tag))


def test_a_curve_rises_with_its_values_inside_its_band():
    svg = curves([series()], x="strength")
    line = np.reshape(numbers(drawn(svg, "polyline")[0].attrib["points"]), (-1, 2))
    band = np.reshape(numbers(drawn(svg, "polygon")[0].attrib["points"]), (-1, 2))
    assert (np.diff(line[:, 0]) > 0).all()
    assert (np.diff(line[:, 1]) < 0).all()  # up is towards 0
    high, low = band[:3], band[:2:-1]
    np.testing.assert_allclose(high[:, 0], line[:, 0])
    assert (high[:, 1] < line[:, 1]).all()
    assert (line[:, 1] < low[:, 1]).all()


def test_powers_are_equally_far_apart():
    svg = curves([Series("a", tuple(Point(x, 0.5) for x in (10, 100, 1000)))], x="demonstrations", log=True)
    line = np.reshape(numbers(drawn(svg, "polyline")[0].attrib["points"]), (-1, 2))
    assert np.diff(line[:, 0]) == pytest.approx(np.diff(line[:, 0])[0], abs=0.2)


def test_a_chart_can_be_heard_and_is_escaped():
    svg = curves([series()], x="strength", title="Success & strength")
    said = ElementTree.fromstring(svg).attrib["aria-label"]
    assert said == "Success & strength. a<b: 20 % (10 to 30) at 0, 30 % (20 to 40) at 1, 40 % (30 to 50) at 2."
    assert "a<b" not in svg
    assert "a<b" not in legend([series(), series("c")])
    assert legend([series()]) == ""


def test_a_fitted_law_has_no_markers_and_no_voice():
    svg = curves([series("seen"), Series("law", series().points, fitted=True)], x="strength")
    assert len(drawn(svg, "path")) == 3
    assert "law" not in ElementTree.fromstring(svg).attrib["aria-label"]


@pytest.mark.parametrize(("made", "log", "says"), [([], False, "nothing to draw"), ([series()], True, "above zero")])
def test_what_cannot_be_drawn_is_said(made, log, says):
    with pytest.raises(EvalError, match=says):
        curves(made, x="strength", log=log)


def test_rows_put_values_in_proportion():
    marks = drawn(interval_row(0.5, 0.25, 1.0, reach=(0, 1), zero=0.0), "circle")
    assert numbers(marks[0].attrib["cx"]) == [50.0]
    assert "reach" not in interval_row(0.5, None, None, reach=(0, 1))
    second, first = drawn(dumbbell(1.0, 0.0), "circle")
    assert numbers(first.attrib["cx"])[0] - numbers(second.attrib["cx"])[0] == pytest.approx(96)


@pytest.mark.parametrize(("first", "second", "verdict"), [(0.8, 0.2, "better"), (0.2, 0.8, "worse"), (0.5, 0.5, "same")])
def test_a_dumbbell_says_who_is_ahead(first, second, verdict):
    assert f"dumbbell {verdict}" in dumbbell(first, second)
