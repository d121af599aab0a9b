"""Cameras as values: where they stand, what they look at, how wide they see."""

from __future__ import annotations

from dataclasses import dataclass, replace

import mujoco
import numpy as np

from episodes.info import CameraInfo


@dataclass(frozen=True)
class Camera:
    """A pinhole camera fixed to the world or to a body of the robot."""

    name: str
    pos: tuple[float, float, float]
    """Where it stands, in the frame of `body` [m]."""
    at: tuple[float, float, float]
    """What the middle of its picture shows, in the frame of `body` [m]."""
    up: tuple[float, float, float]
    """What is upwards in its picture, in the frame of `body`."""
    fovy: float
    """Vertical field of view [deg]."""
    body: str = "world"

    @property
    def quat(self) -> np.ndarray:
        """The camera's orientation in the frame of `body`, (4,), MuJoCo's axes: x right, y up, z backwards."""
        x, y = self.axes[:3], self.axes[3:]
        quat = np.empty(4)
        mujoco.mju_mat2Quat(quat, np.stack([x, y, np.cross(x, y)], axis=1).ravel())
        return quat

    @property
    def axes(self) -> np.ndarray:
        """The camera's x (right) and y (up) axes in the frame of `body`, (6,), as MuJoCo's xyaxes."""
        back = np.subtract(self.pos, self.at)
        right = np.cross(self.up, back)
        right /= np.linalg.norm(right)
        above = np.cross(back, right)
        return np.concatenate([right, above / np.linalg.norm(above)])

    def add_to(self, spec: mujoco.MjSpec) -> None:
        """Puts the camera on its body of `spec`."""
        spec.body(self.body).add_camera(name=self.name, pos=self.pos, quat=self.quat, fovy=self.fovy)

    def intrinsics(self, size: int) -> np.ndarray:
        """Pinhole matrix of a square picture of `size` pixels, (3, 3) [px]."""
        focal = size / 2 / np.tan(np.radians(self.fovy) / 2)
        return np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])

    def extrinsics(self) -> np.ndarray:
        """Pose in the frame of `body` with OpenCV's axes (x right, y down, z forward), (4, 4)."""
        x, y = self.axes[:3], self.axes[3:]
        pose = np.eye(4)
        pose[:3, :3] = np.stack([x, -y, -np.cross(x, y)], axis=1)
        pose[:3, 3] = self.pos
        return pose

    def moved(self, pos: np.ndarray, at: np.ndarray, up: np.ndarray) -> Camera:
        """The camera standing at `pos` and looking at `at`, `up` upwards, (3,) each in the frame of `body`."""
        return replace(self, pos=_triple(pos), at=_triple(at), up=_triple(up))


def described(camera: Camera, size: int) -> CameraInfo:
    """A camera as data sets describe it, with pictures of `size` px a side."""
    return CameraInfo(size, size, camera.fovy, camera.intrinsics(size), camera.extrinsics(), camera.body)


def as_camera(name: str, info: CameraInfo) -> Camera:
    """The camera that a data set describes."""
    for known in (SIDE, WRIST):
        if known.name == name and described(known, info.height) == info:
            return known  # not by way of a matrix: exact
    pose = np.asarray(info.extrinsics)
    pos, forward, down = pose[:3, 3], pose[:3, 2], pose[:3, 1]
    return Camera(name, _triple(pos), _triple(pos + forward), _triple(-down), info.fovy, info.body)


def rotated(camera: Camera, degrees: float) -> Camera:
    """The camera turned rigidly about the vertical through the origin of its body: for the world, the robot's base.

    What "Shortcut Learning in Generalist Robot Policies" does to LIBERO's camera (its code); positive is to the robot's left.
    """
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))

    def turned(v: tuple[float, float, float]) -> tuple[float, float, float]:
        return float(cosine * v[0] - sine * v[1]), float(sine * v[0] + cosine * v[1]), v[2]

    return replace(camera, pos=turned(camera.pos), at=turned(camera.at), up=turned(camera.up)) if degrees else camera


SIDE = Camera("side", (1.02, 0.36, 0.50), (0.50, 0.0, 0.045), (0, 0, 1), 29.0)
"""Over the far right corner of the table: the workspace fills its picture."""

WRIST = Camera("wrist", (0.0, 0.07, 0.02), (0.0, 0.02, 0.16), (0, 1, 0), 72.0, body="right_gripper")
"""In front of the hand, tilted towards the fingertips: sees the object all the way down."""

FILM = Camera("film", (1.10, 0.50, 0.76), (0.49, 0.0, 0.10), (0, 0, 1), 33.0)
"""For people, in every scene and in no observation: sees the object lifted, and the hand that lifts it."""


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z
