"""A LeRobotDataset v3.0 as a dataset of ours: our own exports, and recorded ones that hold a mask of the target."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from episodes.episode import Episode
from episodes.errors import StoreError
from episodes.info import CameraInfo, DatasetInfo, check_name
from episodes.lerobot import LeRobotSource
from episodes.lerobot_export import ABOUT
from episodes.writer import DatasetWriter

_MASK = 127
"""A pixel of a mask's picture above this is the target's."""
_TURN = 7.0
"""No joint is further from its zero [rad]."""
_SHARD = 20
"""Episodes of a shard."""


@dataclass(frozen=True)
class Reading:
    """How a recorded dataset is to be understood; what our own exports say themselves is not asked."""

    gripper: int = 1
    """How many of the last values of state and action are the gripper's."""
    degrees: bool = False
    """Whether joints are in degrees."""
    shut: float = 0.0
    """The gripper's value when it is closed."""
    open: float = 1.0
    """The gripper's value when it is open."""
    fovy: float = 60.0
    """Vertical field of view of its cameras, which it does not say [deg]."""

    def __post_init__(self) -> None:
        if self.gripper < 0 or self.shut == self.open or not 1 <= self.fovy <= 179:
            raise StoreError(f"gripper={self.gripper}, shut={self.shut}, open={self.open}, fovy={self.fovy}: that cannot be")


def import_dataset(source: LeRobotSource, out: Path, reading: Reading, watch: Callable[[], object] = lambda: None) -> DatasetWriter:
    """Writes all episodes to a dataset of ours; an interrupted one is continued.

    Pictures of a camera named X have their mask in `mask.X` (packed bits, as `export` writes), or in a picture or video called `masks.X`,
    `mask_X` or `X_mask` (bright where the target is). Episodes that we did not export have no physical state, and every step counts as
    an answer.

    Raises:
        StoreError: a camera has no mask, numbers are not finite, or sizes do not fit.
    """
    about = about_of(source)
    masks = {name: mask_of(source, name) for name in source.cameras if _target_of(name) not in source.cameras}
    info = DatasetInfo.from_json(about["info"], str(source.path / "meta" / ABOUT)) if about else _info(source, tuple(masks), reading)
    if set(info.cameras) != set(masks):
        raise StoreError(f"{source.path}: cameras {', '.join(masks)}, its {ABOUT} says {', '.join(info.cameras)}")
    writer = DatasetWriter(out, info)
    for first in range(0, len(source), _SHARD):
        chosen = range(first, min(first + _SHARD, len(source)))
        if not writer.has(f"{first:06d}"):
            writer.write(f"{first:06d}", [read_episode(source, k, info, masks, reading, about) for k in chosen])
        for _ in chosen:
            watch()
    return writer


def read_episode(
    source: LeRobotSource, k: int, info: DatasetInfo, masks: Mapping[str, str], reading: Reading, about: Mapping[str, Any] | None
) -> Episode:
    n, wide = len(info.joints), len(info.joints) + info.gripper
    own = [f"mask.{name}" for name, key in masks.items() if key == f"mask.{name}"]
    found = source.columns(k, ["observation.state", "action", *(["sent", "labelled"] if about else []), *own])
    vectors = {}
    for name in ("observation.state", "action", *(["sent"] if about else [])):
        values = found[name]
        if values.ndim != 2 or values.shape[1] != wide or values.dtype.kind not in "fiu":
            raise StoreError(
                f"{source.path}: {name} of episode {k} has shape {values.shape}; {n} joints and {info.gripper} gripper values are wanted"
            )
        vectors[name] = values.astype(np.float32) if about else _ours(values.astype(np.float64), n, reading)
        if not np.isfinite(vectors[name]).all():
            raise StoreError(f"{source.path}: {name} of episode {k} is not finite")
        if not about:
            _check_units(values.astype(np.float64), n, reading, f"{source.path}: {name} of episode {k}")
    images = {name: source.pictures(name, k) for name in masks}
    seen = {}
    for name, key in masks.items():
        shape = images[name].shape[:3]
        if key in own:
            bits = found[key].astype(np.uint8)
            if bits.shape != (shape[0], -(-shape[1] * shape[2] // 8)):
                raise StoreError(f"{source.path}: {key} of episode {k} has shape {bits.shape}; pictures are {shape[1]} x {shape[2]} px")
            seen[name] = np.unpackbits(bits, axis=1, count=shape[1] * shape[2]).reshape(shape).view(bool)
        else:
            seen[name] = source.pictures(key, k).max(-1) > _MASK
            if seen[name].shape != shape:
                raise StoreError(f"{source.path}: the mask {key} is {seen[name].shape[1:]} px, its pictures {shape[1:]}")
    state, steps = vectors["observation.state"], len(found["action"])
    said = about["episodes"][k] if about else {"success": True, "provenance": {}}
    return Episode(
        images=images,
        masks=seen,
        qpos=state[:, :n],
        gripper=state[:, n:],
        actions=vectors["action"],
        sent=vectors.get("sent", vectors["action"]),
        labelled=found["labelled"].reshape(steps).astype(bool) if about else np.ones(steps, bool),
        state=np.zeros((steps + 1, 0)),
        instruction=source.instructions[k],
        dt=1 / info.fps,
        success=bool(said["success"]),
        provenance={**said["provenance"], "lerobot": {"folder": source.path.name, "episode": k}},
    )


def _check_units(values: np.ndarray, n: int, reading: Reading, whose: str) -> None:
    """Raises StoreError where numbers (T, n + m) cannot be what they are read as."""
    turned = np.radians(values[:, :n]) if reading.degrees else values[:, :n]
    if (most := float(np.abs(turned).max())) > _TURN:
        hint = "" if reading.degrees else "; are these degrees? Then say degrees=true"
        raise StoreError(f"{whose}: a joint at {most:.4g} rad{hint}")
    span = abs(reading.open - reading.shut)
    low, high = sorted((reading.shut, reading.open))
    if values[:, n:].size and not low - span / 2 <= values[:, n:].min() <= values[:, n:].max() <= high + span / 2:
        raise StoreError(
            f"{whose}: the gripper goes from {values[:, n:].min():g} to {values[:, n:].max():g}, read as shut={reading.shut:g} to "
            f"open={reading.open:g}; say what it is when shut= and open="
        )


def _ours(values: np.ndarray, n: int, reading: Reading) -> np.ndarray:
    """Radians, and the gripper 0 closed to 1 open."""
    joints = np.radians(values[:, :n]) if reading.degrees else values[:, :n]
    gripper = np.clip((values[:, n:] - reading.shut) / (reading.open - reading.shut), 0, 1)
    return np.concatenate([joints, gripper], 1).astype(np.float32)


def _info(source: LeRobotSource, names: tuple[str, ...], reading: Reading) -> DatasetInfo:
    """The contract of a recorded dataset. Where its cameras stand is not known: the identity."""
    count = len(source.joints) - reading.gripper
    if count < 1:
        raise StoreError(f"{source.path}: observation.state has {len(source.joints)} values, {reading.gripper} of them the gripper's")
    cameras = {}
    for name in names:
        height, width = source.cameras[name]
        focal = height / 2 / np.tan(np.radians(reading.fovy) / 2)
        matrix = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
        cameras[name] = CameraInfo(height, width, reading.fovy, matrix, np.eye(4))
    made_by = {"lerobot": source.path.name, "units": "deg" if reading.degrees else "rad"}
    return DatasetInfo(source.fps, source.robot, source.joints[:count], cameras, gripper=reading.gripper, fingerprint=made_by)


def mask_of(source: LeRobotSource, camera: str) -> str:
    """What holds the mask of a camera. Raises StoreError."""
    check_name("camera", camera)
    for key in (f"masks.{camera}", f"mask_{camera}", f"{camera}_mask"):
        if key in source.cameras:
            return key
    if f"mask.{camera}" in source.columns_there:
        return f"mask.{camera}"
    raise StoreError(
        f"{source.path}: camera {camera!r} has no mask of the target; wanted is a feature mask.{camera} (packed bits), or a picture "
        f"observation.images.{camera}_mask: a segmenter can draw them"
    )


def _target_of(name: str) -> str:
    """The camera whose mask a picture of this name would be; empty for a camera."""
    for lead, tail in (("masks.", ""), ("mask_", ""), ("", "_mask")):
        if name.startswith(lead) and name.endswith(tail) and (lead or tail):
            return name[len(lead) : len(name) - len(tail)]
    return ""


def about_of(source: LeRobotSource) -> dict[str, Any] | None:
    """What `export` wrote beside the data; None for a dataset that we did not export."""
    file = source.path / "meta" / ABOUT
    if not file.exists():
        return None
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        fits = isinstance(said["info"], dict) and len(said["episodes"]) == len(source)
        fits &= all(isinstance(one["success"], bool) and isinstance(one["provenance"], dict) for one in said["episodes"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(f"cannot read {file}: {str(error)[:160]}") from error
    if not fits:
        raise StoreError(f"{file} does not describe {len(source)} episodes")
    return said
