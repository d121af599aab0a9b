"""What a worse sensor makes of a picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Sensor:
    """Fog, blur and grain, in this order."""

    fog: float
    """Share of an even grey."""
    blur: float
    """Standard deviation, as a share of the picture's side."""
    grain: float
    """Standard deviation of each pixel [0..255]."""
    seed: int

    def apply(self, picture: np.ndarray, step: int, camera: int) -> np.ndarray:
        """The picture (h, w, 3) uint8 as the sensor gives it, at a control step, of the camera of that number."""
        seen = (1 - self.fog) * picture.astype(np.float32) + np.float32(200 * self.fog)
        seen = cv2.GaussianBlur(seen, (0, 0), max(self.blur * len(picture), 1e-3))
        seen += np.float32(self.grain) * np.random.default_rng([self.seed, camera, step]).standard_normal(seen.shape, np.float32)
        return np.clip(np.rint(seen), 0, 255).astype(np.uint8)


def sample_sensor(strength: float, rng: np.random.Generator) -> Sensor:
    """At 1: mostly fog of 0.5, a blur of 1.5 % of the picture, or grain of 40, and some of the others."""
    weights = rng.dirichlet([0.7, 0.7, 0.7])
    fog, blur, grain = strength * np.sqrt(weights) * [0.5, 0.015, 40]
    return Sensor(float(fog), float(blur), float(grain), int(rng.integers(2**31)))
