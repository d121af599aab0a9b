"""The figures of the study: curves beside the published ones, bars of the cures, and what each island looks like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from eval.shortcuts.finding import Estimate, Finding, Point
from eval.shortcuts.footage import cameras, scene
from eval.studies.figure import COLOURS, MARKS, STYLE
from sim.simrobot import SimRobot

_SIDE_BY_SIDE: Any = {"figsize": (8.6, 3.4), "layout": "constrained"}
_OURS = {"keypoints": 0, "attention": 1, "detection": 2, "detection + wrist camera": 3, "keypoints + mask": 4}
_MARKS = {"DP": "o", "MiniVLA": "s", "pi0": "D"}


def draw(finding: Finding, path: Path) -> Path:
    """Writes an SVG, the same for the same results, and a PNG beside it; returns the SVG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        if finding.part.bars:
            figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 0.9 + 0.34 * len(finding.points)), layout="constrained", sharey=True)
            _bars(finding, left, lambda point: point.degree)
            _bars(finding, right, lambda point: point.outside)
            right.tick_params(left=False)
        else:
            figure, (left, right) = plt.subplots(1, 2, **_SIDE_BY_SIDE)
            _curves(finding, left, lambda point: point.degree, 1)
            _curves(finding, right, lambda point: point.outside, 2)
            handles, labels = left.get_legend_handles_labels()
            figure.legend(handles, labels, frameon=False, fontsize=9, loc="outside lower center", ncols=4)
        left.set_title("degree of shortcut learning (proxy)", fontsize=10)
        right.set_title("success out of distribution", fontsize=10)
        figure.savefig(path, metadata={"Date": None})
        figure.savefig(path.with_suffix(".png"), dpi=110)
        plt.close(figure)
    return path


def draw_islands(finding: Finding, path: Path, size: int = 240) -> Path:
    """What the policy sees at the start: both islands as in training, and the two pairings of the test. Writes a PNG."""
    cell = finding.points[0].cell
    (a, *_), (b, *_) = cell.islands
    titles = ("training: island A", "training: island B", "test: A seen from B", "test: B seen from A")
    with matplotlib.rc_context(STYLE):
        figure, axes = plt.subplots(1, 4, figsize=(8.6, 2.5), layout="constrained")
        pairs = ((a, a.edge), (b, b.edge), (a, b.edge), (b, a.edge))
        for panel, title, (task, angle) in zip(axes.flat, titles, pairs, strict=True):
            with SimRobot(scene(task, cell.named, cameras(cell, angle), size)) as robot:
                robot.place(np.array(task.place), np.random.default_rng(0), upright=True)
                panel.imshow(robot.picture("side"))
            panel.set_title(title, fontsize=10, fontweight="normal")
            panel.set_xlabel(f"camera at {angle:+g} degrees", fontsize=9)
            panel.set_xticks([])
            panel.set_yticks([])
        figure.savefig(path, dpi=110)
        plt.close(figure)
    return path


def _curves(finding: Finding, axes: Axes, of: Any, column: int) -> None:
    for name, points in finding.part.published.items():
        axes.plot(
            [p[0] for p in points],
            [p[column] for p in points],
            color="#999",
            ls=":",
            lw=1.2,
            marker=_MARKS[name],
            ms=4,
            mfc="white",
            label=f"{name}, published",
        )
    for name, mine in finding.curves().items():
        x = [point.cell.x for point in mine]
        estimates: Sequence[Estimate] = [of(point) for point in mine]
        colour = COLOURS[_OURS[name]]
        axes.fill_between(x, [e.low for e in estimates], [e.high for e in estimates], color=colour, alpha=0.14, lw=0)
        axes.plot(x, [e.value for e in estimates], color=colour, lw=1.8, marker=MARKS[_OURS[name]], ms=5, label=name)
        for at, estimate in zip(x, estimates, strict=True):
            axes.plot([at] * len(estimate.by_seed), estimate.by_seed, ls="", marker=".", ms=3, color=colour, alpha=0.6)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel(finding.part.axis, fontsize=9)
    axes.grid(axis="y", color="#ddd", lw=0.7)


def _bars(finding: Finding, axes: Axes, of: Any) -> None:
    rows: list[tuple[str, Point]] = [(name, point) for name, mine in finding.curves().items() for point in mine]
    at = np.arange(len(rows))[::-1]
    for y, (name, point) in zip(at, rows, strict=True):
        estimate: Estimate = of(point)
        axes.barh(y, estimate.value, height=0.62, color=COLOURS[_OURS[name]], alpha=0.8)
        axes.plot([estimate.low, estimate.high], [y, y], color="#111", lw=1.3, solid_capstyle="butt")
    axes.set_yticks(at, [f"{name}: {point.cell.cure or 'untreated'}" for name, point in rows])
    axes.set_xlim(0, 1.03)
    axes.grid(axis="x", color="#ddd", lw=0.7)
    axes.set_axisbelow(True)
