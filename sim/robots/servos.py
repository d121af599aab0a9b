"""Position servos in place of the torque motors of robosuite's models, as stiff as a joint impedance controller."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco


@dataclass(frozen=True)
class Servos:
    """Of an arm; a tuple has one value a joint."""

    joints: tuple[str, ...]
    kp: tuple[float, ...]
    """[N m/rad]"""
    kd: tuple[float, ...]
    """[N m s/rad]"""
    torque: tuple[float, ...]
    """Greatest, of the data sheet [N m]."""

    def power(self, arm: mujoco.MjSpec) -> None:
        """Compensates gravity for all that hangs on the arm now, and gives its joints servos of their names."""
        for body in arm.bodies:
            body.gravcomp = 1.0
        for name, kp, kd, torque in zip(self.joints, self.kp, self.kd, self.torque, strict=True):
            joint = arm.joint(name)
            joint.armature, joint.damping[0] = 0.1, 1.0
            servo = arm.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
            servo.set_to_position(kp=kp, kv=kd)
            servo.forcerange, servo.forcelimited = [-torque, torque], True
            servo.ctrlrange, servo.ctrllimited = joint.range, True
