"""Worlds that `cezanne collect randomise=` draws, as its cameras see them: `python -m sim.worlds worlds.jpg [axis ...]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from assets.toys import ToySet
from sim.disturbed import open_robot
from sim.errors import PlacementError, SceneError
from sim.randomise import ALL, randomisation
from sim.scene import SceneConfig

TILE, GAP, ACROSS = 128, 4, 8
"""Of the sheet [px], and worlds in a row: above what the side camera sees, below what the wrist camera does."""
RIM = (255, 0, 200)


def worlds(axes: Sequence[str] = (ALL,), count: int = 16, seed: int = 0, strength: tuple[float, float] = (0.0, 1.0)) -> Image.Image:
    """A sheet of `count` worlds, each with another toy, the mask outlined. Raises SceneError for an axis that is not there."""
    drawing, toys = randomisation(axes, strength), ToySet.sample(seed, count).toys
    rows = -(-count // ACROSS)
    page = Image.new("RGB", (ACROSS * (TILE + GAP) + GAP, rows * (2 * TILE + 3 * GAP)), (255, 255, 255))
    for k, toy in enumerate(toys):
        rng = np.random.default_rng([seed, k])
        x, y = GAP + k % ACROSS * (TILE + GAP), GAP + k // ACROSS * (2 * TILE + 3 * GAP)
        for row, picture in enumerate(_seen(SceneConfig(toy, size=TILE, variation=drawing.draw(rng).variation), rng)):
            page.paste(Image.fromarray(picture), (x, y + row * (TILE + 1)))
    return page


def _seen(config: SceneConfig, rng: np.random.Generator) -> list[np.ndarray]:
    """What each camera sees at the start, the rim of the mask drawn in."""
    with open_robot(config) as robot:
        for _ in range(8):
            try:
                robot.place(rng.uniform(-0.1, 0.1, 2), rng)
                break
            except PlacementError:
                continue
        seen = robot.observe()
    pictures = []
    for name, picture in seen.images.items():
        rims, _ = cv2.findContours(seen.masks[name].astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        pictures.append(cv2.drawContours(picture.copy(), rims, -1, RIM, 1))
    return pictures


if __name__ == "__main__":
    if len(sys.argv) < 2 or Path(sys.argv[1]).suffix not in (".jpg", ".png"):
        sys.exit("a file name is needed, and axes if not all, as in: python -m sim.worlds worlds.jpg light texture")
    try:
        worlds(sys.argv[2:] or (ALL,)).save(sys.argv[1], quality=80)
    except (OSError, SceneError) as error:
        sys.exit(str(error))
