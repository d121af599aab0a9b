"""The right arm of Fourier's GR1 with the Inspire hand: a humanoid leans over the table, on a column in place of pelvis and legs."""

from __future__ import annotations

import mujoco
import numpy as np

from assets.graspable import VISUAL
from sim.library import models_folder, open_model, simplify
from sim.robots.arm import Arm
from sim.robots.inspire import INSPIRE, add_inspire
from sim.robots.servos import Servos

_LOOK = (0.05, 300)
"""Share of the faces of a visual mesh that is kept, and the least."""
_PLACE = (0.08, 0.105, 0.135)
"""Of its pelvis, behind the table's near edge [m]."""
_WAIST = {"torso_waist_yaw": 0.39, "torso_waist_pitch": 0.55}
"""How it leans [rad]: with it the right hand reaches all of the workspace, turned by up to a quarter to either side."""
_GREY = {"LightGrey": (0.72, 0.73, 0.75, 1), "Black": (0.08, 0.08, 0.09, 1)}
_HAND = (0.5, 0.5, -0.5, -0.5)
"""Of the hand in the wrist's frame: fingers away from it, the thumb in front."""
SERVOS = Servos(
    ("r_shoulder_pitch", "r_shoulder_roll", "r_shoulder_yaw", "r_elbow_pitch", "r_wrist_yaw", "r_wrist_roll", "r_wrist_pitch"),
    kp=(600, 600, 400, 400, 200, 150, 150),
    kd=(36, 36, 24, 24, 12, 9, 9),  # with four times as much, what the hand holds slips by 7 mm while this light arm speeds up
    torque=(38, 38, 30, 30, 10.2, 3.95, 3.95),  # of Fourier's description of the robot, as the speeds are
)
SPEED = (9.11, 9.11, 7.33, 7.33, 24.4, 27.96, 27.96)


def _spec() -> mujoco.MjSpec:
    robot = open_model(models_folder() / "robots/gr1/robot.xml")
    pelvis = [geom for geom in robot.geoms if geom.meshname == "base"]
    for item in (robot.body("lower_body"), robot.geom("floor"), *pelvis, *list(robot.textures)):
        robot.delete(item)
    for joint in [joint for joint in robot.joints if joint.name not in SERVOS.joints]:
        _weld(joint, _WAIST.get(joint.name, 0.0))
        robot.delete(joint)
    for material in robot.materials:
        material.rgba = _GREY.get(material.name, tuple(material.rgba))
    for geom in robot.geoms:
        if geom.contype:
            geom.material = ""  # `simplify` leaves none
    simplify(robot, _LOOK)
    base = robot.body("base")
    base.pos = _PLACE
    height = _PLACE[2] + 0.6  # above the floor
    column = base.add_geom(type=mujoco.mjtGeom.mjGEOM_CYLINDER, size=[0.055, height / 2, 0], pos=[-0.01, 0, -height / 2])
    column.rgba, column.group, column.contype, column.conaffinity, column.mass = [0.25, 0.26, 0.28, 1], VISUAL, 0, 0, 0
    add_inspire(robot, "r_hand_pitch", _HAND)
    robot.add_exclude(bodyname1="r_hand_yaw", bodyname2="r_palm")  # the boxes of forearm and palm are wider than the wrist
    SERVOS.power(robot)
    return robot


def _weld(joint: mujoco.MjsJoint, angle: float) -> None:
    """Turns the body of a joint that is about to be removed by `angle` [rad]."""
    if joint.type != mujoco.mjtJoint.mjJNT_HINGE:
        return
    turn, quat = np.empty(4), np.empty(4)
    mujoco.mju_axisAngle2Quat(turn, np.array(joint.axis), angle)
    mujoco.mju_mulQuat(quat, np.array(joint.parent.quat), turn)
    joint.parent.quat = quat


GR1_INSPIRE = Arm(
    name="gr1_inspire",
    joints=SERVOS.joints,
    home=(-0.958, -1.861, 1.145, -1.999, 0.56, -0.226, -0.475),
    speed=SPEED,
    hand=INSPIRE,
    spec=_spec,
)
