"""Cameras that stand a little elsewhere than the policy was taught with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.camera import Camera
from sim.variation.triple import Triple, triple


@dataclass(frozen=True)
class Views:
    """How cameras are moved. What is known of them (`SceneConfig.cameras`) stays as it was: a calibration gone stale."""

    azimuth: float
    """By which a camera fixed to the world goes round what it looks at [rad]."""
    elevation: float
    """By which it goes up [rad]."""
    distance: float
    """Factor of its distance."""
    roll: float
    """By which it turns about its line of sight [rad]."""
    fovy: float
    """Factor of its field of view."""
    shift: Triple
    """By which a camera on the robot is moved [m]."""
    aim: Triple
    """By which the point that it looks at is moved [m]."""

    def moved(self, camera: Camera) -> Camera:
        """The camera as it really stands."""
        if camera.body != "world":
            return replace(camera, pos=triple(np.add(camera.pos, self.shift)), at=triple(np.add(camera.at, self.aim)))
        x, y, z = np.subtract(camera.pos, camera.at)
        azimuth, elevation = np.arctan2(y, x) + self.azimuth, np.arctan2(z, np.hypot(x, y)) + self.elevation
        away = self.distance * np.linalg.norm([x, y, z])
        back = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
        right = np.cross(camera.up, back)
        right /= np.linalg.norm(right)
        up = np.cos(self.roll) * np.cross(back, right) + np.sin(self.roll) * right
        return replace(camera, pos=triple(np.array(camera.at) + away * back), up=triple(up), fovy=camera.fovy * self.fovy)


def sample_views(strength: float, rng: np.random.Generator) -> Views:
    """At 1: 12 to 16 degrees round and up (0.17 to 0.22 m), 10 % nearer or further and wider or narrower, 4 degrees rolled; wrist 8 mm."""
    towards, turn = rng.uniform(0, 2 * np.pi), strength * np.radians(rng.uniform(12, 16))
    distance, fovy = 1 + strength * rng.uniform(-0.1, 0.1, 2)
    roll = strength * np.radians(rng.uniform(-4, 4))
    shift, aim = (strength * 0.008 * d / np.linalg.norm(d) for d in rng.normal(size=(2, 3)))
    return Views(
        float(turn * np.cos(towards)), float(turn * np.sin(towards)), float(distance), float(roll), float(fovy), triple(shift), triple(aim)
    )
