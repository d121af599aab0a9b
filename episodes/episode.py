"""One demonstration, from the first observation to the last."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from episodes.errors import EpisodeError


@dataclass(frozen=True, eq=False)
class Episode:
    """T control steps of one robot with n joints and m gripper values. Checked when made."""

    images: Mapping[str, np.ndarray]
    """Pictures by camera, each (T, H, W, 3) uint8."""
    masks: Mapping[str, np.ndarray]
    """Pixels of the target by camera, each (T, H, W) bool."""
    qpos: np.ndarray
    """Joint positions, (T, n) float32 [rad]."""
    gripper: np.ndarray
    """Opening of the gripper, (T, m) float32, 0 closed to 1 open."""
    actions: np.ndarray
    """What the expert wants from here, (T, n + m) float32: absolute joint targets [rad], then the gripper."""
    sent: np.ndarray
    """What was carried out, (T, n + m) float32: the action, disturbed, or the sabotage that a retry follows."""
    labelled: np.ndarray
    """Steps whose action is an expert's answer to the observation, (T,) bool."""
    state: np.ndarray
    """Physical state before each step and after the last, (T + 1, s) float64."""
    instruction: str
    dt: float
    """Control period [s]."""
    success: bool
    provenance: Mapping[str, Any]
    """Where it came from (seed, toy, placement, expert, versions): JSON values."""

    def __post_init__(self) -> None:
        if np.ndim(self.qpos) != 2 or np.ndim(self.gripper) != 2 or not len(self.qpos):
            given = f"{np.shape(self.qpos)} and {np.shape(self.gripper)}"
            raise EpisodeError(f"an episode has qpos (T, n) and gripper (T, m), T >= 1; got {given}")
        steps, wide = len(self.qpos), np.shape(self.qpos)[1] + np.shape(self.gripper)[1]
        _check("qpos", self.qpos, np.float32, (steps, None))
        _check("gripper", self.gripper, np.float32, (steps, None))
        _check("actions", self.actions, np.float32, (steps, wide))
        _check("sent", self.sent, np.float32, (steps, wide))
        _check("labelled", self.labelled, np.bool_, (steps,))
        _check("state", self.state, np.float64, (steps + 1, None))
        if set(self.images) != set(self.masks):
            raise EpisodeError(f"pictures of {_names(self.images)}, but masks of {_names(self.masks)}; every camera has both")
        for camera, pictures in self.images.items():
            _check(f"images[{camera!r}]", pictures, np.uint8, (steps, None, None, 3))
            _check(f"masks[{camera!r}]", self.masks[camera], np.bool_, pictures.shape[:3])
        if not (np.isfinite(self.dt) and self.dt > 0):
            raise EpisodeError(f"dt={self.dt} s; a control period is positive")
        try:
            json.dumps(dict(self.provenance), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise EpisodeError(f"provenance must be JSON: {error}") from error

    def __len__(self) -> int:
        return len(self.qpos)


def _check(name: str, value: object, dtype: type, shape: tuple[int | None, ...]) -> None:
    """Raises EpisodeError where an array has another type or shape (None: any), or holds what is not finite."""
    if not isinstance(value, np.ndarray):
        raise EpisodeError(f"{name} must be an array, got {type(value).__name__}")
    if value.dtype != dtype or value.ndim != len(shape) or not all(n in (None, m) for n, m in zip(shape, value.shape, strict=True)):
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise EpisodeError(f"{name} must be {np.dtype(dtype).name} ({wanted}), got {value.dtype} {value.shape}")
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        where = tuple(int(k) for k in np.argwhere(~np.isfinite(value))[0])
        raise EpisodeError(f"{name} must be finite, got {value[where]} at step {where[0]}")


def _names(of: Mapping[str, object]) -> str:
    return ", ".join(of) or "no camera"
