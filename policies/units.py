"""Whether numbers can be in our units: degrees, millimetres and grippers from 0 to 255 give themselves away by their size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from policies.errors import PolicyError

TURN = 7.0
"""No joint is further from its zero [rad]: a full turn, and a little."""
OPENING = (-0.1, 1.1)
"""A gripper's values; measured ones may be a little outside of 0 closed to 1 open."""
REACH = 10.0
"""No arm grasps further from its base [m]."""


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
