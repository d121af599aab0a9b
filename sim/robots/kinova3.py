"""The Kinova Gen3 with the Robotiq 2F-85."""

from __future__ import annotations

import mujoco
import numpy as np

from sim.library import models_folder, open_model, simplify
from sim.robots.arm import Arm
from sim.robots.robotiq import ROBOTIQ, add_robotiq
from sim.robots.servos import Servos

_LOOK = (0.25, 2500)
"""Share of the faces of a visual mesh that is kept, and the least number: as few as do not show."""
_FREE = 2 * np.pi
"""Range of a joint that turns without end [rad]."""
SERVOS = Servos(
    tuple(f"Actuator{i}" for i in range(1, 8)),
    kp=(3000, 3000, 3000, 3000, 1500, 1500, 1500),
    kd=(300, 300, 300, 300, 150, 150, 150),
    torque=(32, 32, 32, 32, 13, 13, 13),
)


def _spec() -> mujoco.MjSpec:
    arm = open_model(models_folder() / "robots/kinova3/robot.xml")
    simplify(arm, _LOOK)
    for joint in arm.joints:
        if not joint.range.any():
            joint.range, joint.limited = [-_FREE, _FREE], True
    add_robotiq(arm)
    SERVOS.power(arm)
    return arm


KINOVA3_ROBOTIQ = Arm(
    name="kinova3_robotiq",
    joints=SERVOS.joints,
    home=(0.0, 0.345, np.pi, -1.196, 0.0, -1.6, np.pi / 2),
    speed=(1.39,) * 4 + (1.22,) * 3,
    hand=ROBOTIQ,
    spec=_spec,
)
