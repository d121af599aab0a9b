"""What an xArm's own weight asks of its joints: the controller reports whole torques, and contact is what is left of them."""

from __future__ import annotations

import numpy as np

from hardware.api import RobotError
from hardware.model import ArmModel

GRAVITY = 9.81
"""[m/s^2]"""
Load = tuple[float, float, float, float]
"""What the flange carries: mass [kg], centre in the flange's frame [m]."""
MASSES: dict[int, tuple[Load, ...]] = {
    7: (
        (2.382, 0.00013, 0.0294, -0.0124),
        (1.869, 0.0002, -0.12856, 0.01735),
        (1.638, 0.0466, -0.02463, -0.00768),
        (1.727, 0.0705, -0.11575, 0.012),
        (1.32, -0.00032, 0.01604, -0.026),
        (1.325, 0.0647, 0.0328, 0.0214),
        (0.17, 0.0, -0.00677, -0.01098),
    ),
    6: (
        (2.382, 0.00013, 0.0294, -0.0124),
        (2.267, 0.0388, -0.2278, 0.03496),
        (1.875, 0.0704, 0.1163, 0.0107),
        (1.319, -0.0002, 0.018, -0.0229),
        (1.34, 0.0651, 0.03096, 0.00315),
        (0.17, 0.0, -0.00677, -0.01098),
    ),
}
"""Mass [kg] and centre [m] of each moving link, in its frame: UFACTORY's kinematic and dynamic parameters, "Model 3". The hardware
generations differ by a tenth of this."""


def weight(arm: ArmModel, qpos: np.ndarray, load: Load) -> np.ndarray:
    """Joint torques that hold an upright arm at rest, (n,) [N m]; qpos (n,) [rad]. Raises RobotError for an arm without masses."""
    n = len(arm.joints)
    if n not in MASSES:
        raise RobotError(f"no masses are known of an arm of {n} axes; known: {', '.join(map(str, MASSES))}")
    frames = arm.frames(qpos)[1:]  # (n, 4, 4)
    turn, at = frames[:, :3, :3], frames[:, :3, 3]
    parts = np.array([*MASSES[n], load])  # (n + 1, 4)
    carrier = np.array([*range(n), n - 1])
    centres = (turn[carrier] @ parts[:, 1:, None])[..., 0] + at[carrier]  # (n + 1, 3)
    axes = (turn @ np.array([joint.axis for joint in arm.joints])[..., None])[..., 0]  # (n, 3)
    lever = centres[None] - at[:, None]  # (n, n + 1, 3)
    lift = np.array([0.0, 0.0, GRAVITY]) * parts[:, :1]  # (n + 1, 3)
    moments = (np.cross(lever, lift[None]) * axes[:, None]).sum(axis=-1)  # (n, n + 1)
    return np.where(carrier[None] >= np.arange(n)[:, None], moments, 0.0).sum(axis=1)
