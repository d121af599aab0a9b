"""Where a camera sees an arm, by the arm's capsules at measured joints: coarse, but known of every arm and in every light."""

from __future__ import annotations

import numpy as np

from episodes.info import CameraInfo
from hardware.model import ArmModel


def camera_pose(arm: ArmModel, qpos: np.ndarray, info: CameraInfo, tool_from_body: np.ndarray) -> np.ndarray:
    """Of a contract's camera in the base's frame, (4, 4).

    Args:
        arm: whose.
        qpos: joints, (n,) [rad].
        info: of the camera.
        tool_from_body: pose in the tool's frame of what a camera on the arm is fixed to, (4, 4).
    """
    stands = np.asarray(info.extrinsics, float)
    return stands if info.body == "world" else arm.tool(qpos) @ tool_from_body @ stands


def silhouette(arm: ArmModel, qpos: np.ndarray, info: CameraInfo, pose: np.ndarray, cells: int) -> np.ndarray:
    """The arm in the middle square of a picture, (cells, cells) bool.

    Args:
        arm: whose shape.
        qpos: joints, (n,) [rad].
        info: of the camera: its lens and size.
        pose: of the camera in the base's frame, (4, 4).
        cells: along a side; each is decided by the ray through its middle.
    """
    side = min(info.height, info.width)
    ticks = (np.arange(cells) + 0.5) * side / cells
    u, v = np.meshgrid(ticks + (info.width - side) / 2, ticks + (info.height - side) / 2)
    pixels = np.stack([u.ravel(), v.ravel(), np.ones(cells * cells)])
    rays = (pose[:3, :3] @ np.linalg.inv(np.asarray(info.intrinsics, float)) @ pixels).T  # (N, 3)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    seen = np.zeros(len(rays), bool)
    for start, end, radius in zip(*arm.segments(qpos), arm.radii, strict=True):
        away = _apart(pose[:3, 3], rays, start, end)
        if away[1] > radius:  # a camera within a capsule sees past what is there: its own mount
            seen |= away[0] < radius
    return seen.reshape(cells, cells)


def _apart(origin: np.ndarray, rays: np.ndarray, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, float]:
    """Distances (N,) [m] of a segment from rays (N, 3) of length 1, and from where they begin."""
    along, back = end - start, origin - start
    length2 = max(float(along @ along), 1e-12)
    across, toward, at = rays @ along, rays @ back, float(along @ back)
    share = np.clip((at - across * toward) / np.maximum(length2 - across**2, 1e-12), 0, 1)
    for _ in range(3):  # to and fro between the ray, which has one end, and the segment, which has two
        far = np.maximum(0, share * across - toward)
        share = np.clip((across * far + at) / length2, 0, 1)
    apart = np.linalg.norm(back + far[:, None] * rays - share[:, None] * along, axis=1)
    nearest = np.clip(at / length2, 0, 1)
    return apart, float(np.linalg.norm(back - nearest * along))
