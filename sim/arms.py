"""Other arms, from robosuite's models: light to draw, posed rather than stepped. They have no servos yet."""

from __future__ import annotations

from functools import partial

import mujoco
import numpy as np

from sim.library import models_folder, open_looks, simplify
from sim.panda import GRIP, PANDA, Arm, fit_jaw, jaw_fingers, jaw_spec

_LINKS = {"ur5e": (0.05, 400), "kinova3": (0.25, 2500), "iiwa": (0.04, 2500)}
"""Share of the faces of a visual mesh that is kept, and the least number: as few as do not show."""
_ROBOTIQ = (0.16, 300)

_KNUCKLE = 0.0306011
"""Of the Robotiq's outer knuckle from the middle of the hand [m]."""
_LEVER = (0.0376, 0.043)
"""From the knuckle to the finger that it carries, jaw open: outwards and forwards [m]."""
_PAD = 0.0251953
"""From there to the face of the pad, inwards [m]."""
_TIP = 0.054904 + float(np.hypot(*_LEVER)) + 0.05117
"""Of the fingertips from the wrist, where they reach furthest [m]."""
_FREE = 2 * np.pi
"""Range of a joint that turns without end [rad]."""


def _bolted(robot: str) -> mujoco.MjSpec:
    """The model of a robot without a hand."""
    folder = models_folder() / "robots" / robot
    arm = open_looks(folder / "robot.xml")
    simplify(arm, folder, _LINKS[robot])
    for joint in arm.joints:
        if not joint.range.any():
            joint.range, joint.limited = [-_FREE, _FREE], True
    return arm


def _with_robotiq(robot: str) -> mujoco.MjSpec:
    """The Robotiq 2F-85 on a wrist: the fingers fold by a four-bar linkage that keeps the pads parallel."""
    arm, folder = _bolted(robot), models_folder() / "grippers"
    hand = open_looks(folder / "robotiq_gripper_85.xml")
    for tendon in list(hand.tendons):
        hand.delete(tendon)
    simplify(hand, folder, _ROBOTIQ)
    arm.attach(hand, frame=arm.body("right_hand").add_frame(), prefix="")
    depth = _TIP - 0.0115
    quarter = [np.sqrt(0.5), 0, 0, np.sqrt(0.5)]
    wrist = arm.body("robotiq_85_adapter_link")
    grip = wrist.add_body(name="right_gripper", pos=[0, 0, depth - 0.097], quat=[quarter[0], 0, 0, -quarter[3]])
    grip.add_site(name=GRIP, pos=[0, 0, 0.097], quat=quarter, group=4)
    return arm


def _robotiq_fingers(opening: float) -> dict[str, float]:
    """Joints of the linkage at a distance between the pads [m]."""
    out, forward = _LEVER
    reach = opening / 2 - _KNUCKLE + _PAD
    turn = float(np.arccos(np.clip(reach / np.hypot(out, forward), -1, 1)) - np.arctan2(forward, out))
    return {
        "finger_joint": turn,
        "left_inner_finger_joint": -turn,
        "left_inner_knuckle_joint": turn,
        "right_outer_knuckle_joint": turn,
        "right_inner_finger_joint": -turn,
        "right_inner_knuckle_joint": turn,
    }


def _with_jaw(robot: str) -> mujoco.MjSpec:
    """The Panda's jaw on a wrist."""
    arm = _bolted(robot)
    arm.attach(jaw_spec(), frame=arm.body("right_hand").add_frame(), prefix="")
    fit_jaw(arm)
    return arm


UR5E = Arm(
    "ur5e_robotiq85",
    ("shoulder_pan_joint", "shoulder_lift_joint", "elbow_joint", "wrist_1_joint", "wrist_2_joint", "wrist_3_joint"),
    (-0.298, -1.697, 1.605, -1.479, -1.571, -1.868),
    0.085,
    (3.14,) * 6,
    partial(_with_robotiq, "ur5e"),
    _robotiq_fingers,
)
KINOVA3 = Arm(
    "kinova3_robotiq85",
    tuple(f"Actuator{i}" for i in range(1, 8)),
    (0.0, 0.345, np.pi, -1.196, 0.0, -1.6, np.pi / 2),
    0.085,
    (1.39,) * 4 + (1.22,) * 3,
    partial(_with_robotiq, "kinova3"),
    _robotiq_fingers,
)
IIWA = Arm(
    "iiwa_jaw",
    tuple(f"joint_{i}" for i in range(1, 8)),
    (0.0, 0.206, 0.0, -1.719, 0.0, 1.217, 0.0),
    PANDA.jaw,
    (1.71, 1.71, 1.75, 2.27, 2.44, 3.14, 3.14),
    partial(_with_jaw, "iiwa"),
    jaw_fingers,
)
ARMS = {"ur5e": UR5E, "kinova3": KINOVA3, "iiwa": IIWA}
