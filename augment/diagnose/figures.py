"""Drawings of a diagnosis, as SVG that takes its colours from the page: the map, the bars, the curves."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Sequence
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from augment.diagnose.diversity import Diversity
from augment.diagnose.embedding import flatten
from augment.diagnose.published import PICTURE_FRAGMENTATION, PICTURES, ROBOT_FRAGMENTATION, ROBOTS

SERIES = 8
"""Colours of sub-datasets; more take them again, with another marker."""
_COLOURS = tuple(f"#0a0b{k:02x}" for k in range(SERIES))
_INK, _SOFT, _LINE, _PAPER = "#0a0c01", "#0a0c02", "#0a0c03", "#0a0c04"
_VARIABLES = {**{c: f"var(--s{k})" for k, c in enumerate(_COLOURS)}, _INK: "var(--ink)", _SOFT: "var(--soft)", _LINE: "var(--line)"}
_VARIABLES[_PAPER] = "var(--paper)"
"""What each colour that is drawn becomes: the page decides, by day and by night."""
_MARKERS = "osD^vP"
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _SOFT,
    "axes.labelcolor": _INK,
    "axes.facecolor": "none",
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "text.color": _INK,
    "figure.facecolor": "none",
    "svg.fonttype": "path",
    "svg.hashsalt": "cezanne",
}
_PLAIN = {"facecolor": _PAPER, "edgecolor": "none", "pad": 1}
"""Behind a text that lies over lines."""
_NAMED = 12
"""Sub-datasets of which a first frame is drawn into the map."""
_THUMBNAIL = 54
"""Longer side [pt]."""
_POINTS = 400
"""Drawn of each sub-dataset at most."""


def draw_map(features: Sequence[np.ndarray], names: Sequence[str], pictures: Sequence[np.ndarray]) -> Markup:
    """First frames in the plane of their two principal components, coloured by sub-dataset, with one of the pictures of each.

    Args:
        features: of each sub-dataset, (n, D), of unit length.
        names: of the sub-datasets.
        pictures: the frames, (n, H, W, 3) u8 each.
    """
    plane = flatten(np.concatenate(features))
    ends = np.cumsum([0, *map(len, features)])
    groups = [plane.points[a:b] for a, b in itertools.pairwise(ends)]
    with matplotlib.rc_context(_STYLE):
        figure, panel = plt.subplots(figsize=(8.6, 5.4), layout="constrained")
        for k, (name, points) in enumerate(zip(names, groups, strict=True)):
            some = points[np.unique(np.linspace(0, len(points) - 1, min(len(points), _POINTS)).astype(int))]
            panel.scatter(*some.T, s=18, color=_colour(k), marker=_marker(k), alpha=0.65, lw=0, label=name)
        panel.margins(0.3)
        panel.set_xlabel(f"first principal component ({100 * plane.shares[0]:.0f} % of the variance)")
        panel.set_ylabel(f"second ({100 * plane.shares[1]:.0f} %)")
        panel.set_aspect("equal", adjustable="datalim")
        figure.draw_without_rendering()  # the limits are known now
        _hang(panel, groups[:_NAMED], pictures[:_NAMED], plane.points)
        return _svg(figure, f"Map of the first frames of {', '.join(names)}")


def draw_diversity(found: Diversity, temperature: float, *, comparable: bool) -> Markup:
    """Diversity of each sub-dataset at one temperature, with intervals.

    comparable: whether the features are of the kind that the published values are of; these are drawn below, then and only then.
    """
    k = int(np.argmin(np.abs(np.asarray(found.temperatures) - temperature)))
    values, low, high = (np.exp(np.minimum(x[k], 600)) for x in (found.diversity, found.low, found.high))
    count = len(values)
    heights = [0.32 * count + 0.2, 0.95][: 1 + comparable]
    with matplotlib.rc_context(_STYLE):
        figure, panels = plt.subplots(
            len(heights), 1, figsize=(8.6, 0.75 + sum(heights)), height_ratios=heights, sharex=True, squeeze=False, layout="constrained"
        )
        panel, last = panels[0, 0], panels[-1, 0]
        at = np.arange(count)[::-1]
        panel.hlines(at, 1, np.maximum(values, 1.0), color=[_colour(i) for i in range(count)], lw=11, alpha=0.85)
        panel.hlines(at, np.maximum(low, 1e-9), high, color=_INK, lw=1.4)
        for y, value, end in zip(at, values, high, strict=True):
            panel.annotate(_power(value), (max(value, end), y), (6, 0), textcoords="offset points", va="center", fontsize=9)
        panel.set_yticks(at, found.names, color=_INK)
        panel.set_ylim(-0.6, count - 0.4)
        panel.set_xscale("log")
        if comparable:
            _published(last)
        most = max(float(high.max()), *(PICTURES.values() if comparable else (10.0,)))
        last.set_xlim(0.9, most**1.15)  # no diversity is below 1; the numbers need room
        last.set_xlabel(f"diversity at t = {found.temperatures[k]:g}")
        for one in panels[:, 0]:
            one.grid(axis="x", color=_LINE, lw=0.8)
            one.set_axisbelow(True)
        return _svg(figure, f"Diversity of {', '.join(f'{n} {_power(v)}' for n, v in zip(found.names, values, strict=True))}")


def _published(below: Any) -> None:
    """Diversities of others' data sets, one row for robots and one for pictures."""
    for row, (shown, kind) in enumerate(((ROBOTS, "robot data, published"), (PICTURES, "pictures, published"))):
        places = np.array(list(shown.values()))
        below.plot(places, np.full(len(places), -row), "o", ms=4, color=_SOFT, alpha=0.7, lw=0)
        for name in (min(shown, key=shown.__getitem__), "DROID" if row == 0 else "COCO"):
            below.annotate(name, (shown[name], -row), (0, 5), textcoords="offset points", ha="center", fontsize=8, color=_SOFT)
        below.text(-0.01, -row, kind, transform=below.get_yaxis_transform(), ha="right", va="center", fontsize=9, color=_SOFT)
    below.set_ylim(-1.5, 0.75)
    below.set_yticks([])
    below.spines["left"].set_visible(False)


def draw_sweep(found: Diversity, *, comparable: bool) -> Markup:
    """Diversity of the mixture, disparity and their ratio over temperatures; beside the published ratios where these are comparable."""
    curves = (("fragmentation", found.fragmentation), ("disparity", found.disparity), ("diversity of the mixture", found.overall))
    with matplotlib.rc_context(_STYLE):
        figure, panel = plt.subplots(figsize=(8.6, 3.6), layout="constrained")
        for k, (_, values) in enumerate(curves):
            panel.plot(found.temperatures, values / np.log(10), color=_COLOURS[k], marker=_MARKERS[k], ms=4, lw=2.2 - 0.5 * k)
        ends = np.array([values[-1] / np.log(10) for _, values in curves])
        published = (("robot data", ROBOT_FRAGMENTATION), ("pictures", PICTURE_FRAGMENTATION)) if comparable else ()
        apart = 0.06 * max(float(ends.max()), *(np.log10(max(shown.values())) for _, shown in published), 1.0)
        for (name, _), height in zip(curves, _spaced(ends, apart), strict=True):
            panel.annotate(name, (found.temperatures[-1], height), (7, 0), textcoords="offset points", va="center")
        for name, shown in published:
            values = np.log10(list(shown.values()))
            panel.plot(list(shown), values, color=_SOFT, lw=1.1, ls=(0, (4, 3)))
            said = f"fragmentation of {name}, published"
            panel.annotate(
                said, (max(shown), values[-1]), (5, 0), textcoords="offset points", va="center", fontsize=8, color=_SOFT, bbox=_PLAIN
            )
        panel.set_xlim(right=max(found.temperatures) * 1.32)
        panel.set_xticks([t for t in panel.get_xticks() if t <= max(found.temperatures)])
        panel.set_xlabel("temperature t of the kernel")
        panel.set_ylabel("power of 10")
        panel.grid(axis="y", color=_LINE, lw=0.8)
        panel.set_axisbelow(True)
        return _svg(figure, "Fragmentation, disparity and diversity of the mixture over temperatures")


def _hang(panel: Any, groups: Sequence[np.ndarray], pictures: Sequence[np.ndarray], everything: np.ndarray) -> None:
    """Puts the picture of each group's most central frame beside it, where it hides least."""
    to_pixels, box = panel.transData.transform, panel.get_window_extent()
    taken = to_pixels(everything)
    scale = panel.figure.dpi / 72
    hung: list[np.ndarray] = []
    for k, (points, shown) in enumerate(zip(groups, pictures, strict=True)):
        best = int(np.argmin(np.linalg.norm(points - np.median(points, 0), axis=1)))
        middle = to_pixels(points[best])
        half = _THUMBNAIL * scale / 2 + 4
        options = [
            middle + radius * scale * np.array([np.cos(turn), np.sin(turn)])
            for radius in (58, 78, 105, 140, 180, 220)
            for turn in np.arange(16) * np.pi / 8
        ]

        def hides(at: np.ndarray, half: float = half) -> float:
            outside = np.maximum([box.x0 + half - at[0], at[0] + half - box.x1, box.y0 + half - at[1], at[1] + half - box.y1], 0).sum()
            points_under = np.count_nonzero((np.abs(taken - at) < half).all(1))
            over = sum(float(np.prod(np.maximum(2 * half - np.abs(at - other), 0))) for other in hung)
            return float(outside + 3 * points_under + over)

        at = min(options, key=lambda at: (hides(at), float(np.linalg.norm(at - middle))))
        hung.append(at)
        picture = shown[best]
        look = {"boxcoords": "offset points", "pad": 0.12, "bboxprops": {"edgecolor": _colour(k), "facecolor": "none", "linewidth": 2}}
        arrow = {"arrowstyle": "-", "color": _colour(k), "lw": 1}
        away = (at - middle) / scale
        image = OffsetImage(picture, zoom=_THUMBNAIL / max(picture.shape[:2]))
        panel.add_artist(AnnotationBbox(image, tuple(points[best]), xybox=(float(away[0]), float(away[1])), arrowprops=arrow, **look))


def _spaced(heights: np.ndarray, apart: float) -> np.ndarray:
    """Heights at least so far apart, in their order, each raised no more than it must be."""
    out = heights.copy()
    order = np.argsort(heights, kind="stable")
    for below, above in itertools.pairwise(order):
        out[above] = max(out[above], out[below] + apart)
    return out


def _colour(k: int) -> str:
    return _COLOURS[k % SERIES]


def _marker(k: int) -> str:
    return _MARKERS[k // SERIES % len(_MARKERS)]


def _power(value: float) -> str:
    """A number for people."""
    return f"{value:.3g}" if 0.01 <= value < 1e5 else f"10^{np.log10(value):.1f}"


def _svg(figure: Figure, says: str) -> Markup:
    """The drawing without sizes of its own, for a page to stretch; says: what it shows, for those who hear the page."""
    page = io.StringIO()
    figure.savefig(page, format="svg", metadata={"Date": None})
    plt.close(figure)
    text = page.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    head, rest = text.split(">", 1)
    head = re.sub(r'\s(?:width|height)="[^"]*"', "", head)
    return Markup(head) + Markup(' role="img" aria-label="{}">').format(says) + Markup(rest)
