"""The KUKA LBR iiwa with the Panda's jaw."""

from __future__ import annotations

import mujoco

from sim.library import models_folder, open_model, simplify
from sim.robots.arm import Arm
from sim.robots.jaw import JAW, fit_jaw, jaw_spec
from sim.robots.servos import Servos

_LOOK = (0.04, 2500)
"""Share of the faces of a visual mesh that is kept, and the least number: as few as do not show."""
SERVOS = Servos(
    tuple(f"joint_{i}" for i in range(1, 8)),
    kp=(4500, 4500, 3500, 3500, 2000, 2000, 2000),
    kd=(450, 450, 350, 350, 200, 200, 200),
    torque=(176, 176, 110, 110, 110, 40, 40),
)


def _spec() -> mujoco.MjSpec:
    arm = open_model(models_folder() / "robots/iiwa/robot.xml")
    simplify(arm, _LOOK)
    arm.attach(jaw_spec(), frame=arm.body("right_hand").add_frame(), prefix="")
    SERVOS.power(arm)
    fit_jaw(arm)
    return arm


IIWA_JAW = Arm(
    name="iiwa_jaw",
    joints=SERVOS.joints,
    home=(0.0, 0.206, 0.0, -1.719, 0.0, 1.217, 0.0),
    speed=(1.71, 1.71, 1.75, 2.27, 2.44, 3.14, 3.14),
    hand=JAW,
    spec=_spec,
)
