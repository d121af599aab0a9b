"""The Franka Panda with its own jaw, with the Robotiq 2F-85 as in DROID, and with the Inspire hand."""

from __future__ import annotations

import mujoco
import numpy as np

from sim.library import models_folder, open_model, simplify
from sim.robots.arm import Arm
from sim.robots.inspire import INSPIRE, add_inspire
from sim.robots.jaw import JAW, fit_jaw, jaw_spec
from sim.robots.robotiq import ROBOTIQ, add_robotiq
from sim.robots.servos import Servos

HOME = (0.0, -0.3, 0.0, -2.3, 0.0, 2.0, np.pi / 4)
SPEED = (2.175,) * 4 + (2.61,) * 3
SERVOS = Servos(
    tuple(f"joint{i}" for i in range(1, 8)),
    kp=(4500, 4500, 3500, 3500, 2000, 2000, 2000),  # of Franka's joint impedance controller
    kd=(450, 450, 350, 350, 200, 200, 200),
    torque=(87, 87, 87, 87, 12, 12, 12),
)
_LOOK = (0.04, 120)
"""Share of the faces of a visual mesh that is kept, and the least."""


def panda_arm() -> mujoco.MjSpec:
    """A new MjSpec of the arm without a hand and servos."""
    arm = open_model(models_folder() / "robots/panda/robot.xml")
    simplify(arm, _LOOK)
    return arm


def _with_jaw() -> mujoco.MjSpec:
    arm = panda_arm()
    arm.attach(jaw_spec(), frame=arm.body("right_hand").add_frame(), prefix="")
    SERVOS.power(arm)
    fit_jaw(arm)
    return arm


def _with_robotiq() -> mujoco.MjSpec:
    arm = panda_arm()
    add_robotiq(arm)
    SERVOS.power(arm)
    return arm


def _with_inspire() -> mujoco.MjSpec:
    arm = panda_arm()
    add_inspire(arm, "right_hand", (np.sqrt(0.5), -np.sqrt(0.5), 0, 0))
    SERVOS.power(arm)
    return arm


PANDA = Arm("panda", SERVOS.joints, HOME, SPEED, JAW, _with_jaw)
PANDA_ROBOTIQ = Arm("panda_robotiq", SERVOS.joints, (0.0, -0.325, 0.0, -2.183, 0.0, 1.858, np.pi / 4), SPEED, ROBOTIQ, _with_robotiq)
PANDA_INSPIRE = Arm("panda_inspire", SERVOS.joints, (-0.012, 0.026, -0.211, -2.137, 0.877, 1.788, -1.38), SPEED, INSPIRE, _with_inspire)
