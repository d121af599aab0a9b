"""Top-down grasps of a hand with two sides: which ones an object offers, best first, always in the same order for the same pose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.ndimage import maximum_filter

from sim.robots.hand import Room
from sim.robots.jaw import JAW

_CELL = 0.003
"""Of the height map [m]."""
_TURN = np.pi / 18
"""Between the yaws that are looked at [rad]."""
_GRID = 0.006
"""Between the places that are looked at [m]."""


@dataclass(frozen=True)
class Grasp:
    """Where the middle of the finger pads goes, straight down."""

    pos: np.ndarray
    """In the robot's base frame, (3,) [m]."""
    yaw: float
    """About the vertical, 0 as at the home pose (closing along the base's y), in [-pi/2, pi/2], in [-pi, pi] of a hand [rad]."""
    width: float
    """Of the object between the pads [m]."""
    score: float
    """Higher is better."""
    preshape: int = 0
    """Of the hand's `preshapes`: how it comes down."""


class Shape(Protocol):
    """What a grasp is looked for on: an object's true surface (`sim.surface.Surface`), or somebody's estimate of it."""

    @property
    def centre_of_mass(self) -> np.ndarray:
        """(3,) [m]."""
        ...

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of an axis-aligned box that holds it, (3,) and (3,) [m]."""
        ...

    def heights(self, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        """Height above the table z = 0, from straight above, (len(xs), len(ys)) [m]; 0 where there is nothing."""
        ...

    def cast(self, origin: np.ndarray, direction: np.ndarray) -> tuple[float, np.ndarray]:
        """Distance [m] along a unit direction (3,) and the outward normal (3,) there; infinity where there is nothing."""
        ...


def closing(yaw: float) -> np.ndarray:
    """The direction along which the fingers close, (3,)."""
    return np.array([-np.sin(yaw), np.cos(yaw), 0.0])


def propose_grasps(surface: Shape, *rooms: Room, most: int = 24) -> list[Grasp]:
    """Grasps whose fingers come down freely beside the object and meet opposing faces of it, best first.

    A height map says where fingers and palm have room, rays between the pads say what they would touch. Nothing here is
    random: cloning averages what an expert chooses at random.

    Args:
        surface: the object at its present pose.
        rooms: the shape of the hand in each of its preshapes; by default the Panda's jaw.
        most: at most this many, of a preshape at least 4 mm or 12 degrees apart.
    """
    rooms = rooms or (JAW.room,)
    low, high = surface.bounds()
    margin = max(room.opening for room in rooms) / 2 + 0.03
    xs, ys = (np.arange(low[k] - margin, high[k] + margin, _CELL) for k in (0, 1))
    heights = surface.heights(xs, ys)
    wide = maximum_filter(heights, size=5, mode="constant")  # 15 mm: coarse steps miss nothing
    maps = np.pad(heights, 1), np.pad(wide, 1)  # what is beyond them is on their edge
    com = surface.centre_of_mass
    x, y = np.meshgrid(np.arange(low[0], high[0], _GRID), np.arange(low[1], high[1], _GRID), indexing="ij")
    near = np.hypot(x - com[0], y - com[1]) < 0.11
    centres = np.stack([x[near], y[near]], axis=1)  # (N, 2)
    found = []
    for preshape, room in enumerate(rooms):
        half = _half(room)
        for yaw in np.linspace(-half, half, round(2 * half / _TURN), endpoint=False) + _TURN / 2:
            found += _along(room, preshape, maps, (xs[0], ys[0]), centres, com, float(yaw))
    found.sort(key=lambda g: -g.score)
    best: list[Grasp] = []
    for rough in found[: 400 * len(rooms)]:
        if len(best) >= most:
            break
        room = rooms[rough.preshape]
        if any(_near(rough, other, 2 * _half(room)) for other in best):
            continue
        grasp = _touch(surface, room, rough)
        if grasp is not None:
            best.append(grasp)
    return sorted(best, key=lambda g: -g.score)


def _along(
    room: Room,
    preshape: int,
    maps: tuple[np.ndarray, np.ndarray],
    corner: tuple[float, float],
    centres: np.ndarray,
    com: np.ndarray,
    yaw: float,
) -> list[Grasp]:
    """Rough grasps of one yaw from the height maps alone; their score lacks what the pads would touch."""
    heights, wide = maps
    u = closing(yaw)[:2]
    v = np.array([u[1], -u[0]])

    def highest(field: np.ndarray, centres: np.ndarray, along: np.ndarray, across: np.ndarray) -> np.ndarray:
        """Of the map over a grid of offsets about each centre, (N,) [m]."""
        offsets = (along[:, None, None] * u + across[None, :, None] * v).reshape(-1, 2)  # (K, 2)
        flat = np.zeros((len(centres), len(offsets)), np.int32)  # (N, K)
        for k, size in enumerate(field.shape):
            cells = np.rint((centres[:, None, k] + offsets[:, k] - corner[k]) / _CELL).astype(np.int32)
            flat = flat * size + (cells + 1).clip(0, size - 1)
        return field.ravel()[flat].max(axis=1)

    half = room.opening / 2
    between = highest(heights, centres, np.arange(0.007 - half, half - 0.0069, 0.006), np.array([-0.005, 0.0, 0.005]))
    some = between > 0.004
    centres, between = centres[some], between[some]
    beside = np.zeros(len(centres))
    for sign, finger in zip((1, -1), room.fingers, strict=True):
        there = highest(heights, centres, sign * (half + np.array(finger.outwards)), np.array(finger.across))
        beside = np.maximum(beside, there)
    palm = highest(wide, centres, *map(np.array, room.palm))
    tip = np.maximum(np.where(beside > 0.001, beside + 0.004, 0.002), palm - room.depth)
    pad = tip + room.tip
    away = np.hypot(*(centres - com[:2]).T)
    score = -60 * away - abs(yaw) * (np.pi / 2 / _half(room)) - 8 * np.maximum(0, pad - com[2])
    deep = pad < np.maximum(between - 0.003, room.tip + 0.0025)
    return [Grasp(np.array([*centres[k], pad[k]]), yaw, np.nan, float(score[k]), preshape) for k in np.flatnonzero(deep)]


def _touch(surface: Shape, room: Room, rough: Grasp) -> Grasp | None:
    """The grasp centred between the faces that the pads would meet; None where they do not oppose each other."""
    u = closing(rough.yaw)
    v = np.array([u[1], -u[0], 0.0])
    gaps, facing = np.full((2, 9), np.inf), np.zeros((2, 9))
    for side, sign in enumerate((1.0, -1.0)):
        for ray, (across, above) in enumerate((s, z) for s in room.pads[side] for z in (-0.005, 0.0, 0.005)):
            start = rough.pos + sign * room.opening / 2 * u + across * v + [0, 0, above]
            distance, normal = surface.cast(start, -sign * u)
            if distance < room.opening:
                gaps[side, ray], facing[side, ray] = distance, sign * normal @ u
    first = gaps.min(axis=1)  # where each pad meets the object
    width = room.opening - first.sum()
    if not np.isfinite(first).all() or not 0.001 < width < room.opening - 0.004:
        return None
    contact = gaps < first[:, None] + 0.003  # within what the pad and the object give
    align = np.array([facing[side][contact[side]].mean() for side in (0, 1)])
    if align.min() < 0.6:  # steeper than the friction cone holds
        return None
    spread = contact.mean(axis=1).min()
    shift = (first[1] - first[0]) / 2
    pos = rough.pos + shift * u
    score = rough.score + 3.0 * float(align.mean()) + 0.7 * float(spread) - 20 * abs(float(shift))
    return Grasp(pos, rough.yaw, float(width), score, rough.preshape)


def _half(room: Room) -> float:
    """Of the turns that give different grasps [rad]."""
    return np.pi / 2 if room.symmetric else np.pi


def _near(a: Grasp, b: Grasp, period: float) -> bool:
    turn = abs((a.yaw - b.yaw + period / 2) % period - period / 2)
    return bool(a.preshape == b.preshape and np.linalg.norm(a.pos - b.pos) < 0.004 and turn < 0.21)
