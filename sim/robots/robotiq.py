"""The Robotiq 2F-85: its fingers fold by a four-bar linkage that keeps the pads parallel."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from sim.library import models_folder, open_looks, simplify
from sim.robots.hand import GRIP, Finger, Room

_OPEN = 0.085
"""Between the pads [m]."""
_LOOK = (0.16, 300)
"""Share of the faces of a visual mesh that is kept, and the least."""
_KNUCKLE = 0.0306011
"""Of the outer knuckle from the middle of the hand [m]."""
_LEVER = (0.0376, 0.043)
"""From the knuckle to the finger that it carries, jaw open: outwards and forwards [m]."""
_PAD = 0.0251953
"""From there to the face of the pad, inwards [m]."""
_TIP = 0.054904 + float(np.hypot(*_LEVER)) + 0.05117
"""Of the fingertips from the wrist, where they reach furthest [m]."""
_JOINTS = {
    "finger_joint": 1,
    "left_inner_finger_joint": -1,
    "left_inner_knuckle_joint": 1,
    "right_outer_knuckle_joint": 1,
    "right_inner_finger_joint": -1,
    "right_inner_knuckle_joint": 1,
}
"""Sign of each joint's turn when the jaw closes."""
_FINGER = Finger((0.001, 0.010, 0.020), (-0.012, 0.0, 0.012))
_PALM = tuple(round(0.02 * k, 2) for k in range(-3, 4)), (-0.03, 0.0, 0.03)
_ROOM = Room(_OPEN, 0.0115, 0.038, (_FINGER, _FINGER), _PALM)


@dataclass(frozen=True)
class Robotiq:
    """Its value is the opening; its motor turns the left outer knuckle."""

    values: tuple[str, ...] = ("jaw",)
    actuators: tuple[str, ...] = ("jaw",)
    joints: tuple[str, ...] = tuple(_JOINTS)
    sides: tuple[tuple[str, ...], tuple[str, ...]] = (("left_inner_finger",), ("right_inner_finger",))
    room: Room = _ROOM

    @property
    def ready(self) -> np.ndarray:
        """Open."""
        return np.ones(1)

    @property
    def shut(self) -> np.ndarray:
        """Closed."""
        return np.zeros(1)

    def commands(self, values: np.ndarray) -> np.ndarray:
        """Turn of the left outer knuckle, (1,) [rad]."""
        return np.array([_turn(float(values[0]) * _OPEN)])

    def positions(self, values: np.ndarray) -> np.ndarray:
        """Of the six joints of the linkage, (6,) [rad]."""
        return _turn(float(values[0]) * _OPEN) * np.array(list(_JOINTS.values()), float)

    def sense(self, positions: np.ndarray) -> np.ndarray:
        """Opening, (1,), by the two driven knuckles."""
        out, forward = _LEVER
        turn = (positions[0] + positions[3]) / 2
        reach = np.hypot(out, forward) * np.cos(turn + np.arctan2(forward, out))
        return np.clip(np.array([2 * (reach + _KNUCKLE - _PAD) / _OPEN]), 0, 1)


def _turn(opening: float) -> float:
    """Of a knuckle at a distance between the pads [m]."""
    out, forward = _LEVER
    reach = opening / 2 - _KNUCKLE + _PAD
    return float(np.arccos(np.clip(reach / np.hypot(out, forward), -1, 1)) - np.arctan2(forward, out))


ROBOTIQ = Robotiq()


def add_robotiq(arm: mujoco.MjSpec) -> None:
    """Puts the hand on the body "right_hand" of an arm."""
    folder = models_folder() / "grippers"
    hand = open_looks(folder / "robotiq_gripper_85.xml")
    for tendon in list(hand.tendons):
        hand.delete(tendon)
    simplify(hand, folder, _LOOK)
    arm.attach(hand, frame=arm.body("right_hand").add_frame(), prefix="")
    depth = _TIP - 0.0115
    quarter = [np.sqrt(0.5), 0, 0, np.sqrt(0.5)]
    wrist = arm.body("robotiq_85_adapter_link")
    grip = wrist.add_body(name="right_gripper", pos=[0, 0, depth - 0.097], quat=[quarter[0], 0, 0, -quarter[3]])
    grip.add_site(name=GRIP, pos=[0, 0, 0.097], quat=quarter, group=4)
