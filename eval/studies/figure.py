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
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from eval.studies.study import Result, Study

_COLOURS = ("#0b5cad", "#c2410c", "#15803d", "#7e22ce", "#a16207", "#0e7490", "#be185d")  # told apart by most who are colour-blind too
_MARKS = "osD^vPX"
_STYLE: dict[Any, Any] = {
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
    with matplotlib.rc_context(_STYLE):
        bars = study.draw is None and all(result.arm.x is None for result in results)
        figure = plt.figure(figsize=(6.4, 0.9 + 0.38 * len(results) if bars else 4.0), layout="constrained")
        axes = figure.add_subplot()
        if study.draw is not None:
            study.draw(results, axes)
        elif bars:
            _bars(results, axes)
        else:
            _curves(study, results, axes)
        if not bars:
            axes.set_xlabel(study.x)
            axes.set_ylabel("success [%]")
            axes.grid(axis="y", color="#ddd", lw=0.7)
        axes.set_title(study.question)
        part = path.with_name(f"{path.stem}.{os.getpid()}.tmp.svg")
        figure.savefig(part, metadata={"Date": None})
        part.replace(path)
        figure.savefig(path.with_suffix(".png"), dpi=110)
        plt.close(figure)
    return path


def _curves(study: Study, results: Sequence[Result], axes: Axes) -> None:
    for k, curve in enumerate(dict.fromkeys(result.arm.curve for result in results)):
        mine = sorted((r for r in results if r.arm.curve == curve), key=lambda r: r.arm.x or 0)
        x = np.array([r.arm.x for r in mine], float)
        low, high = ([100 * getattr(r.interval, end) for r in mine] for end in ("low", "high"))
        colour = _COLOURS[k % len(_COLOURS)]
        axes.fill_between(x, low, high, color=colour, alpha=0.12, lw=0)
        axes.plot(x, [100 * r.rate for r in mine], color=colour, marker=_MARKS[k % len(_MARKS)], ms=5, lw=1.8, label=curve)
        paper = [(r.arm.x, r.arm.paper) for r in mine if r.arm.paper is not None]
        if paper:
            axes.plot(
                *zip(*paper, strict=True), color=colour, ls=":", marker=_MARKS[k % len(_MARKS)], mfc="white", lw=1, label=f"{curve}, paper"
            )
    axes.set_ylim(0, 100)
    if study.logarithmic:
        axes.set_xscale("log")
        ticks = sorted({result.arm.x for result in results if result.arm.x})
        axes.xaxis.set_major_locator(FixedLocator([float(x) for x in ticks]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    if any(result.arm.curve for result in results):
        axes.legend(frameon=False, fontsize=9, ncols=2 if len({r.arm.curve for r in results}) > 3 else 1)


def _bars(results: Sequence[Result], axes: Axes) -> None:
    at = np.arange(len(results))[::-1]
    rates = [100 * r.rate for r in results]
    axes.barh(at, rates, height=0.62, color=_COLOURS[0], alpha=0.85)
    for y, result in zip(at, results, strict=True):
        low, high = 100 * result.interval.low, 100 * result.interval.high
        axes.plot([low, high], [y, y], color="#111", lw=1.4, solid_capstyle="butt")
        axes.text(max(high, 100 * result.rate) + 1.5, y, f"{100 * result.rate:.0f}", va="center")
        if result.arm.paper is not None:
            axes.plot(result.arm.paper, y, marker="D", ms=6, mfc="white", mec=_COLOURS[1], ls="", zorder=3)
    if any(result.arm.paper is not None for result in results):
        axes.plot([], [], marker="D", ms=6, mfc="white", mec=_COLOURS[1], ls="", label="paper, other data and size")
        axes.legend(frameon=False, fontsize=9, loc="lower right")
    axes.set_yticks(at, [result.arm.label for result in results])
    axes.set_xlim(0, 108)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("success [%]")
    axes.grid(axis="x", color="#ddd", lw=0.7)
    axes.set_axisbelow(True)
