"""What the table looks like: a pattern that is computed, not downloaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mujoco
import numpy as np

from sim.table import COLOUR, HALF
from sim.variation.triple import Triple, triple

_PIXELS = (192, 288)
"""Of the picture of the table's top, along x and y: 4 mm each."""


@dataclass(frozen=True)
class Texture:
    """A pattern of two colours, mixed with the plain one."""

    pattern: str
    """One of PATTERNS."""
    colours: tuple[Triple, Triple]
    """RGB in [0, 1]."""
    period: float
    """Of the pattern [m]."""
    mix: float
    """Share of the pattern; the rest is the plain colour."""
    floor: Triple
    """Colour of the floor, RGB in [0, 1]."""
    seed: int
    """Of what is irregular in it."""

    def edit(self, spec: mujoco.MjSpec) -> None:
        """Paints the table and the floor."""
        pixels = self.pixels()
        texture = spec.add_texture(name="table", type=mujoco.mjtTexture.mjTEXTURE_2D, nchannel=3)
        texture.height, texture.width = pixels.shape[:2]
        texture.data = pixels.tobytes()
        material = spec.add_material(name="table", texrepeat=[1, 1])
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "table"
        spec.geom("table").material, spec.geom("table").rgba = "table", [1, 1, 1, 1]
        floor = spec.geom("floor")
        floor.rgba = [*(self.mix * np.array(self.floor) + (1 - self.mix) * np.array(floor.rgba[:3])), 1]

    def pixels(self) -> np.ndarray:
        """The table's top, (y, x, 3) uint8."""
        x, y = np.meshgrid(*[np.linspace(-half, half, n) for half, n in zip(HALF, _PIXELS, strict=True)])
        share = PATTERNS[self.pattern](x, y, self.period, np.random.default_rng(self.seed))[..., None]
        drawn = share * np.array(self.colours[0]) + (1 - share) * np.array(self.colours[1])
        return np.round(255 * np.clip(self.mix * drawn + (1 - self.mix) * np.array(COLOUR), 0, 1)).astype(np.uint8)


def sample_texture(strength: float, rng: np.random.Generator) -> Texture:
    """At 1: nothing but the pattern, in colours of 0.25 to 1 as COLOSSEUM draws them."""
    pattern = list(PATTERNS)[rng.integers(len(PATTERNS))]
    one, two, floor = (triple(rng.uniform(0.25, 1, 3)) for _ in range(3))
    return Texture(pattern, (one, two), float(rng.uniform(0.04, 0.12)), strength, floor, int(rng.integers(2**31)))


def _checker(x: np.ndarray, y: np.ndarray, period: float, rng: np.random.Generator) -> np.ndarray:
    """Squares, turned at random, (n, m) in [0, 1]."""
    u, v = _turned(x, y, rng)
    return ((np.floor(2 * u / period) + np.floor(2 * v / period)) % 2).astype(float)


def _noise(x: np.ndarray, y: np.ndarray, period: float, rng: np.random.Generator) -> np.ndarray:
    """Clouds: waves in all directions, coarse to fine, (n, m) in [0, 1]."""
    total = np.zeros_like(x)
    for octave in range(3):
        for _ in range(8):
            u, _ = _turned(x, y, rng)
            total += np.sin(2 * np.pi * 2**octave * u / (2 * period) + rng.uniform(0, 2 * np.pi)) / 2**octave
    return 1 / (1 + np.exp(-total))


def _wood(x: np.ndarray, y: np.ndarray, period: float, rng: np.random.Generator) -> np.ndarray:
    """Grain along one direction, bent a little, (n, m) in [0, 1]."""
    u, v = _turned(x, y, rng)
    bend = 0.25 * np.sin(2 * np.pi * u / (5 * period) + rng.uniform(0, 6)) + 0.1 * np.sin(2 * np.pi * u / (1.7 * period))
    bent = v + period * bend
    rings = (bent / (0.5 * period)) % 1
    return np.clip(rings**1.5 + 0.15 * np.sin(2 * np.pi * bent / (0.07 * period)), 0, 1)


PATTERNS: dict[str, Callable[[np.ndarray, np.ndarray, float, np.random.Generator], np.ndarray]] = {
    "checker": _checker,
    "noise": _noise,
    "wood": _wood,
}


def _turned(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    angle = rng.uniform(0, 2 * np.pi)
    return np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
