"""Where the object that was swapped comes back: beside the new one, and never in its way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from augment.composite import Stamp, follow, in_light, stamp
from augment.library import Crop, grown, surroundings
from augment.motion import View
from sim.table import WORKSPACE

_AROUND = 0.2
"""Of simulated episodes: within this of the middle of the workspace, along x and y [m]."""
_TRIES = 120
"""Places that are tried."""
_GROUND = 20.0
"""Of recorded episodes: how much the lightness around may differ from that around the object where it was [0..255]."""
_GAP = 2
"""Between the object and what it must not touch [px]."""
_SEEN = 0.02
"""A stamp is not drawn where it covers less than this."""

Stamps = Sequence[Stamp | None]


def place(
    crops: Mapping[str, Crop], views: Mapping[str, View], start: np.ndarray | None, taken: Mapping[str, Stamps], rng: np.random.Generator
) -> dict[str, list[Stamp | None]]:
    """The old object at a random place where it stays, as it falls onto each picture of the cameras that show it.

    A place is valid if every camera that stands still sees the object whole there, and off the way of the old target and of the new one.
    Of these, the first that is off the robot's way too; if there is none, the one that the robot hides least. No valid place: no camera.

    Args:
        crops: the old object, by camera.
        start: where it was at first, (3,) [m], of simulated episodes: it comes back on the table, at one place for all cameras.
            None: each camera that stands still chooses a place on ground as light as that around the object, as large as it was.
        taken: the new object on its way.
    """
    still = {name: views[name] for name in crops if views[name].still}
    busy = {name: _way(view, taken[name]) for name, view in still.items()}
    if start is None:
        found = {name: _beside(crops[name], view, *busy[name], rng) for name, view in still.items()}
        return {name: [of] * len(views[name].masks) for name, of in found.items() if of is not None}
    best, least = None, np.inf
    for _ in range(_TRIES if still else 0):
        point = np.append(np.add(WORKSPACE, rng.uniform(-_AROUND, _AROUND, 2)), start[2])
        cost = max(_cost(_at(crops[name], view, point, 1)[0], *busy[name], view.shape) for name, view in still.items())
        if cost < least:
            best, least = point, cost
        if not least:
            break
    if best is None:
        return {}
    shown = [name for name in crops if views[name].still or (views[name].sight is not None and views[name].motion.whole)]
    return {name: _at(crops[name], views[name], best) for name in shown}


def middle(stamps: Stamps) -> list[int] | None:
    """Of the first stamp, x and y [px]."""
    first = next((of for of in stamps if of is not None), None)
    return None if first is None else [(of.start + of.stop) // 2 for of in (first.columns, first.rows)]


def _at(crop: Crop, view: View, point: np.ndarray, steps: int | None = None) -> list[Stamp | None]:
    """The old object at a point of the world (3,) [m], at the first `steps` or all."""
    assert view.sight is not None
    pixels, away = view.sight(point, steps)
    distance = view.motion.distance if view.motion.whole else None  # else the crop is the library's
    scale = np.ones(len(away)) if distance is None else distance / np.maximum(away, 1e-2)
    return follow(crop, pixels, scale, view.shape)


def _beside(crop: Crop, view: View, way: np.ndarray, robot: np.ndarray, rng: np.random.Generator) -> Stamp | None:
    """The old object somewhere in the picture, on the ground that it came from."""
    height, width = view.shape
    h, w = crop.mask.shape
    best, least = None, np.inf
    for _ in range(_TRIES):
        centre = float(rng.uniform(w / 2, max(w / 2, width - w / 2))), float(rng.uniform(h / 2, max(h / 2, height - h / 2)))
        of = stamp(crop, centre, 1.0, view.shape)
        cost = _cost(of, way, robot, view.shape)
        if of is None or cost >= least:
            continue
        spot = np.zeros(view.shape, bool)
        spot[of.rows, of.columns] = of.alpha > _SEEN
        light, _ = surroundings(view.pictures[0], spot, view.robot[0])
        if abs(light - crop.light[0]) > _GROUND:
            continue
        best, least = stamp(in_light(crop, (light, crop.light[1])), centre, 1.0, view.shape), cost
        if not least:
            break
    return best


def _way(view: View, stamps: Stamps) -> tuple[np.ndarray, np.ndarray]:
    """Pixels that the old or the new target, and that the robot, covers at any step, with a gap; (H, W) bool both."""
    way = np.asarray(view.masks.any(0))
    for of in {id(of): of for of in stamps if of is not None}.values():
        way[of.rows, of.columns] |= of.alpha > _SEEN
    return grown(way, _GAP), grown(np.asarray(view.robot.any(0)), _GAP)


def _cost(of: Stamp | None, way: np.ndarray, robot: np.ndarray, shape: tuple[int, int]) -> float:
    """Pixels of a stamp that the robot ever covers; infinite where it is not allowed."""
    if of is None:
        return np.inf
    rows, columns, covered = of.rows, of.columns, of.alpha > _SEEN
    ys, xs = np.flatnonzero(covered.any(1)) + rows.start, np.flatnonzero(covered.any(0)) + columns.start
    if not len(ys) or ys[0] == 0 or xs[0] == 0 or ys[-1] == shape[0] - 1 or xs[-1] == shape[1] - 1:
        return np.inf  # cut off
    return np.inf if (way[rows, columns] & covered).any() else float((robot[rows, columns] & covered).sum())
