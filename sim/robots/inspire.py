"""The right Inspire hand, RH56DFX: six motors for twelve joints; links move fingers and thumb as one bend each.

What is modelled: the joints and their ranges (robosuite's file), the couplings (as its ranges say), a motor for each bend that presses
with the force of the data sheet, 10 N at a fingertip and 15 N at the thumb's, and the screw that holds the thumb against more. Contact is
with capsules along the links, of the friction of a rubber pad. Not modelled: the play of the links, and the delay and the overshoot
of the force limit, which Tan, Xie and Correll measured (2026, arXiv 2603.08988).
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from sim.library import models_folder, open_model, simplify
from sim.robots.hand import GRIP, Closing, Finger, Preshape, Room
from sim.robots.inspire_arc import ALONG, CENTRE, COUPLED, DEPTH, DOWN, DRIVEN, FINGERS, RANGE, SIDEWAYS, TIPS, arc

_FILE = "grippers/inspire_right_hand.xml"
_LOOK = (0.06, 400)
"""Share of the faces of a visual mesh that is kept, and the least: cameras see the hand from near."""
_DARK, _GREY, _LIGHT = (0.16, 0.17, 0.18, 1), (0.33, 0.34, 0.36, 1), (0.62, 0.63, 0.65, 1)
"""Colours: robosuite's is all black."""
_VALUES = ("thumb_turn", "thumb_bend", *FINGERS)
_KP = (100.0, 160.0, 60.0, 60.0, 60.0, 60.0)
"""Of the motors [N m/rad]."""
_KD = (1.0, 1.5, 0.8, 0.8, 0.8, 0.8)
"""[N m s/rad]"""
_TORQUE = (3.0, 4.0, 1.1, 1.1, 1.1, 1.1)
"""Greatest [N m]. A finger's tip is 0.11 m away from its motor: 10 N. The thumb's is 0.16 m away, and its motor moves on against 15 N:
2.4 N m and the friction."""
_FRICTION = (0.6, 1.6, 0.3, 0.3, 0.3, 0.3)
"""Of the screws [N m]: what they take from a motor that moves, and hold beside one that stands."""
_PRESHAPES = ((0.07, 2), (0.07, 4), (0.1, 4), (0.1, 2), (0.05, 1))
"""Opening [m], and how many fingers close on the thumb; the others are folded into the palm."""
_CLOSING = 9, 6
"""Control steps from a preshape to the object, and on."""
_TIP = 0.009
"""Of the fingertips below the grip site, whose arcs the arm follows [m]."""
_OVER, _THUMB = -0.03, 0.005
"""The width to which the fingers are told to close, whatever is in between, and how much less than the object's the thumb's is [m]: it
stands there, and the fingers press against it."""
_ASIDE = {1: 0.12}
"""How far the thumb is turned aside: to the index where that closes alone."""


@dataclass(frozen=True)
class Inspire:
    """A value is the share of its range by which a motor is away from its end: the thumb turned aside, a finger straight."""

    values: tuple[str, ...] = _VALUES
    actuators: tuple[str, ...] = _VALUES
    joints: tuple[str, ...] = (*DRIVEN, *COUPLED)
    sides: tuple[tuple[str, ...], tuple[str, ...]] = (tuple(f"r_{name}_proximal" for name in FINGERS), ("r_thumb_proximal_1",))

    @property
    def preshapes(self) -> tuple[Preshape, ...]:
        """The thumb opposed, wide or half open, with two fingers or four."""
        return tuple(Preshape(tuple(_values(*shape)), _room(*shape)) for shape in _PRESHAPES)

    @property
    def room(self) -> Room:
        """Of the first preshape."""
        return _room(*_PRESHAPES[0])

    @property
    def ready(self) -> np.ndarray:
        """The first preshape."""
        return _values(*_PRESHAPES[0])

    def closing(self, preshape: int, width: float) -> Closing:
        """The pads go towards each other on a line that the arm keeps level, since they swing on arcs."""
        opening, fingers = _PRESHAPES[preshape]
        touch, press = (np.linspace(*ends, steps + 1)[1:] for ends, steps in zip(((opening, width), (width, _OVER)), _CLOSING, strict=True))
        values = np.array([_values(between, fingers) for between in (*touch, *press)])
        values[:, 1] = np.maximum(values[:, 1], _values(width - _THUMB, fingers)[1])
        lower = np.array([DEPTH + _TIP - arc(fingers).lowest(between) for between in touch])
        return Closing(values, np.append(lower, np.repeat(lower[-1], len(press))))

    def commands(self, values: np.ndarray) -> np.ndarray:
        """Bends, (6,) [rad]."""
        return (1 - np.asarray(values)) * RANGE

    def positions(self, values: np.ndarray) -> np.ndarray:
        """Of the driven joints and of those that follow them, (12,) [rad]."""
        driven = self.commands(values)
        return np.append(driven, [driven[k] * ratio for k, ratio in COUPLED.values()])

    def sense(self, positions: np.ndarray) -> np.ndarray:
        """By the driven joints, (6,)."""
        return np.clip(1 - positions[: len(RANGE)] / RANGE, 0, 1)


def _values(opening: float, fingers: int) -> np.ndarray:
    """Of a hand whose pads are `opening` apart [m], (6,); the fingers beyond the first so many are folded into the palm."""
    thumb, finger = arc(fingers).bends(opening)
    return np.array([_ASIDE.get(fingers, 0.0), 1 - thumb, *np.where(np.arange(len(FINGERS)) < fingers, 1 - finger, 0.0)])


def _room(opening: float, fingers: int) -> Room:
    """What a preshape takes and reaches, measured on the model."""
    outwards = (0.001, 0.005, 0.009, 0.013, 0.017)
    across = tuple(np.linspace(-0.017, 0.0175 * (fingers - 1), 1 + 4 * fingers).round(4).tolist())
    thumb = -0.0105 if fingers == 1 else -0.003
    sides = Finger(outwards, across), Finger(outwards, tuple(thumb + 0.004 * k for k in range(-2, 3)))
    reached = {1: (-0.0145, -0.0105, -0.0065), 2: (-0.0105, 0.0, 0.0095), 4: (-0.0105, 0.0095, 0.03)}
    pads = reached[fingers], (thumb - 0.005, thumb, thumb + 0.005)
    palm = tuple(round(0.02 * k, 2) for k in range(-3, 4)), (-0.025, -0.005, 0.02, 0.045)
    return Room(opening, _TIP - 0.001, 0.045, sides, palm, symmetric=False, pads=pads)


INSPIRE = Inspire()


def add_inspire(arm: mujoco.MjSpec, wrist: str, quat: tuple[float, ...]) -> None:
    """Puts the hand on a body of an arm: couplings, motors, contacts and the site GRIP.

    Args:
        arm: edited.
        wrist: the body.
        quat: of the hand in its frame, (4,). The hand's fingers point along -y, its palm to -x, its thumb is on the side of -z.
    """
    hand = open_model(models_folder() / _FILE)
    for item in [*hand.excludes, *(geom for geom in hand.geoms if geom.contype)]:
        hand.delete(item)
    simplify(hand, _LOOK)
    for geom in hand.geoms:
        body = geom.parent.name
        geom.rgba = _DARK if body == "r_palm" else _LIGHT if body.endswith("distal") else _GREY
    root = hand.body("right_hand")
    root.name, root.quat = "inspire", [1, 0, 0, 0]  # arms have a body of that name
    hand.delete(hand.body("eef"))
    _touch(hand)
    _power(hand)
    turn = np.empty(4)
    mujoco.mju_mat2Quat(turn, np.stack([np.cross(SIDEWAYS, DOWN), SIDEWAYS, DOWN], axis=1).ravel())
    grip = CENTRE[0] * ALONG + DEPTH * DOWN + CENTRE[1] * SIDEWAYS
    frame = root.add_body(name="right_gripper", pos=grip - 0.097 * DOWN, quat=turn)
    frame.add_site(name=GRIP, pos=[0, 0, 0.097], quat=[np.sqrt(0.5), 0, 0, -np.sqrt(0.5)], group=4)
    arm.attach(hand, frame=arm.body(wrist).add_frame(quat=quat), prefix="")


def _touch(hand: mujoco.MjSpec) -> None:
    """A capsule for each link and a box for the palm, in place of meshes."""

    def touched(geom: mujoco.MjsGeom) -> None:
        geom.group, geom.rgba = 3, [0.5, 0.5, 0.5, 1]
        geom.friction, geom.condim, geom.solref, geom.solimp = [1.5, 0.05, 0.001], 4, [0.01, 1], [0.998, 0.9998, 0.001, 0.5, 2]
        geom.solmix = 100  # as they say, not as the object does: softer ones let it creep out of the hand in seconds

    def link(name: str, start: tuple[float, ...], end: tuple[float, ...], radius: float, mass: float) -> None:
        capsule = mujoco.mjtGeom.mjGEOM_CAPSULE
        touched(hand.body(f"r_{name}").add_geom(name=f"{name}_pad", type=capsule, fromto=[*start, *end], size=[radius, 0, 0], mass=mass))

    for name in FINGERS:
        link(f"{name}_proximal", (0.0005, 0.002, -0.006), (0.0, 0.030, -0.006), 0.0085, 0.015)
        link(f"{name}_distal", (0.003, 0.004, -0.005), *TIPS[name], 0.010)
        for part in ("proximal", "distal"):
            hand.add_exclude(bodyname1="r_palm", bodyname2=f"r_{name}_{part}")  # folded fingers lie in hollows that the box has not
    link("thumb_proximal_1", (-0.004, 0.0, -0.007), (-0.004, 0.0, -0.005), 0.006, 0.010)
    link("thumb_proximal_2", (0.005, 0.002, -0.008), (0.040, 0.0315, -0.008), 0.0085, 0.020)
    link("thumb_middle", (0.002, 0.001, -0.007), (0.019, 0.0095, -0.007), 0.0075, 0.010)
    link("thumb_distal", (0.002, 0.001, -0.006), *TIPS["thumb"], 0.010)
    for name in ("proximal_1", "proximal_2", "middle"):
        hand.add_exclude(bodyname1="r_palm", bodyname2=f"r_thumb_{name}")
    hand.add_exclude(bodyname1="r_thumb_proximal_1", bodyname2="r_thumb_middle")
    box = mujoco.mjtGeom.mjGEOM_BOX
    touched(hand.body("r_palm").add_geom(name="palm_pad", type=box, pos=[0, -0.056, 0.002], size=[0.02, 0.05, 0.038], mass=0.36))


def _power(hand: mujoco.MjSpec) -> None:
    """Motors at the driven joints; constraints for those that follow."""
    for k, name in enumerate(DRIVEN):
        joint = hand.joint(name)
        joint.armature, joint.damping[0], joint.frictionloss = 0.002, 0.1, _FRICTION[k]
        joint.solref_friction, joint.solimp_friction = [0.005, 1], [0.999, 0.9999, 0.001, 0.5, 2]
        joint.range = [-0.02, RANGE[k] + 0.02]  # the motor stops it, not its own limit
        motor = hand.add_actuator(name=_VALUES[k], target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        motor.set_to_position(kp=_KP[k], kv=_KD[k])
        motor.gainprm[1:], motor.biasprm[0], motor.biasprm[3:] = 0, 0, 0  # the file's defaults are those of a muscle
        motor.forcerange, motor.forcelimited = [-_TORQUE[k], _TORQUE[k]], True
        motor.ctrlrange, motor.ctrllimited = [0, RANGE[k]], True
    for name, (k, ratio) in COUPLED.items():
        joint = hand.joint(name)
        joint.armature, joint.damping[0], joint.frictionloss = 0.001, 0.02, 0.0
        joint.range = [-0.05, ratio * RANGE[k] + 0.05]
        rod = hand.add_equality(name=name, type=mujoco.mjtEq.mjEQ_JOINT, name1=name, name2=DRIVEN[k])
        rod.objtype = mujoco.mjtObj.mjOBJ_JOINT
        rod.data[:5] = [0, ratio, 0, 0, 0]
        rod.solref, rod.solimp = [0.005, 1], [0.95, 0.99, 0.001, 0.5, 2]
