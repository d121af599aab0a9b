"""Whether numbers can be in our units: degrees, millimetres and grippers from 0 to 255 give themselves away by their size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from hardware.model import ARMS, load_arm
from policies.errors import PolicyError

TURN = 7.0
"""No joint is further from its zero [rad]: a full turn, and a little."""
OPENING = (-0.1, 1.1)
"""A gripper's values; measured ones may be a little outside of 0 closed to 1 open."""
BEYOND = 0.5
"""How far a simulated joint may be beyond the limits of the real one [rad]."""
REACH = 10.0
"""No arm grasps further from its base [m]."""


def check_motion(proprio: np.ndarray, actions: np.ndarray, robot: str, joints: Sequence[str], whose: str) -> None:
    """Raises PolicyError unless what was measured and what was wanted, (T, n + m) each, can be a robot's.

    Args:
        proprio: joint positions [rad], then how far the gripper is open.
        actions: the same, as targets.
        robot: its name; of one whose limits are known, the joints stay within them and a little beyond.
        joints: names of the n joints.
        whose: begins the message.
    """
    n = len(joints)
    for kind, values in (("measured", proprio), ("wanted", actions)):
        check_joints(values[:, :n], joints, f"{whose}, {kind}")
        check_gripper(values[:, n:], f"{whose}, {kind}")
        for k, (name, lower, upper) in enumerate(_limits(robot, tuple(joints))):
            low, high = float(values[:, k].min()), float(values[:, k].max())
            if low < lower - BEYOND or high > upper + BEYOND:
                raise PolicyError(
                    f"{whose}, {kind}: {name} goes from {low:.2f} to {high:.2f} rad, that of a {robot} from {lower:.2f} to {upper:.2f}; "
                    "are the joints in another order, or another robot's?"
                )


@cache
def _limits(robot: str, joints: tuple[str, ...]) -> tuple[tuple[str, float, float], ...]:
    """Name, lower and upper limit [rad] of each joint; nothing for an arm that we have no file of."""
    arms = (load_arm(file.stem) for file in sorted(ARMS.glob("*.json")))
    arm = next((arm for arm in arms if arm.robot == robot and tuple(joint.name for joint in arm.joints) == joints), None)
    return () if arm is None else tuple((joint.name, joint.lower, joint.upper) for joint in arm.joints)


def check_joints(values: np.ndarray, joints: Sequence[str], whose: str) -> None:
    """Raises PolicyError unless (..., n) can be joint positions, or differences of such [rad]. `whose` begins the message."""
    name, most = _outermost(values, joints)
    if abs(most) > TURN:
        raise PolicyError(f"{whose}: {name} at {most:.4g} rad is beyond a full turn; are these degrees? Joints are in rad")


def check_gripper(values: np.ndarray, whose: str) -> None:
    """Raises PolicyError unless (..., m) can be how far a gripper is open."""
    _, most = _outermost(values, [""] * values.shape[-1], middle=0.5)
    if not OPENING[0] <= most <= OPENING[1]:
        raise PolicyError(
            f"{whose}: a gripper at {most:.4g}; its values go from 0 closed to 1 open, not in millimetres, percent or 0 to 255"
        )


def check_points(values: np.ndarray, whose: str) -> None:
    """Raises PolicyError unless (..., 3) can be points within an arm's reach [m]."""
    _, most = _outermost(values, "xyz")
    if abs(most) > REACH:
        raise PolicyError(f"{whose}: a grasp {most:.4g} m from the robot's base; are these millimetres? Points are in m")


def _outermost(values: np.ndarray, names: Sequence[str], middle: float = 0.0) -> tuple[str, float]:
    """Name and value of what is furthest from the middle. NaN counts as nothing."""
    flat = values.reshape(-1, values.shape[-1])
    if not flat.size:
        return "", middle
    at = int(np.nan_to_num(np.abs(flat - middle)).argmax())
    value = float(flat.ravel()[at])
    return names[at % flat.shape[1]], middle if np.isnan(value) else value
