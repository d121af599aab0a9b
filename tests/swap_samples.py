"""A made-up room for object swaps: a bar comes down over a square, covers the top of it, and carries it up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from episode_samples import make_episode, make_info

from augment.library import Crop, Library
from augment.world import World
from episodes import Episode

STEPS, SIZE = 24, 64
RED, BLUE, STEEL = (200, 30, 30), (30, 40, 210), (90, 90, 100)
SIZES = {"side": (SIZE, SIZE)}


def background() -> np.ndarray:
    """A table that is lighter to the right, (64, 64, 3) u8."""
    ramp = np.linspace(150, 190, SIZE)
    return np.stack([np.tile(ramp, (SIZE, 1)), np.tile(ramp - 20, (SIZE, 1)), np.tile(ramp - 50, (SIZE, 1))], -1).astype(np.uint8)


def way() -> np.ndarray:
    """The true middle of the square, (24, 2) [px]."""
    up = np.maximum(0, np.arange(STEPS) - 12) * 2
    return np.stack([np.full(STEPS, 24.5), 44.5 - up], 1)


def room(**changes) -> tuple[Episode, np.ndarray]:
    """The episode and the robot's pixels, (T, H, W) bool."""
    pictures = np.repeat(background()[None], STEPS, 0)
    masks, robot = np.zeros((2, STEPS, SIZE, SIZE), bool)
    for t, (x, y) in enumerate(way()):
        tip = int(min(y + 3, 8 + 5 * t))
        robot[t, :tip, 20:27] = True
        masks[t, int(y - 4.5) : int(y + 5.5), int(x - 4.5) : int(x + 5.5)] = True
        pictures[t][masks[t]] = RED
        pictures[t][robot[t]] = STEEL
    fields = {
        "images": {"side": pictures},
        "masks": {"side": masks & ~robot},
        "instruction": "pick up the red cube and hold it",
        "provenance": {"object": "cube"},
    }
    return make_episode(0, STEPS, SIZES, **(fields | changes)), robot


def disc(colour: tuple[int, int, int] = BLUE, radius: int = 6, **changes) -> Crop:
    """A crop of one colour, seen on the same table."""
    y, x = np.mgrid[: 2 * radius + 7, : 2 * radius + 7] - (radius + 3)
    mask = x**2 + y**2 <= radius**2
    crop = Crop(np.full((*mask.shape, 3), colour, np.uint8), mask, "disc", "blue disc", "side", "made up", (160.0, 3.0))
    return replace(crop, **changes)


def library(*crops: Crop) -> Library:
    return Library(crops or (disc(),))


class Room(World):
    """A world that knows the robot's pixels, as if someone had segmented them."""

    def __init__(self, robot: np.ndarray) -> None:
        super().__init__(make_info(SIZES))
        self._pixels = robot

    def robot_masks(self, episode: Episode) -> dict[str, np.ndarray]:
        """Of every camera, the same."""
        return dict.fromkeys(episode.images, self._pixels)
