"""What calibration found out about one camera: how it projects, and where it stands. Values and JSON; finding out is in `deploy`.

Pixels are OpenCV's: whole numbers are middles of pixels, so the middle of a picture is at ((width - 1) / 2, (height - 1) / 2).
Camera frames are OpenCV's: x right, y down, z forward.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hardware.api import RobotError
from hardware.cameras.fit import Fit

FORMAT = 1
"""Of the file."""
MOUNTS = ("base", "tool")


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole with a lens before it."""

    fx: float
    """[px]"""
    fy: float
    """[px]"""
    cx: float
    """[px]"""
    cy: float
    """[px]"""
    distortion: tuple[float, float, float, float, float]
    """OpenCV's k1, k2, p1, p2, k3."""
    size: tuple[int, int]
    """Width and height of the pictures that this holds for [px]."""
    error: float = 0.0
    """Root mean square of what it left unexplained [px]."""

    def __post_init__(self) -> None:
        numbers = (self.fx, self.fy, self.cx, self.cy, *self.distortion, self.error)
        if len(self.distortion) != 5 or not np.isfinite(numbers).all() or self.error < 0:
            raise RobotError(f"intrinsics are finite numbers with 5 of distortion, got {numbers}")
        width, height = self.size
        if min(self.size) < 1 or not (0 < self.fx < 100 * width and 0 < self.fy < 100 * height):
            raise RobotError(
                f"intrinsics with focal lengths {self.fx:g}, {self.fy:g} px for pictures of {width}x{height} px are no camera's"
            )
        if not (-width < self.cx < 2 * width and -height < self.cy < 2 * height):
            raise RobotError(f"intrinsics with the axis at {self.cx:g}, {self.cy:g} px in pictures of {width}x{height} px are no camera's")

    @property
    def matrix(self) -> np.ndarray:
        """Pinhole matrix, (3, 3) [px]."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]])

    @property
    def fovy(self) -> float:
        """Vertical field of view without distortion [deg]."""
        top, bottom = (self.cy + 0.5) / self.fy, (self.size[1] - 0.5 - self.cy) / self.fy
        return float(np.degrees(np.arctan(top) + np.arctan(bottom)))

    def project(self, points: np.ndarray) -> np.ndarray:
        """Where points (N, 3) [m] in the camera's frame appear, (N, 2) [px]; NaN for those behind it."""
        x, y, z = np.asarray(points, float).T
        with np.errstate(divide="ignore", invalid="ignore"):
            x, y = np.where(z > 0, x / z, np.nan), np.where(z > 0, y / z, np.nan)
        k1, k2, p1, p2, k3 = self.distortion
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        return np.stack([self.fx * u + self.cx, self.fy * v + self.cy], axis=1)

    def fitted(self, fit: Fit) -> Intrinsics:
        """Of the same camera's pictures after a fit, whose camera frame is turned by `turn(fit)`."""
        step = fit.pixels(self.size)  # (3, 3)
        quarter = turn(fit)[:2, :2]  # camera from fitted
        focal = np.abs(step[:2, :2] @ np.diag([self.fx, self.fy]) @ quarter)  # diagonal: a fit turns by quarters
        cx, cy, _ = step @ [self.cx, self.cy, 1]
        k1, k2, p1, p2, k3 = self.distortion
        p2, p1 = quarter.T @ [p2, p1]  # tangential distortion is a vector
        found = (float(focal[0, 0]), float(focal[1, 1]), float(cx), float(cy), (k1, k2, float(p1), float(p2), k3))
        return Intrinsics(*found, fit.size, self.error * float(np.sqrt(abs(np.linalg.det(step)))))


def turn(fit: Fit) -> np.ndarray:
    """The frame of a fitted picture in that of the camera, (4, 4): a turn about the axis of view."""
    angle = -np.radians(fit.rotate)
    pose = np.eye(4)
    pose[:2, :2] = np.round([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return pose


@dataclass(frozen=True)
class HandEye:
    """Where a camera is mounted."""

    mount: str
    """What it is fixed to: "base", the arm's base frame, or "tool", the frame between the finger pads."""
    pose: tuple[tuple[float, ...], ...]
    """Of the camera in that frame, rows of (4, 4) [m]."""
    error_mm: float = 0.0
    """Root mean square by which the views disagree about where the board is [mm]."""
    error_deg: float = 0.0
    """The same of its orientation [deg]."""

    def __post_init__(self) -> None:
        if self.mount not in MOUNTS:
            raise RobotError(f"a camera is mounted on {' or '.join(map(repr, MOUNTS))}, not {self.mount!r}")
        check_pose(self.matrix, "the camera's pose")

    @property
    def matrix(self) -> np.ndarray:
        """The pose, (4, 4)."""
        return np.array(self.pose, float)


@dataclass(frozen=True)
class Calibration:
    """Of one camera, by name and serial number."""

    camera: str
    """As the policy's contract calls it."""
    serial: str
    """Of the device; empty where it has none."""
    intrinsics: Intrinsics
    hand_eye: HandEye | None = None
    made: str = ""
    """When, ISO 8601."""
    board: dict[str, Any] = field(default_factory=dict)
    """What it was measured with."""

    def check(self, camera: str, serial: str, size: tuple[int, int]) -> None:
        """Raises RobotError where this is of another camera, or of pictures of another size (width, height) [px]."""
        if self.camera != camera:
            raise RobotError(f"this is the calibration of camera {self.camera!r}, not of {camera!r}")
        if self.serial and serial and self.serial != serial:
            raise RobotError(
                f"camera {camera!r} has serial number {serial}, its calibration is of {self.serial}; calibrate it, or plug it back"
            )
        if self.intrinsics.size != size:
            ours, its = ("{}x{}".format(*s) for s in (self.intrinsics.size, size))
            raise RobotError(f"camera {camera!r} takes pictures of {its} px, its calibration holds for {ours}")

    def fitted(self, fit: Fit) -> Calibration:
        """Of the camera's pictures after a fit."""
        eye = self.hand_eye
        if eye is not None:
            eye = replace(eye, pose=rows(eye.matrix @ turn(fit)))
        return replace(self, intrinsics=self.intrinsics.fitted(fit), hand_eye=eye)

    def save(self, path: str | Path) -> None:
        """Writes it as JSON. Raises RobotError."""
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(json.dumps({"version": FORMAT, **asdict(self)}, indent=1, allow_nan=False) + "\n")
        except OSError as error:
            raise RobotError(f"cannot write {path}: {error.strerror}") from error


def load_calibration(path: str | Path) -> Calibration:
    """The inverse of `Calibration.save`. Raises RobotError: no such file, another version, or what is malformed."""
    try:
        raw = json.loads(Path(path).read_text())
    except OSError as error:
        raise RobotError(f"no calibration {path}: {error.strerror}; `cezanne calibrate step=intrinsics` makes one") from error
    except ValueError as error:
        raise RobotError(f"{path} is no JSON: {error}") from error
    if not isinstance(raw, dict) or raw.get("version") != FORMAT:
        version = raw.get("version") if isinstance(raw, dict) else None
        raise RobotError(f"{path} is no calibration of version {FORMAT}, but {version!r}; calibrate again")
    try:
        lens, eye = dict(raw["intrinsics"]), raw["hand_eye"]
        lens |= {"distortion": tuple(map(float, lens["distortion"])), "size": tuple(map(int, lens["size"]))}
        hand_eye = None if eye is None else HandEye(**{**eye, "pose": rows(np.array(eye["pose"], float))})
        return Calibration(str(raw["camera"]), str(raw["serial"]), Intrinsics(**lens), hand_eye, str(raw["made"]), dict(raw["board"]))
    except (KeyError, TypeError, ValueError, RobotError) as error:
        raise RobotError(f"calibration {path} is malformed: {type(error).__name__}: {error}") from error


def rows(pose: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """A matrix as a frozen value keeps it."""
    return tuple(tuple(map(float, row)) for row in pose)


def check_pose(pose: np.ndarray, what: str) -> None:
    """Raises RobotError unless this is a rigid motion, (4, 4)."""
    turned = pose[:3, :3] if pose.shape == (4, 4) else np.zeros((3, 3))
    rigid = np.allclose(turned @ turned.T, np.eye(3), atol=1e-5) and np.linalg.det(turned) > 0
    if not rigid or not np.isfinite(pose).all() or not np.allclose(pose[3], [0, 0, 0, 1]):
        raise RobotError(f"{what} is no rigid motion: {pose.tolist()}")
