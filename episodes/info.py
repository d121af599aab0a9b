"""What all episodes of a dataset have in common: its contract, as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from episodes.episode import Episode
from episodes.errors import StoreError

FORMAT = 1
"""Version of the format. Raise it when an older reader would misread what is written."""

ABSOLUTE_JOINTS = "absolute joint targets [rad], then the gripper, 0 closed to 1 open"

Matrix = Sequence[Sequence[float]] | np.ndarray


@dataclass(frozen=True)
class CameraInfo:
    """A pinhole camera. Matrices may be given as arrays; they are kept as tuples of rows."""

    height: int
    width: int
    """Size of its pictures [px]."""
    fovy: float
    """Vertical field of view [deg]."""
    intrinsics: Matrix
    """Pinhole matrix, (3, 3) [px]."""
    extrinsics: Matrix
    """Pose in the frame of `body`, with OpenCV's axes (x right, y down, z forward), (4, 4) [m]."""
    body: str = "world"
    """What the camera is fixed to: the world (the robot's base frame), or a body of the robot."""

    def __post_init__(self) -> None:
        if not (1 <= self.height <= 8192 and 1 <= self.width <= 8192):
            raise StoreError(f"pictures of {self.height} x {self.width} px; 1 to 8192 px a side")
        for name, size in (("intrinsics", 3), ("extrinsics", 4)):
            matrix = np.asarray(getattr(self, name), float)
            if matrix.shape != (size, size) or not np.isfinite(matrix).all():
                raise StoreError(f"{name} must be {size} x {size} finite numbers, got shape {matrix.shape}")
            object.__setattr__(self, name, tuple(tuple(row) for row in matrix.tolist()))


@dataclass(frozen=True)
class DatasetInfo:
    """The contract of a dataset, and the fingerprint of what made it."""

    fps: float
    """Control steps a second [Hz]."""
    robot: str
    joints: tuple[str, ...]
    """Names of the joints, in the order of qpos."""
    cameras: Mapping[str, CameraInfo]
    gripper: int = 1
    """Number of gripper values."""
    action_space: str = ABSOLUTE_JOINTS
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    """What made it (versions, GL back end, commit, configuration): JSON values; no part of the contract."""
    version: int = FORMAT

    def __post_init__(self) -> None:
        object.__setattr__(self, "joints", tuple(self.joints))
        object.__setattr__(self, "cameras", dict(self.cameras))
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise StoreError(f"fps={self.fps}; a rate is positive")
        if not 1 <= len(self.joints) <= 1000 or not 0 <= self.gripper <= 1000:
            raise StoreError(f"{len(self.joints)} joints and {self.gripper} gripper values; 1 to 1000 and 0 to 1000")
        for name in self.cameras:
            check_name("camera", name)

    def camera(self, name: str, provenance: Mapping[str, Any]) -> CameraInfo:
        """Where a camera stood in one episode: as its provenance says under `cameras`, else as the data set does. Raises StoreError."""
        own = provenance.get("cameras", {})
        if not isinstance(own, Mapping) or name not in own:
            return self.cameras[name]
        try:
            camera = CameraInfo(**own[name])
        except (TypeError, ValueError) as error:
            raise StoreError(f"provenance of the episode: camera {name!r} is malformed ({error})") from error
        ours = self.cameras[name]
        if (camera.height, camera.width) != (ours.height, ours.width):
            sizes = f"{camera.height} x {camera.width} px in one episode, {ours.height} x {ours.width} in the others"
            raise StoreError(f"camera {name!r} draws {sizes}")
        return camera

    def differences(self, other: DatasetInfo) -> list[str]:
        """What the contracts disagree about; the fingerprints may differ."""
        ours, theirs = self.to_json(), other.to_json()
        return [f"{key}: {ours[key]} and {theirs[key]}" for key in ours if key != "fingerprint" and ours[key] != theirs[key]]

    def check(self, episode: Episode) -> None:
        """Raises StoreError where an episode does not follow the contract."""
        sizes = {name: (camera.height, camera.width) for name, camera in self.cameras.items()}
        seen = {name: pictures.shape[1:3] for name, pictures in episode.images.items()}
        if seen != sizes:
            raise StoreError(f"the dataset holds pictures {sizes}, the episode {seen}")
        ours, its = (len(self.joints), self.gripper), (episode.qpos.shape[1], episode.gripper.shape[1])
        if its != ours:
            raise StoreError(f"the dataset holds {ours} joints and gripper values, the episode {its}")
        if abs(episode.dt * self.fps - 1) > 1e-6:
            raise StoreError(f"the dataset holds {self.fps:g} steps a second, the episode {1 / episode.dt:g}")

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        try:
            return json.loads(json.dumps(asdict(self), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise StoreError(f"the dataset's description must be JSON: {error}") from error

    @staticmethod
    def from_json(raw: Any, where: str) -> DatasetInfo:
        """The inverse of `to_json`. Raises StoreError naming `where` for another version or what is malformed."""
        if not isinstance(raw, dict) or not isinstance(raw.get("version"), int):
            raise StoreError(f"{where} does not describe a dataset")
        if raw["version"] != FORMAT:
            raise StoreError(f"{where} has format version {raw['version']}, this program reads {FORMAT}; collect again")
        try:
            cameras = {name: CameraInfo(**camera) for name, camera in raw["cameras"].items()}
            return DatasetInfo(**{**raw, "cameras": cameras})
        except (TypeError, ValueError, KeyError, AttributeError, StoreError) as error:
            raise StoreError(f"{where} does not describe a dataset: {error}") from error


def check_name(what: str, name: object) -> None:
    """Raises StoreError for a name that is not safe as the name of a file."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", name):
        raise StoreError(f"{what} name {name!r}: letters, digits, '.', '_' and '-', starting with a letter or a digit, at most 128")
