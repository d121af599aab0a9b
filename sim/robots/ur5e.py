"""The UR5e with the Robotiq 2F-85."""

from __future__ import annotations

import mujoco

from sim.library import models_folder, open_model, simplify
from sim.robots.arm import Arm
from sim.robots.robotiq import ROBOTIQ, add_robotiq
from sim.robots.servos import Servos

_LOOK = (0.05, 400)
"""Share of the faces of a visual mesh that is kept, and the least number: as few as do not show."""
SERVOS = Servos(
    ("shoulder_pan_joint", "shoulder_lift_joint", "elbow_joint", "wrist_1_joint", "wrist_2_joint", "wrist_3_joint"),
    kp=(4500, 4500, 3500, 2000, 2000, 2000),
    kd=(450, 450, 350, 200, 200, 200),
    torque=(150, 150, 150, 28, 28, 28),
)


def _spec() -> mujoco.MjSpec:
    arm = open_model(models_folder() / "robots/ur5e/robot.xml")
    simplify(arm, _LOOK)
    add_robotiq(arm)
    SERVOS.power(arm)
    return arm


UR5E_ROBOTIQ = Arm(
    name="ur5e_robotiq",
    joints=SERVOS.joints,
    home=(-0.298, -1.697, 1.605, -1.479, -1.571, -1.868),
    speed=(3.14,) * 6,
    hand=ROBOTIQ,
    spec=_spec,
)
