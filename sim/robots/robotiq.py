"""The Robotiq 2F-85: its fingers fold by a four-bar linkage that keeps the pads parallel."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from sim.library import models_folder, open_model, simplify
from sim.robots.hand import GRIP, Closing, Finger, Preshape, Room

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
_TOUCHED = ("hand_collision", "inner_finger_collision", "fingertip_collision")
"""Geoms that touch; those of the knuckles lie behind them."""
_KP, _KD, _TORQUE, _DAMPING = 60.0, 1.5, 2.2, 0.28
"""Of its motor [N m/rad], [N m s/rad], [N m], and of each joint [N m s/rad]: 20 N a pad and 150 mm/s. The data sheet has 20 to 235 N
and 20 to 150 mm/s; toys weigh 10 to 70 g, and 75 N press them 5 mm into the pads and 9 mm into the table."""
_SPEED = 0.0075
"""At which the pads come together in a control step [m]."""
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
    preshapes: tuple[Preshape, ...] = (Preshape((1.0,), _ROOM),)
    room: Room = _ROOM

    @property
    def ready(self) -> np.ndarray:
        """Open."""
        return np.ones(1)

    def closing(self, preshape: int, width: float) -> Closing:
        """The arm is low enough for tips that have swung up to `width`."""
        steps = max(9, 4 + int(np.ceil((_OPEN - width) / _SPEED)))
        return Closing(np.zeros((steps, 1)), np.full(steps, self.drop(width)))

    def drop(self, width: float) -> float:
        """The tips swing on an arc: how far they are above where they reach furthest, at a distance between the pads [m]."""
        reach, radius = width / 2 - _KNUCKLE + _PAD, float(np.hypot(*_LEVER))
        return radius - float(np.sqrt(max(radius**2 - reach**2, 0.0)))

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
    """Puts the hand on the body "right_hand" of an arm: linkage, motor, contacts and the site GRIP."""
    hand = open_model(models_folder() / "grippers/robotiq_gripper_85.xml")
    for tendon in list(hand.tendons):
        hand.delete(tendon)
    for geom in list(hand.geoms):
        if geom.contype and not geom.name.endswith(_TOUCHED):
            hand.delete(geom)
    simplify(hand, _LOOK)
    arm.attach(hand, frame=arm.body("right_hand").add_frame(), prefix="")
    for name in _JOINTS:
        joint = arm.joint(name)
        joint.armature, joint.damping[0] = 0.005, _DAMPING
        joint.range = [joint.range[0] - 0.05, joint.range[1] + 0.05]  # the linkage stops it, not its own limit
    for name, sign in list(_JOINTS.items())[1:]:
        link = arm.add_equality(name=name, type=mujoco.mjtEq.mjEQ_JOINT, name1=name, name2="finger_joint")
        link.objtype = mujoco.mjtObj.mjOBJ_JOINT
        link.data[:5] = [0, sign, 0, 0, 0]
        link.solref, link.solimp = [0.005, 1], [0.95, 0.99, 0.001, 0.5, 2]
    tendon = arm.add_tendon(name="jaw")
    tendon.wrap_joint("finger_joint", 0.5)
    tendon.wrap_joint("right_outer_knuckle_joint", 0.5)
    motor = arm.add_actuator(name="jaw", target="jaw", trntype=mujoco.mjtTrn.mjTRN_TENDON)
    motor.set_to_position(kp=_KP, kv=_KD)
    motor.forcerange, motor.forcelimited = [-_TORQUE, _TORQUE], True
    motor.ctrlrange, motor.ctrllimited = [_turn(_OPEN), _turn(0.0)], True
    for side in ("left", "right"):
        pad = arm.geom(f"{side}_fingertip_collision")
        pad.friction, pad.condim, pad.solref, pad.solimp = [1.5, 0.05, 0.001], 4, [0.01, 1], [0.95, 0.999, 0.001, 0.5, 2]
        pad.solmix = 100  # the pads are as soft as they say here, not as the object says: a toy of 10 g would sink in
        arm.add_exclude(bodyname1="robotiq_85_adapter_link", bodyname2=f"{side}_inner_finger")
    depth = _TIP - 0.0115
    quarter = [np.sqrt(0.5), 0, 0, np.sqrt(0.5)]
    wrist = arm.body("robotiq_85_adapter_link")
    grip = wrist.add_body(name="right_gripper", pos=[0, 0, depth - 0.097], quat=[quarter[0], 0, 0, -quarter[3]])
    grip.add_site(name=GRIP, pos=[0, 0, 0.097], quat=quarter, group=4)
