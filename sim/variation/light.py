"""Where the light comes from, how bright and of what colour it is."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from sim.table import WORKSPACE
from sim.variation.triple import Triple, triple


@dataclass(frozen=True)
class Light:
    """Another light than the plain one."""

    direction: Triple
    """Of the sun's rays, a unit vector; the plain one is (0, 0.33, -0.94)."""
    gain: Triple
    """Of all lights by red, green and blue; 1 is plain."""
    shadows: bool

    def edit(self, spec: mujoco.MjSpec) -> None:
        """Changes the sun and the head light."""
        sun, head = spec.light("sun"), spec.visual.headlight
        sun.pos, sun.dir = np.array([*WORKSPACE, 0.0]) - 1.8 * np.array(self.direction), self.direction
        sun.castshadow = self.shadows
        if self.shadows:
            spec.visual.quality.shadowsize = 512  # a picture with shadows takes 6 ms instead of 9, and 1 without
        for light in (sun, head):
            light.diffuse, light.ambient = np.multiply(light.diffuse, self.gain), np.multiply(light.ambient, self.gain)


def sample_light(strength: float, rng: np.random.Generator) -> Light:
    """At 1: 30 to 50 degrees away from the plain direction, 0.4 to 1.5 times as bright, tinted by 45 %; shadows above one half."""
    towards, bright, hue = rng.uniform(0, 2 * np.pi), rng.random() < 0.5, rng.uniform(0, 2 * np.pi)
    tilt, much = strength * np.radians(rng.uniform(30, 50)), strength * rng.uniform(0.6, 1)
    plain = np.array([0, 0.35, -1]) / np.linalg.norm([0, 0.35, -1])
    aside = np.cross(plain, [np.cos(towards), np.sin(towards), 0])
    aside /= np.linalg.norm(aside)
    direction = np.cos(tilt) * plain + np.sin(tilt) * aside
    brightness = 1 + 0.5 * much if bright else 1 / (1 + 1.5 * much)
    tint = 1 + 0.45 * strength * np.cos(hue + 2 * np.pi / 3 * np.arange(3))
    return Light(triple(direction), triple(brightness * tint), strength > 0.5)
