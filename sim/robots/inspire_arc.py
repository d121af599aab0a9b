"""The arcs on which the pads of the Inspire hand swing, thumb opposed, as its model has them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import mujoco
import numpy as np

from sim.library import models_folder, open_model

FINGERS = ("index", "middle", "ring", "pinky")
LENGTH = {"index": 0.0452, "middle": 0.0487, "ring": 0.0453, "pinky": 0.0375}
"""Of the outer link of a finger [m]."""
DRIVEN = ("joint_r_thumb_proximal_1", "joint_r_thumb_proximal_2", *(f"joint_r_{name}_proximal" for name in FINGERS))
RANGE = np.array([1.3, 0.68, 1.62, 1.62, 1.62, 1.62])
"""Of the driven joints [rad]: 0 aside or straight."""
COUPLED = {
    "joint_r_thumb_middle": (1, 1.0),
    "joint_r_thumb_distal": (1, 0.77 / 0.68),
    "joint_r_index_distal": (2, 1.82 / 1.62),
    "joint_r_middle_distal": (3, 1.82 / 1.62),
    "joint_r_ring_distal": (4, 1.75 / 1.62),
    "joint_r_pinky_distal": (5, 1.87 / 1.62),
}
"""Which driven joint a joint follows, and how fast."""
_TILT = np.radians(45)
"""Between the palm's long axis and the approach: so the pads stay level within 15 mm while they close."""
ALONG = np.array([np.cos(_TILT), -np.sin(_TILT), 0.0])
"""The closing, from the thumb to the fingers, in the hand's frame."""
DOWN = np.array([-np.sin(_TILT), -np.cos(_TILT), 0.0])
"""The approach."""
SIDEWAYS = np.array([0.0, 0.0, -1.0])
"""From the little finger to the index."""
CENTRE = 0.041, 0.017
"""Of the grip site from the wrist along the closing and sideways [m]: between index and middle, where the thumb is."""
DEPTH = 0.1385
"""Of the grip site from the wrist along the approach [m]."""


@dataclass(frozen=True)
class Arc:
    """Where the pads are, by the bend of the thumb and of the fingers."""

    bend: np.ndarray
    """Shares of the range, rising, (k,)."""
    thumb: np.ndarray
    """From the wrist along the closing and the approach, (k, 2) [m]."""
    finger: np.ndarray
    """The mean of index and middle, (k, 2) [m]."""

    def bends(self, opening: float) -> tuple[float, float]:
        """Of thumb and fingers whose pads are `opening` [m] apart, as far from the grip site; negative: into each other."""
        there, back = int(self.thumb[:, 0].argmax()) + 1, int(self.finger[:, 0].argmin()) + 1
        thumb = np.interp(CENTRE[0] - opening / 2, self.thumb[:there, 0], self.bend[:there])
        finger = np.interp(-CENTRE[0] - opening / 2, -self.finger[:back, 0], self.bend[:back])
        return float(thumb), float(finger)

    def level(self, opening: float) -> float:
        """Mean distance of such pads from the wrist along the approach [m]."""
        thumb, finger = self.bends(opening)
        return float(np.interp(thumb, self.bend, self.thumb[:, 1]) + np.interp(finger, self.bend, self.finger[:, 1])) / 2


@lru_cache(maxsize=1)
def arc() -> Arc:
    """Of the model, whose joints are moved in steps of an eightieth of their range."""
    hand = open_model(models_folder() / "grippers/inspire_right_hand.xml")
    for geom in list(hand.geoms):
        hand.delete(geom)
    for body in hand.bodies[1:]:
        body.mass, body.inertia, body.explicitinertial = 1, [1, 1, 1], True  # moving bodies need one
    hand.body("right_hand").quat = [1, 0, 0, 0]
    model = hand.compile()
    data = mujoco.MjData(model)
    joints = [model.joint(name).qposadr[0] for name in (*DRIVEN, *COUPLED)]

    def pad(body: str, offset: tuple[float, float, float]) -> np.ndarray:
        there = data.body(body).xpos + data.body(body).xmat.reshape(3, 3) @ offset
        return np.array([there @ ALONG, there @ DOWN])

    bend, thumb, finger = np.linspace(0, 1, 81), [], []
    for share in bend:
        driven = RANGE * [1, *[share] * 5]
        data.qpos[joints] = np.append(driven, [driven[k] * ratio for k, ratio in COUPLED.values()])
        mujoco.mj_kinematics(model, data)
        thumb.append(pad("r_thumb_distal", (0.016, 0.0155, -0.006)))
        finger.append(np.mean([pad(f"r_{name}_distal", (-0.006, LENGTH[name] - 0.009, -0.005)) for name in FINGERS[:2]], axis=0))
    return Arc(bend, np.array(thumb), np.array(finger))
