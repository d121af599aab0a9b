"""The Franka Panda, from robosuite's models: torque motors become position servos, names and groups become ours."""

from __future__ import annotations

import mujoco
import numpy as np

from sim.library import models_folder, open_model, simplify
from sim.robots.arm import Arm
from sim.robots.jaw import JAW, fit_jaw, jaw_spec

ARM_JOINTS = tuple(f"joint{i}" for i in range(1, 8))
HOME = (0.0, -0.3, 0.0, -2.3, 0.0, 2.0, np.pi / 4)
SPEED = (2.175,) * 4 + (2.61,) * 3

_KP = (4500, 4500, 3500, 3500, 2000, 2000, 2000)  # [N m/rad], the stiffness of Franka's joint impedance controller
_KD = (450, 450, 350, 350, 200, 200, 200)  # [N m s/rad]
_TORQUE = (87, 87, 87, 87, 12, 12, 12)  # [N m], data sheet
_LOOK = (0.04, 120)  # share of the faces of a visual mesh that is kept, and the least


def panda_spec() -> mujoco.MjSpec:
    """A new MjSpec of the arm and its jaw, base at the origin; positions are commanded: seven joints, then half the jaw's opening [m]."""
    arm = panda_arm()
    arm.attach(jaw_spec(), frame=arm.body("right_hand").add_frame(), prefix="")
    power(arm)
    fit_jaw(arm)
    return arm


def panda_arm() -> mujoco.MjSpec:
    """A new MjSpec of the arm without a hand; `power` it once the hand is on."""
    folder = models_folder() / "robots/panda"
    arm = open_model(folder / "robot.xml")
    simplify(arm, folder, _LOOK)
    return arm


def power(arm: mujoco.MjSpec) -> None:
    """Compensates gravity for all that hangs on the arm now, and gives its joints position servos."""
    for body in arm.bodies:
        body.gravcomp = 1.0
    for name in ARM_JOINTS:
        joint = arm.joint(name)
        joint.armature, joint.damping[0] = 0.1, 1.0
    for name, kp, kd, torque in zip(ARM_JOINTS, _KP, _KD, _TORQUE, strict=True):
        servo = arm.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        servo.set_to_position(kp=kp, kv=kd)
        servo.forcerange, servo.forcelimited = [-torque, torque], True
        servo.ctrlrange, servo.ctrllimited = arm.joint(name).range, True


PANDA = Arm("panda", ARM_JOINTS, HOME, SPEED, JAW, panda_spec)
