"""The arcs on which the pads of the Inspire hand swing, thumb opposed, as its model has them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import mujoco
import numpy as np

from sim.library import models_folder, open_model

FINGERS = ("index", "middle", "ring", "pinky")
TIPS = {
    "thumb": ((0.0165, 0.0085, -0.006), 0.0065),
    "index": ((-0.0002, 0.0394, -0.005), 0.0058),
    "middle": ((-0.0002, 0.0429, -0.005), 0.0058),
    "ring": ((-0.0002, 0.0395, -0.005), 0.0058),
    "pinky": ((-0.0002, 0.0317, -0.005), 0.0058),
}
"""The ball at the end of each: its middle in the frame of its outer link and its radius [m]."""
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
_TILT = np.radians(50)
"""Between the palm's long axis and the approach: so the tips of thumb and index are level within 3 mm however far they are apart."""
ALONG = np.array([np.cos(_TILT), -np.sin(_TILT), 0.0])
"""The closing, from the thumb to the fingers, in the hand's frame."""
DOWN = np.array([-np.sin(_TILT), -np.cos(_TILT), 0.0])
"""The approach."""
SIDEWAYS = np.array([0.0, 0.0, -1.0])
"""From the little finger to the index."""
CENTRE = 0.050, 0.017
"""Of the grip site from the wrist along the closing and sideways [m]: where the thumb is, between index and middle."""
DEPTH = 0.135
"""Of the grip site from the wrist along the approach [m]."""


@dataclass(frozen=True)
class Arc:
    """Where the tips are, by the bend of the thumb and of the fingers."""

    bend: np.ndarray
    """Shares of the range, rising, (k,)."""
    thumb: np.ndarray
    """How far along the closing its inner face is from the wrist, and how far along the approach its end, (k, 2) [m]."""
    finger: np.ndarray
    """The inner faces of those fingers on the mean, and the end of the longest, (k, 2) [m]."""

    def bends(self, opening: float) -> tuple[float, float]:
        """Of thumb and fingers whose faces are `opening` [m] apart, as far from the grip site; negative: into each other."""
        there, back = int(self.thumb[:, 0].argmax()) + 1, int(self.finger[:, 0].argmin()) + 1
        thumb = np.interp(CENTRE[0] - opening / 2, self.thumb[:there, 0], self.bend[:there])
        finger = np.interp(-CENTRE[0] - opening / 2, -self.finger[:back, 0], self.bend[:back])
        return float(thumb), float(finger)

    def lowest(self, opening: float) -> float:
        """How far along the approach the lowest of their tips is from the wrist [m]."""
        thumb, finger = self.bends(opening)
        return float(max(np.interp(thumb, self.bend, self.thumb[:, 1]), np.interp(finger, self.bend, self.finger[:, 1])))


@lru_cache(maxsize=4)
def arc(fingers: int) -> Arc:
    """Of the model, whose joints are moved in steps of an eightieth of their range. Of more than two fingers the first two count."""
    hand = open_model(models_folder() / "grippers/inspire_right_hand.xml")
    for geom in list(hand.geoms):
        hand.delete(geom)
    for body in hand.bodies[1:]:
        body.mass, body.inertia, body.explicitinertial = 1, [1, 1, 1], True  # moving bodies need one
    hand.body("right_hand").quat = [1, 0, 0, 0]
    model = hand.compile()
    data = mujoco.MjData(model)
    joints = [model.joint(name).qposadr[0] for name in (*DRIVEN, *COUPLED)]

    def tip(name: str, inwards: int) -> tuple[float, float]:
        (offset, radius), link = TIPS[name], data.body(f"r_{name}_distal")
        there = link.xpos + link.xmat.reshape(3, 3) @ offset
        return float(there @ ALONG) + inwards * radius, float(there @ DOWN) + radius

    bend, thumb, finger = np.linspace(0, 1, 81), [], []
    for share in bend:
        driven = RANGE * [1, *[share] * 5]
        data.qpos[joints] = np.append(driven, [driven[k] * ratio for k, ratio in COUPLED.values()])
        mujoco.mj_kinematics(model, data)
        thumb.append(tip("thumb", 1))
        faces, ends = np.transpose([tip(name, -1) for name in FINGERS[: min(fingers, 2)]])
        finger.append((faces.mean(), ends.max()))
    return Arc(bend, np.array(thumb), np.array(finger))
