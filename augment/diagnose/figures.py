"""The pictures of a diagnosis, as SVG: the map, the bars, the curves, the matrix of factors, the table of the worst pair."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import Rectangle

from augment.diagnose.diversity import Diversity
from augment.diagnose.information import Dependence

COLOURS = ("#0b5cad", "#c2410c", "#15803d", "#7e22ce", "#a16207", "#0e7490", "#be185d", "#4b5563")
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "cezanne",
    "figure.facecolor": "white",
}
_THUMBNAILS = 2
"""First frames shown of each sub-dataset."""


def draw_map(features: Sequence[np.ndarray], names: Sequence[str], pictures: Sequence[np.ndarray]) -> str:
    """First frames in the plane of their two principal components, coloured by sub-dataset, with some of the pictures.

    Args:
        features: of each sub-dataset, (n, D), of unit length.
        names: of the sub-datasets.
        pictures: the frames, (n, H, W, 3) u8 each.
    """
    everything = np.concatenate(features).astype(float)
    centred = everything - everything.mean(0)
    _, strength, axes = np.linalg.svd(centred, full_matrices=False)
    share = strength**2 / max(float((strength**2).sum()), 1e-12)
    flat = np.zeros((len(everything), 2))
    flat[:, : min(2, len(axes))] = centred @ axes[:2].T
    with matplotlib.rc_context(STYLE):
        figure, panel = plt.subplots(figsize=(8.2, 5.0), layout="constrained")
        first = 0
        for k, (name, mine, shown) in enumerate(zip(names, features, pictures, strict=True)):
            points = flat[first : first + len(mine)]
            first += len(mine)
            panel.scatter(*points.T, s=16, color=COLOURS[k % len(COLOURS)], alpha=0.6, lw=0, label=f"{name} ({len(mine)})")
            middle = points.mean(0)
            near = np.argsort(np.linalg.norm(points - middle, axis=1))
            for place in near[np.unique(np.linspace(0, len(near) - 1, _THUMBNAILS).astype(int))]:
                box = OffsetImage(shown[place], zoom=56 / max(shown[place].shape[:2]))
                outward = np.where(points[place] >= flat.mean(0), 34, -34)
                edge = {"edgecolor": COLOURS[k % len(COLOURS)], "linewidth": 1.6}
                arrow = {"arrowstyle": "-", "color": COLOURS[k % len(COLOURS)], "lw": 0.8}
                at = (float(points[place][0]), float(points[place][1]))
                away = (float(outward[0]), float(outward[1]))
                look = {"boxcoords": "offset points", "pad": 0.1, "bboxprops": edge, "arrowprops": arrow}
                panel.add_artist(AnnotationBbox(box, at, xybox=away, **look))
        panel.margins(0.22)
        panel.set_xlabel(f"first principal component ({100 * share[0]:.0f} % of the variance)")
        panel.set_ylabel(f"second ({100 * (share[1] if len(share) > 1 else 0):.0f} %)")
        panel.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        return _svg(figure)


def draw_diversity(found: Diversity, temperature: float) -> str:
    """Diversity of each sub-dataset at one temperature, with intervals."""
    k = int(np.argmin(np.abs(np.asarray(found.temperatures) - temperature)))
    values, low, high = (x[k] / np.log(10) for x in (found.diversity, found.low, found.high))
    with matplotlib.rc_context(STYLE):
        figure, panel = plt.subplots(figsize=(7.4, 1.0 + 0.34 * len(values)), layout="constrained")
        at = np.arange(len(values))[::-1]
        panel.barh(at, values, height=0.62, color=[COLOURS[i % len(COLOURS)] for i in range(len(values))], alpha=0.8)
        for y, a, b in zip(at, low, high, strict=True):
            panel.plot([a, b], [y, y], color="#111", lw=1.3, solid_capstyle="butt")
        panel.set_yticks(at, found.names)
        panel.set_xlabel(f"diversity, as a power of 10, at t = {found.temperatures[k]:g}")
        panel.grid(axis="x", color="#ddd", lw=0.7)
        panel.set_axisbelow(True)
        return _svg(figure)


def draw_sweep(found: Diversity) -> str:
    """Diversity of the mixture, disparity and their ratio over temperatures."""
    with matplotlib.rc_context(STYLE):
        figure, panel = plt.subplots(figsize=(7.4, 3.2), layout="constrained")
        for k, (name, values) in enumerate(
            (("diversity of the mixture", found.overall), ("disparity", found.disparity), ("fragmentation", found.fragmentation))
        ):
            panel.plot(found.temperatures, values / np.log(10), color=COLOURS[k], marker="osD"[k], ms=4, lw=1.8, label=name)
        panel.set_xlabel("temperature t of the kernel")
        panel.set_ylabel("power of 10")
        panel.grid(axis="y", color="#ddd", lw=0.7)
        panel.legend(frameon=False, fontsize=9)
        return _svg(figure)


def draw_factors(found: Sequence[Dependence], worst: Dependence) -> str:
    """Normalised mutual information of every relevant with every irrelevant factor, the worst pair marked."""
    mixture = [d for d in found if d.where == "mixture"]
    rows, columns = (list(dict.fromkeys(getattr(d, key) for d in mixture)) for key in ("u", "v"))
    table = np.full((len(rows), len(columns)), np.nan)
    for d in mixture:
        table[rows.index(d.u), columns.index(d.v)] = d.nmi
    with matplotlib.rc_context(STYLE):
        figure, panel = plt.subplots(figsize=(2.6 + 0.95 * len(columns), 1.5 + 0.5 * len(rows)), layout="constrained")
        _heat(panel, table, rows, columns, lambda v: f"{v:.2f}", limit=1.0)
        if worst.where == "mixture":
            at = (columns.index(worst.v) - 0.5, rows.index(worst.u) - 0.5)
            panel.add_patch(Rectangle(at, 1, 1, fill=False, ec="#c2410c", lw=2.5))
        return _svg(figure)


def draw_joint(found: Dependence) -> str:
    """Episodes by the values of two factors."""
    joint = np.asarray(found.joint, float)
    with matplotlib.rc_context(STYLE):
        figure, panel = plt.subplots(figsize=(2.8 + 0.95 * joint.shape[1], 1.6 + 0.46 * joint.shape[0]), layout="constrained")
        _heat(panel, joint, found.u_labels, found.v_labels, lambda v: f"{v:.0f}", limit=max(joint.max(), 1))
        panel.set_xlabel(found.v)
        panel.set_ylabel(found.u)
        return _svg(figure)


def _heat(panel: Any, table: np.ndarray, rows: Sequence[str], columns: Sequence[str], say: Any, limit: float) -> None:
    panel.imshow(table, cmap="Blues", vmin=0, vmax=limit, aspect="auto")
    for (i, j), value in np.ndenumerate(table):
        if np.isfinite(value):
            panel.text(j, i, say(value), ha="center", va="center", fontsize=9, color="white" if value > 0.6 * limit else "#222")
    panel.set_xticks(range(len(columns)), columns, rotation=30, ha="right", fontsize=9)
    panel.set_yticks(range(len(rows)), rows, fontsize=9)
    panel.tick_params(length=0)
    for side in panel.spines.values():
        side.set_visible(False)


def _svg(figure: Figure) -> str:
    page = io.StringIO()
    figure.savefig(page, format="svg", metadata={"Date": None})
    plt.close(figure)
    text = page.getvalue()
    return text[text.index("<svg") :]
