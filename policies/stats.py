"""Normalisation: means and spreads of the training data, part of every checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from policies.errors import PolicyError
from policies.units import check_gripper, check_joints, check_points


@dataclass(frozen=True)
class Stats:
    """All float32. A = joints + gripper, K = chunk."""

    proprio_mean: np.ndarray
    """(A,) [rad, opening]"""
    proprio_std: np.ndarray
    """(A,)"""
    action_mean: np.ndarray
    """Of what the network predicts, (K, A)."""
    action_std: np.ndarray
    """(K, A)"""
    grasp_mean: np.ndarray
    """Grasp point in the robot's base [m], cosine and sine of twice the yaw, (5,)."""
    grasp_std: np.ndarray
    """(5,)"""

    def to_json(self) -> dict[str, object]:
        """Lists by name."""
        return {f.name: getattr(self, f.name).tolist() for f in fields(self)}

    @staticmethod
    def from_json(data: object, joints: Sequence[str], gripper: int, chunk: int) -> Stats:
        """Checks shapes and units for named joints and so many gripper values. Raises PolicyError."""
        width = len(joints) + gripper
        shapes = {"proprio": (width,), "action": (chunk, width), "grasp": (5,)}
        if not isinstance(data, dict):
            raise PolicyError("stats.json holds no table")
        values = {}
        for f in fields(Stats):
            value = _numbers(data.get(f.name), f.name)
            want = shapes[f.name.split("_")[0]]
            if value.shape != want:
                raise PolicyError(f"stats.json: {f.name} has shape {value.shape}, the contract asks for {want}")
            if not np.isfinite(value).all() or (f.name.endswith("_std") and (value <= 0).any()):
                raise PolicyError(f"stats.json: {f.name} is not finite, or a spread is not above 0")
            whose = f"stats.json: {f.name}"
            if f.name.startswith("grasp"):
                check_points(value[:3], whose)
            else:
                check_joints(value[..., : len(joints)], joints, whose)
                check_gripper(value[..., len(joints) :], whose)
            values[f.name] = value
        return Stats(**values)


def _numbers(value: object, name: str) -> np.ndarray:
    """Lists of numbers as float32. Raises PolicyError."""
    try:
        found = np.asarray(value)
        if found.dtype.kind not in "fi":
            raise TypeError
        with np.errstate(over="ignore"):
            return found.astype(np.float32)
    except (ValueError, TypeError, OverflowError):
        raise PolicyError(f"stats.json has no numbers under {name!r}") from None
