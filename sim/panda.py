"""The Franka Panda with its own jaw, from robosuite's models: torque motors become position servos, names and groups become ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import mujoco
import numpy as np

from sim.library import models_folder, open_model, simplify

ARM_JOINTS = tuple(f"joint{i}" for i in range(1, 8))
FINGERS = ("leftfinger", "rightfinger")
GRIP = "grip"
"""The site between the finger pads: z along the approach, y along the closing."""

_KP = (4500, 4500, 3500, 3500, 2000, 2000, 2000)  # [N m/rad], the stiffness of Franka's joint impedance controller
_KD = (450, 450, 350, 350, 200, 200, 200)  # [N m s/rad]
_TORQUE = (87, 87, 87, 87, 12, 12, 12)  # [N m], data sheet
_ARM, _JAW = (0.04, 120), (0.16, 640)  # share of the faces of a visual mesh that is kept, and the least: cameras see the jaw from near
_OPEN = 0.08  # [m]


@dataclass(frozen=True)
class Arm:
    """What the rest of `sim` needs to know of a robot."""

    name: str
    joints: tuple[str, ...]
    home: tuple[float, ...]
    """Joint positions above the workspace [rad]."""
    jaw: float
    """Widest opening [m]."""
    speed: tuple[float, ...]
    """Greatest joint speeds of its data sheet, (n,) [rad/s]."""
    spec: Callable[[], mujoco.MjSpec]
    """Makes its model: a body "base" at the origin, a site GRIP between the pads, near their tips, on a body "right_gripper"."""
    fingers: Callable[[float], Mapping[str, float]]
    """Positions of the gripper's joints by name [rad or m] at a distance between the pads [m]."""


def panda_spec() -> mujoco.MjSpec:
    """A new MjSpec of the arm and its jaw, base at the origin; positions are commanded: seven joints, then half the jaw's opening [m]."""
    folder = models_folder() / "robots/panda"
    arm = open_model(folder / "robot.xml")
    simplify(arm, folder, _ARM)
    arm.attach(jaw_spec(), frame=arm.body("right_hand").add_frame(), prefix="")
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
    fit_jaw(arm)
    return arm


def jaw_spec() -> mujoco.MjSpec:
    """A new MjSpec of the jaw alone, to be attached to a wrist; `fit_jaw` then makes it work."""
    folder = models_folder() / "grippers"
    jaw = open_model(folder / "panda_gripper.xml")
    simplify(jaw, folder, _JAW)
    return jaw


def fit_jaw(spec: mujoco.MjSpec) -> None:
    """One servo closes both fingers, which a constraint keeps symmetric, as the real jaw's gear does."""
    for name in ("finger_joint1", "finger_joint2"):
        joint = spec.joint(name)
        joint.armature, joint.damping[0], joint.frictionloss = 0.1, 10.0, 0.0
    mirror = spec.add_equality(name="fingers", type=mujoco.mjtEq.mjEQ_JOINT, name1="finger_joint1", name2="finger_joint2")
    mirror.objtype = mujoco.mjtObj.mjOBJ_JOINT
    mirror.data[:5] = [0, -1, 0, 0, 0]
    mirror.solref, mirror.solimp = [0.005, 1], [0.95, 0.99, 0.001, 0.5, 2]
    tendon = spec.add_tendon(name="jaw")
    tendon.wrap_joint("finger_joint1", 0.5)
    tendon.wrap_joint("finger_joint2", -0.5)
    servo = spec.add_actuator(name="jaw", target="jaw", trntype=mujoco.mjtTrn.mjTRN_TENDON)
    servo.set_to_position(kp=600, kv=50)
    servo.forcerange, servo.forcelimited = [-100, 100], True
    servo.ctrlrange, servo.ctrllimited = [0, _OPEN / 2], True
    for side in (1, 2):
        pad = spec.geom(f"finger{side}_pad_collision")
        pad.size, pad.pos[2] = [0.0085, 0.004, 0.0085], -0.0115
        for geom in (pad, spec.geom(f"finger{side}_collision")):
            geom.friction, geom.condim, geom.solref, geom.solimp = [1.5, 0.05, 0.001], 4, [0.01, 1], [0.95, 0.99, 0.001, 0.5, 2]
            geom.contype = geom.conaffinity = 1
    quarter = [np.sqrt(0.5), 0, 0, np.sqrt(0.5)]
    spec.body("right_gripper").add_site(name=GRIP, pos=[0, 0, 0.097], quat=quarter, group=4)


def jaw_fingers(opening: float) -> dict[str, float]:
    """Positions of the two fingers at a distance between the pads [m]."""
    return {"finger_joint1": opening / 2, "finger_joint2": -opening / 2}


PANDA = Arm("panda", ARM_JOINTS, (0.0, -0.3, 0.0, -2.3, 0.0, 2.0, np.pi / 4), _OPEN, (2.175,) * 4 + (2.61,) * 3, panda_spec, jaw_fingers)
