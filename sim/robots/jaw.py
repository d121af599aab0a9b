"""The Panda's parallel jaw: one servo for two fingers that a constraint keeps symmetric, as the real jaw's gear does."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from sim.library import models_folder, open_model, simplify
from sim.robots.hand import GRIP, Closing, Finger, Preshape, Room

_OPEN = 0.08
"""Between the pads [m]."""
_LOOK = (0.16, 640)
"""Share of the faces of a visual mesh that is kept, and the least: cameras see the jaw from near."""
_FINGER = Finger((0.001, 0.008, 0.016), (-0.010, 0.0, 0.010))
_PALM = tuple(round(0.02 * k, 2) for k in range(-5, 6)), (-0.022, 0.0, 0.022)
_ROOM = Room(_OPEN, 0.009, 0.038, (_FINGER, _FINGER), _PALM)


@dataclass(frozen=True)
class Jaw:
    """Two fingers on one slide; its value is the opening."""

    values: tuple[str, ...] = ("jaw",)
    actuators: tuple[str, ...] = ("jaw",)
    joints: tuple[str, ...] = ("finger_joint1", "finger_joint2")
    sides: tuple[tuple[str, ...], tuple[str, ...]] = (("leftfinger",), ("rightfinger",))
    preshapes: tuple[Preshape, ...] = (Preshape((1.0,), _ROOM),)
    room: Room = _ROOM

    @property
    def ready(self) -> np.ndarray:
        """Open."""
        return np.ones(1)

    def closing(self, preshape: int, width: float) -> Closing:
        """Fingers on a slide stay level."""
        return Closing(np.zeros((9, 1)), np.zeros(9))

    def commands(self, values: np.ndarray) -> np.ndarray:
        """Half the opening, (1,) [m]."""
        return np.asarray(values) * (_OPEN / 2)

    def positions(self, values: np.ndarray) -> np.ndarray:
        """Of both fingers, (2,) [m]."""
        return float(values[0]) * _OPEN / 2 * np.array([1.0, -1.0])

    def sense(self, positions: np.ndarray) -> np.ndarray:
        """Opening, (1,)."""
        return np.clip(np.abs(positions).sum(keepdims=True) / _OPEN, 0, 1)


JAW = Jaw()


def jaw_spec() -> mujoco.MjSpec:
    """A new MjSpec of the jaw alone, to be attached to a wrist; `fit_jaw` then makes it work."""
    jaw = open_model(models_folder() / "grippers/panda_gripper.xml")
    simplify(jaw, _LOOK)
    return jaw


def fit_jaw(spec: mujoco.MjSpec) -> None:
    """Servo, constraint, contacts and the site GRIP of a jaw that has been attached."""
    for name in JAW.joints:
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
