"""Sub-datasets as a diagnosis sees them: first frames, instructions, and where everything stood. Nothing else is decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from augment.errors import AugmentError
from episodes import CameraInfo, Dataset, open_dataset
from episodes.lerobot import LeRobotSource

_LOOKED_AT = 500
"""Episodes of a LeRobot data set that are read: each picture is sought in a video."""


@dataclass(frozen=True, eq=False)
class SubDataset:
    """N episodes."""

    name: str
    robot: str
    pictures: Mapping[str, np.ndarray]
    """First frames by camera, (N, H, W, 3) uint8."""
    masks: Mapping[str, np.ndarray]
    """The target in them, (N, H, W) bool; no camera where nobody marked it."""
    cameras: Sequence[Mapping[str, CameraInfo]]
    """Where each camera stood, by episode; nothing where nobody measured it."""
    provenance: Sequence[Mapping[str, Any]]
    instructions: tuple[str, ...]
    qpos: np.ndarray
    """Joints at the start, (N, n) [rad]; n = 0 where they are not known."""
    weight: float = 1.0
    """In the mixture."""
    notes: tuple[str, ...] = ()
    """What is missing, and what is done instead."""

    def __len__(self) -> int:
        return len(self.instructions)

    def choose(self, chosen: np.ndarray) -> SubDataset:
        """Some of its episodes, by number."""
        return SubDataset(
            self.name,
            self.robot,
            {name: pictures[chosen] for name, pictures in self.pictures.items()},
            {name: masks[chosen] for name, masks in self.masks.items()},
            [self.cameras[k] for k in chosen],
            [self.provenance[k] for k in chosen],
            tuple(self.instructions[k] for k in chosen),
            self.qpos[chosen],
            self.weight,
            self.notes,
        )


def open_subdataset(folder: str | Path, *, name: str = "", weight: float = 1.0, camera: str = "") -> SubDataset:
    """A data set of ours or a LeRobotDataset v3.0. Raises StoreError where there is none, AugmentError for an empty one.

    Of a LeRobot data set that has `camera`, no other is decoded.
    """
    folder = Path(folder)
    if (folder / "meta" / "info.json").is_file():
        return _open_lerobot(folder, name, weight, camera)
    dataset = open_dataset(folder)
    if not len(dataset):
        raise AugmentError(f"{folder} holds no episode to look at")
    provenance = [dataset.provenance(i) for i in range(len(dataset))]
    info, notes = dataset.info, list[str]()
    masks = {camera: dataset.first_rows(f"masks/{camera}") for camera in info.cameras}
    masks = {camera: mask for camera, mask in masks.items() if mask.any()}
    if not masks:
        notes.append("no masks: what the target looks like and where it lies in the picture is not known")
    if len(dataset) == 1:
        notes.append("one episode: nothing varies in it")
    return SubDataset(
        name or folder.name or str(folder),
        info.robot,
        {camera: dataset.first_rows(f"images/{camera}") for camera in info.cameras},
        masks,
        [{camera: info.camera(camera, said) for camera in info.cameras} for said in provenance],
        provenance,
        _instructions(dataset),
        dataset.first_rows("qpos"),
        weight,
        tuple(notes),
    )


def _open_lerobot(folder: Path, name: str, weight: float, camera: str) -> SubDataset:
    """At most 500 of its episodes, evenly spaced."""
    source = LeRobotSource(folder)
    if not len(source):
        raise AugmentError(f"{folder} holds no episode to look at")
    chosen = np.unique(np.linspace(0, len(source) - 1, min(len(source), _LOOKED_AT)).round().astype(int)).tolist()
    notes = ["a LeRobot data set has no masks and no places of cameras: where the target lies and where the camera stood is not known"]
    if len(chosen) < len(source):
        notes.append(f"{len(chosen)} of its {len(source)} episodes, evenly spaced, are read")
    if not source.joints:
        notes.append("no observation.state: where the robot starts is not known")
    if len(source) == 1:
        notes.append("one episode: nothing varies in it")
    return SubDataset(
        name or folder.name or str(folder),
        source.robot,
        {key: source.first_frames(key, chosen) for key in source.cameras if key == camera or camera not in source.cameras},
        {},
        [{} for _ in chosen],
        [{} for _ in chosen],
        tuple(source.instructions[k] for k in chosen),
        source.first_states(chosen),
        weight,
        tuple(notes),
    )


def _instructions(dataset: Dataset) -> tuple[str, ...]:
    return tuple(episode["instruction"] for shard in dataset.shards for episode in shard.episodes)
