"""Whether objects that resemble the toys are grasped more often."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from scipy import stats

from assets.graspable import Graspable
from assets.toys import ToySet
from eval.errors import EvalError
from eval.results import read_json
from eval.sources import open_source
from eval.statistics import by_object
from eval.studies.study import Arm, Profile, Result, Study
from sim.surface import Surface

_CELL = 0.004
_POSES = np.array([[1, 0, 0, 0], [0.5**0.5, 0.5**0.5, 0, 0], [0.5**0.5, 0, 0.5**0.5, 0]])
"""Toys are dropped from any rotation, so they are compared standing and lying on two sides, wxyz."""


def _arms(profile: Profile) -> list[Arm]:
    return [Arm("policy")]


def looks(item: Graspable, quat: np.ndarray) -> np.ndarray:
    """What an object looks like from above, however turned: quantiles of its height and of the distance to its middle, (14,) [m]."""
    surface = Surface(item)
    surface.move(np.zeros(3), quat)
    low, high = surface.bounds()
    surface.move(np.array([0, 0, -low[2]]), quat)
    xs, ys = (np.arange(low[k] - _CELL, high[k] + 2 * _CELL, _CELL) for k in (0, 1))
    heights = surface.heights(xs, ys)
    x, y = np.nonzero(heights)
    if len(x) == 0:
        raise EvalError(f"object {item.name!r} cannot be seen from above")
    away = np.hypot(xs[x] - xs[x].mean(), ys[y] - ys[y].mean())
    shares = np.linspace(0.05, 0.95, 7)
    return np.concatenate([np.quantile(heights[x, y], shares), np.quantile(away, shares)])


def distances(result: Result) -> dict[str, float]:
    """How far each object is from the nearest toy of the training, root mean square over the quantiles [m]."""
    data = Path(_data_of(Path(result.checkpoint)))
    toys = np.array([looks(toy, quat) for toy in ToySet.load(data / "toys.json").toys for quat in _POSES])
    sources = result.report.setup["sources"]
    items = {item.name: item for source in sources.values() for item in open_source(source)}
    found = {}
    for name in by_object(result.report.rows):
        mine = looks(items[name], _POSES[0])
        found[name] = float(np.sqrt(((toys - mine) ** 2).mean(axis=1)).min())
    return found


def _data_of(checkpoint: Path) -> str:
    trained = (read_json(checkpoint / "fingerprint.json") or {}).get("train", {})
    if not isinstance(trained.get("data"), str):
        raise EvalError(f"{checkpoint} does not say which data it was trained on, so there are no toys to compare with")
    return trained["data"]


def _scatter(results: Sequence[Result]) -> tuple[np.ndarray, np.ndarray]:
    away = distances(results[0])
    counts = by_object(results[0].report.rows)
    pairs = np.array([(1000 * away[name], k / n) for name, (k, n) in counts.items() if n])
    return pairs[:, 0], pairs[:, 1]


def _draw(results: Sequence[Result], axes: Axes) -> None:
    x, y = _scatter(results)
    axes.scatter(x, 100 * y, s=26, alpha=0.6, color="#0b5cad", edgecolors="none")
    order = np.argsort(x)
    for third in np.array_split(order, 3):
        axes.plot([x[third].min(), x[third].max()], [100 * y[third].mean()] * 2, color="#222", lw=2)
    axes.set_ylim(-4, 104)


def _answer(results: Sequence[Result]) -> list[str]:
    x, y = _scatter(results)
    rank, chance = stats.spearmanr(x, y)
    draws = np.random.default_rng(0).integers(len(x), size=(2000, len(x)))
    low, high = np.nanquantile(np.array([stats.spearmanr(x[pick], y[pick])[0] for pick in draws], float), [0.025, 0.975])
    thirds = [f"{100 * y[third].mean():.0f} %" for third in np.array_split(np.argsort(x), 3)]
    return [
        f"Rank correlation of success with distance to the nearest toy: {rank:.2f} ({low:.2f} to {high:.2f}; "
        f"p = {chance:.2g}, {len(x)} objects).",
        f"Success of the most similar third {thirds[0]}, of the middle third {thirds[1]}, of the least similar third {thirds[2]}.",
    ]


STUDY = Study(
    "similarity",
    "Are objects that resemble a toy grasped more often?",
    "distance to the most similar toy of the training [mm]",
    _arms,
    _answer,
    draw=_draw,
)
