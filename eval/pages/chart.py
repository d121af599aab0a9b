"""Charts as inline SVG that take their colours from the page: curves with bands, and rows of intervals and dumbbells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
from markupsafe import Markup, escape
from matplotlib.ticker import MaxNLocator

from eval.errors import EvalError
from eval.pages.words import percent

SERIES = 7
"""Colours that are told apart; more series take them again, with another marker."""
_SPOTS = 16
"""A series with more points is drawn without markers."""
_WIDTH, _HEIGHT = 340, 224
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 12, 12, 38


@dataclass(frozen=True)
class Point:
    """A measured value, with its interval where there is one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    says: str = ""
    """Shown where a pointer rests on it."""


@dataclass(frozen=True)
class Series:
    """Points of one kind, in the order of x."""

    name: str
    points: tuple[Point, ...]
    fitted: bool = False
    """A law drawn through measurements: a dashed line without markers."""


def curves(
    series: Sequence[Series],
    *,
    x: str,
    y: str = "success [%]",
    title: str = "",
    log: bool = False,
    reach: tuple[float, float] = (0.0, 1.0),
    percents: bool = True,
) -> Markup:
    """Lines with bands. Raises EvalError where there is no point, or one at or below zero on a logarithmic axis.

    Args:
        series: what to draw; the first ones are drawn on top.
        x: label of the horizontal axis, with its unit.
        y: label of the vertical axis, with its unit.
        title: what the chart shows, for those who hear the page.
        log: horizontal axis by powers.
        reach: of the vertical axis.
        percents: vertical values are shares, shown as percents.
    """
    xs = sorted({point.x for one in series for point in one.points})
    if not xs:
        raise EvalError(f"nothing to draw in chart {title or x!r}: no series has a point")
    if log and xs[0] <= 0:
        raise EvalError(f"a logarithmic axis needs values above zero, chart {title or x!r} has {xs[0]:g}")
    across = _across(xs, log)

    def at(value: float) -> float:
        place = math.log(value) if log else value
        return _LEFT + (place - across[0]) / (across[1] - across[0]) * (_WIDTH - _LEFT - _RIGHT)

    def up(value: float) -> float:
        inside = min(max(value, reach[0]), reach[1])
        return _HEIGHT - _BOTTOM - (inside - reach[0]) / (reach[1] - reach[0]) * (_HEIGHT - _TOP - _BOTTOM)

    said = f"{title or y + ' against ' + x}. " + " ".join(_told(one, percents) for one in series if not one.fitted)
    svg = ElementTree.Element("svg", {"class": "chart", "viewBox": f"0 0 {_WIDTH} {_HEIGHT}", "role": "img", "aria-label": said.strip()})
    for value in MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]).tick_values(*reach):
        if reach[0] - 1e-9 <= value <= reach[1] + 1e-9:
            _add(svg, "line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=up(value), y2=up(value), cls="grid")
            _add(svg, "text", percent(value) if percents else f"{value:g}", x=_LEFT - 7, y=up(value) + 3.5, cls="tick end")
    for value in _ticks(xs, log):
        _add(svg, "text", _short(value), x=at(value), y=_HEIGHT - _BOTTOM + 16, cls="tick mid")
    _add(svg, "text", x, x=(_LEFT + _WIDTH - _RIGHT) / 2, y=_HEIGHT - 6, cls="name mid")
    _add(
        svg,
        "text",
        y,
        x=11,
        y=(_TOP + _HEIGHT - _BOTTOM) / 2,
        cls="name mid",
        transform=f"rotate(-90 11 {(_TOP + _HEIGHT - _BOTTOM) / 2:g})",
    )
    for k, one in reversed(list(enumerate(series))):
        group = _add(svg, "g", cls=f"s{k % SERIES}")
        band = [(point.x, point.low, point.high) for point in one.points if point.low is not None and point.high is not None]
        if len(band) > 1:
            edge = [(at(a), up(high)) for a, _, high in band] + [(at(a), up(low)) for a, low, _ in reversed(band)]
            _add(group, "polygon", points=_path(edge), cls="band")
        elif band:
            _add(group, "line", x1=at(band[0][0]), x2=at(band[0][0]), y1=up(band[0][1]), y2=up(band[0][2]), cls="whisker")
        _add(
            group,
            "polyline",
            points=_path([(at(point.x), up(point.y)) for point in one.points]),
            cls="line fitted" if one.fitted else "line",
        )
        for point in () if one.fitted or len(one.points) > _SPOTS else one.points:
            spot = _add(group, "path", d=_marker(k, at(point.x), up(point.y)), cls="spot")
            _add(spot, "title", point.says or f"{one.name}: {_value(point, percents)} at {point.x:g}")
    return _markup(svg)


def legend(series: Sequence[Series]) -> Markup:
    """Which series is which: colour, marker, dashes. Nothing for a single one."""
    if len(series) < 2:
        return Markup()
    items = []
    for k, one in enumerate(series):
        svg = ElementTree.Element("svg", {"class": f"swatch s{k % SERIES}", "viewBox": "0 0 22 12", "aria-hidden": "true"})
        _add(svg, "line", x1=0, x2=22, y1=6, y2=6, cls="line fitted" if one.fitted else "line")
        if not one.fitted and len(one.points) <= _SPOTS:
            _add(svg, "path", d=_marker(k, 11, 6), cls="spot")
        items.append(Markup("<li>{}{}</li>").format(_markup(svg), escape(one.name)))
    return Markup('<ul class="legend">{}</ul>').format(Markup("").join(items))


def interval_row(value: float, low: float | None, high: float | None, *, reach: tuple[float, float], zero: float | None = None) -> Markup:
    """A value and its interval on a line from reach[0] to reach[1]; as wide as its place, whatever that is."""
    svg = _row("interval")
    _add(svg, "line", x1="0%", x2="100%", y1=11, y2=11, cls="rail")
    if zero is not None:
        _add(svg, "line", x1=_part(zero, reach), x2=_part(zero, reach), y1=0, y2=22, cls="zero")
    if low is not None and high is not None:
        _add(svg, "line", x1=_part(low, reach), x2=_part(high, reach), y1=11, y2=11, cls="reach")
    _add(svg, "circle", cx=_part(value, reach), cy=11, r=5, cls="value")
    return _markup(svg)


def dumbbell(first: float, second: float, *, reach: tuple[float, float] = (0.0, 1.0)) -> Markup:
    """Two values on one line, joined: the first a disc, the second a ring. The join is green where the first is higher, red where lower."""
    verdict = "same" if first == second else "better" if first > second else "worse"
    svg = _row(f"dumbbell {verdict}")
    _add(svg, "line", x1="0%", x2="100%", y1=11, y2=11, cls="rail")
    _add(svg, "line", x1=_part(first, reach), x2=_part(second, reach), y1=11, y2=11, cls="join")
    _add(svg, "circle", cx=_part(second, reach), cy=11, r=5, cls="second")
    _add(svg, "circle", cx=_part(first, reach), cy=11, r=4 if first == second else 5, cls="first")
    return _markup(svg)


def _row(kind: str) -> ElementTree.Element:
    """A drawing without a view box: positions in percent keep marks and lines as thick as they are at any width."""
    return ElementTree.Element("svg", {"class": f"row {kind}", "height": "22", "aria-hidden": "true"})


def _part(value: float, reach: tuple[float, float]) -> str:
    share = (min(max(value, reach[0]), reach[1]) - reach[0]) / (reach[1] - reach[0])
    return f"{2 + 96 * share:.2f}%"  # marks at the ends are whole


def _across(xs: Sequence[float], log: bool) -> tuple[float, float]:
    """What the horizontal axis covers, with room at the ends."""
    low, high = (math.log(xs[0]), math.log(xs[-1])) if log else (xs[0], xs[-1])
    room = 0.05 * (high - low) or 0.5
    return low - room, high + room


def _ticks(xs: Sequence[float], log: bool) -> list[float]:
    """Where something was measured, as long as that can be read; else round values."""
    if log:
        return [xs[k] for k in np.unique(np.linspace(0, len(xs) - 1, min(5, len(xs))).round().astype(int))]
    if len(xs) <= 6:
        return list(xs)
    return [float(value) for value in MaxNLocator(nbins=5).tick_values(xs[0], xs[-1]) if xs[0] <= value <= xs[-1]]


def _marker(k: int, x: float, y: float) -> str:
    """Disc, square, triangle, diamond."""
    shape = (
        f"M{x - 3.6:.1f} {y:.1f}a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0-7.2 0z",
        f"M{x - 3.3:.1f} {y - 3.3:.1f}h6.6v6.6h-6.6z",
        f"M{x:.1f} {y - 4.4:.1f}l4.2 7.4h-8.4z",
        f"M{x:.1f} {y - 4.6:.1f}l4.6 4.6l-4.6 4.6l-4.6-4.6z",
    )
    return shape[k % len(shape)]


def _told(series: Series, percents: bool) -> str:
    return f"{series.name}: {', '.join(f'{_value(point, percents)} at {point.x:g}' for point in series.points)}."


def _value(point: Point, percents: bool) -> str:
    said = f"{percent(point.y)} %" if percents else f"{point.y:g}"
    if point.low is None or point.high is None:
        return said
    return f"{said} ({percent(point.low)} to {percent(point.high)})" if percents else f"{said} ({point.low:g} to {point.high:g})"


def _short(value: float) -> str:
    """2000 is 2k."""
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _add(
    parent: ElementTree.Element, tag: str, text: str | None = None, *, cls: str = "", **attributes: float | str
) -> ElementTree.Element:
    """A child element; numbers are written short."""
    values = {name: value if isinstance(value, str) else f"{value:.1f}" for name, value in attributes.items()}
    child = ElementTree.SubElement(parent, tag, {**values, **({"class": cls} if cls else {})})
    child.text = text
    return child


def _markup(svg: ElementTree.Element) -> Markup:
    return Markup(ElementTree.tostring(svg, encoding="unicode", short_empty_elements=False))
