"""The figure of a study: curves with bands, or bars."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from eval.studies.study import Result, Study

COLOURS = ("#0b5cad", "#c2410c", "#15803d", "#7e22ce", "#a16207", "#0e7490", "#be185d")  # told apart by most who are colour-blind too
MARKS = "osD^vPX"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "svg.fonttype": "path",
    "svg.hashsalt": "cezanne",
}


def draw(study: Study, results: Sequence[Result], path: Path) -> Path:
    """Writes an SVG, the same for the same results, and a PNG beside it; returns the SVG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    curves = list(dict.fromkeys(result.arm.curve for result in results))
    with matplotlib.rc_context(STYLE):
        if study.draw is not None:
            figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
            study.draw(results, axes)
            _label(axes, study)
        elif all(result.arm.x is None for result in results):
            figure, axes = plt.subplots(figsize=(6.4, 1.1 + 0.38 * len(results)), layout="constrained")
            _bars(results, axes)
        elif len(curves) <= 3:
            figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
            for k, curve in enumerate(curves):
                _curve(_of(results, curve), axes, k, curve)
            _horizontal(study, results, axes)
            if any(curves):
                axes.legend(frameon=False, fontsize=9)
            _label(axes, study)
        else:
            figure = _panels(study, results, curves)
        figure.suptitle(study.question, x=0.01, ha="left", fontsize=12, fontweight="bold")
        part = path.with_name(f"{path.stem}.{os.getpid()}.tmp.svg")
        figure.savefig(part, metadata={"Date": None})
        part.replace(path)
        figure.savefig(path.with_suffix(".png"), dpi=110)
        plt.close(figure)
    return path


def _panels(study: Study, results: Sequence[Result], curves: Sequence[str]) -> Figure:
    """A panel for each curve, the others behind it in grey: more than three bands in one picture are mud."""
    columns = 4 if len(curves) > 6 else 3
    rows = -(-len(curves) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(8.6, 0.6 + 2.1 * rows), sharex=True, sharey=True, layout="constrained", squeeze=False
    )
    for k, axes in enumerate(grid.flat):
        if k >= len(curves):
            axes.set_visible(False)
            continue
        for other in curves:
            mine = _of(results, other)
            axes.plot([r.arm.x for r in mine], [100 * r.rate for r in mine], color="#ccc", lw=0.8)
        _curve(_of(results, curves[k]), axes, 0, "")
        axes.set_title(curves[k], fontsize=10, fontweight="normal")
        _horizontal(study, results, axes)
        axes.grid(axis="y", color="#ddd", lw=0.7)
    figure.supxlabel(study.x, fontsize=10)
    figure.supylabel("success [%]", fontsize=10)
    return figure


def _curve(mine: Sequence[Result], axes: Axes, k: int, label: str) -> None:
    x = np.array([r.arm.x for r in mine], float)
    low, high = ([100 * getattr(r.interval, end) for r in mine] for end in ("low", "high"))
    colour, mark = COLOURS[k % len(COLOURS)], MARKS[k % len(MARKS)]
    axes.fill_between(x, low, high, color=colour, alpha=0.14, lw=0)
    axes.plot(x, [100 * r.rate for r in mine], color=colour, marker=mark, ms=5, lw=1.8, label=label)
    paper = [(r.arm.x, r.arm.paper) for r in mine if r.arm.paper is not None]
    if paper:
        axes.plot(*zip(*paper, strict=True), color=colour, ls=":", marker=mark, mfc="white", lw=1, label=f"{label}, paper")


def _horizontal(study: Study, results: Sequence[Result], axes: Axes) -> None:
    axes.set_ylim(0, 100)
    if study.logarithmic:
        axes.set_xscale("log")
        ticks = sorted({result.arm.x for result in results if result.arm.x})
        axes.xaxis.set_major_locator(FixedLocator([float(x) for x in ticks]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _label(axes: Axes, study: Study) -> None:
    axes.set_xlabel(study.x)
    axes.set_ylabel("success [%]")
    axes.grid(axis="y", color="#ddd", lw=0.7)


def _of(results: Sequence[Result], curve: str) -> list[Result]:
    """The points of a curve, from left to right."""
    return sorted((result for result in results if result.arm.curve == curve), key=lambda result: result.arm.x or 0)


def _bars(results: Sequence[Result], axes: Axes) -> None:
    at = np.arange(len(results))[::-1]
    rates = [100 * r.rate for r in results]
    axes.barh(at, rates, height=0.62, color=COLOURS[0], alpha=0.85)
    for y, result in zip(at, results, strict=True):
        low, high = 100 * result.interval.low, 100 * result.interval.high
        axes.plot([low, high], [y, y], color="#111", lw=1.4, solid_capstyle="butt")
        axes.text(max(high, 100 * result.rate) + 1.5, y, f"{100 * result.rate:.0f}", va="center")
        if result.arm.paper is not None:
            axes.plot(result.arm.paper, y, marker="D", ms=6, mfc="white", mec=COLOURS[1], ls="", zorder=3)
    if any(result.arm.paper is not None for result in results):
        axes.plot([], [], marker="D", ms=6, mfc="white", mec=COLOURS[1], ls="", label="paper, other data and size")
        figure = axes.get_figure(root=True)
        assert figure is not None
        figure.legend(frameon=False, fontsize=9, loc="outside lower right")
    axes.set_yticks(at, [result.arm.label for result in results])
    axes.set_xlim(0, 108)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("success [%]")
    axes.grid(axis="x", color="#ddd", lw=0.7)
    axes.set_axisbelow(True)
