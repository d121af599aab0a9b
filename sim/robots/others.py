"""Other arms, from robosuite's models: light to draw, posed rather than stepped. They have no servos yet."""

from __future__ import annotations

from functools import partial

import mujoco
import numpy as np

from sim.library import models_folder, open_looks, simplify
from sim.robots.arm import Arm
from sim.robots.jaw import JAW, fit_jaw, jaw_spec
from sim.robots.robotiq import ROBOTIQ, add_robotiq

_LINKS = {"ur5e": (0.05, 400), "kinova3": (0.25, 2500), "iiwa": (0.04, 2500)}
"""Share of the faces of a visual mesh that is kept, and the least number: as few as do not show."""
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
    arm = _bolted(robot)
    add_robotiq(arm)
    return arm


def _with_jaw(robot: str) -> mujoco.MjSpec:
    arm = _bolted(robot)
    arm.attach(jaw_spec(), frame=arm.body("right_hand").add_frame(), prefix="")
    fit_jaw(arm)
    return arm


UR5E_ROBOTIQ = Arm(
    "ur5e_robotiq",
    ("shoulder_pan_joint", "shoulder_lift_joint", "elbow_joint", "wrist_1_joint", "wrist_2_joint", "wrist_3_joint"),
    (-0.298, -1.697, 1.605, -1.479, -1.571, -1.868),
    (3.14,) * 6,
    ROBOTIQ,
    partial(_with_robotiq, "ur5e"),
)
KINOVA3_ROBOTIQ = Arm(
    "kinova3_robotiq",
    tuple(f"Actuator{i}" for i in range(1, 8)),
    (0.0, 0.345, np.pi, -1.196, 0.0, -1.6, np.pi / 2),
    (1.39,) * 4 + (1.22,) * 3,
    ROBOTIQ,
    partial(_with_robotiq, "kinova3"),
)
IIWA_JAW = Arm(
    "iiwa_jaw",
    tuple(f"joint_{i}" for i in range(1, 8)),
    (0.0, 0.206, 0.0, -1.719, 0.0, 1.217, 0.0),
    (1.71, 1.71, 1.75, 2.27, 2.44, 3.14, 3.14),
    JAW,
    partial(_with_jaw, "iiwa"),
)
