"""Pictures moved to another viewpoint without drawing them again: with depth, or as if everything lay on the table."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

from augment.errors import AugmentError
from episodes import CameraInfo

_RADIUS = 3
"""Of what `cv2.inpaint` looks at around a hole [px]."""
_SOFT = 4.0
"""Standard deviation of the blur of what lies beyond the old picture [px]."""
_NEAR = 0.01
"""Nothing nearer to the camera than this is carried over [m]."""


@dataclass(frozen=True)
class Warped:
    """What a camera would have seen."""

    pictures: np.ndarray
    """(T, H, W, 3) uint8, holes filled."""
    masks: np.ndarray
    """(T, H, W) bool"""
    holes: np.ndarray
    """What the old camera did not see, (T, H, W) bool."""


def warp_depth(pictures: np.ndarray, masks: np.ndarray, depth: np.ndarray, old: CameraInfo, new: CameraInfo) -> Warped:
    """Every pixel is carried to its place in space and seen again, the nearest in front; holes are filled by Telea's method.

    Args:
        pictures: (T, H, W, 3) uint8.
        masks: (T, H, W) bool.
        depth: along the old camera's axis, (T, H, W) [m]; not finite where it is unknown.
        old: the camera that took them.
        new: the camera that is wanted, of the same size.
    """
    if depth.shape != pictures.shape[:3]:
        raise AugmentError(f"depth of shape {depth.shape} for pictures of {pictures.shape[:3]}")
    steps, height, width = depth.shape
    fine = 2  # four points a pixel, so that what comes nearer does not fall apart
    rows, columns = ((np.arange(fine * n) + 0.5) / fine for n in (height, width))
    v, u = np.meshgrid(rows, columns, indexing="ij")  # (fH, fW)
    z = np.repeat(np.repeat(depth, fine, 1), fine, 2).reshape(steps, -1)  # (T, P)
    rays = np.linalg.inv(np.asarray(old.intrinsics)) @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)])  # (3, P)
    move = np.linalg.inv(np.asarray(new.extrinsics)) @ np.asarray(old.extrinsics)
    turn = (np.asarray(new.intrinsics) @ move[:3, :3] @ rays).astype(np.float32)  # (3, P)
    shift = (np.asarray(new.intrinsics) @ move[:3, 3]).astype(np.float32)
    x, y, far = (turn[k] * z + shift[k] for k in range(3))  # (T, P) each
    with np.errstate(invalid="ignore", divide="ignore"):
        column, row = np.floor(x / far), np.floor(y / far)
        seen = (far > _NEAR) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    frame, point = np.nonzero(seen)
    place = (frame * height + row[seen].astype(np.int64)) * width + column[seen].astype(np.int64)
    order = np.argsort(-far[seen], kind="stable")  # the nearest is written last
    source = frame * height * width + (point // (fine * width) // fine) * width + (point % (fine * width)) // fine
    nearest = np.full(steps * height * width, -1, np.int64)
    nearest[place[order]] = source[order]
    holes = (nearest < 0).reshape(steps, height, width)
    nearest = np.maximum(nearest, 0)
    out = pictures.reshape(-1, 3)[nearest].reshape(pictures.shape)
    mask = masks.ravel()[nearest].reshape(masks.shape) & ~holes
    closed = np.stack([cv2.morphologyEx(m.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)) for m in mask]).astype(bool)
    return Warped(fill(out, holes), closed, holes)


def warp_plane(pictures: np.ndarray, masks: np.ndarray, old: CameraInfo, new: CameraInfo) -> Warped:
    """As if everything that is seen lay on the table, z = 0 in the base frame: exact there, and the taller a thing, the more it leans.

    Args: as for `warp_depth`. Raises AugmentError where a camera is fixed to a body or looks along the table.
    """
    if old.body != "world" or new.body != "world":
        raise AugmentError("the table's plane moves before a camera that is fixed to the robot; only cameras of the world can be warped so")
    homography = _from_table(new) @ np.linalg.inv(_from_table(old))
    centres = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # OpenCV's pixels are counted at their centres
    matrix = np.linalg.inv(centres) @ homography @ centres
    height, width = pictures.shape[1:3]
    size = (width, height)
    out = np.stack([cv2.warpPerspective(p, matrix, size, flags=cv2.INTER_LINEAR) for p in pictures])
    mask = np.stack([cv2.warpPerspective(m.astype(np.uint8), matrix, size, flags=cv2.INTER_NEAREST) for m in masks]).astype(bool)
    beyond = cv2.warpPerspective(np.ones((height, width), np.uint8), matrix, size, flags=cv2.INTER_NEAREST) == 0
    if beyond.all():
        raise AugmentError("the new camera sees nothing of the table that the old one saw")
    rows, columns = _nearest(beyond)
    out = out[:, rows, columns]  # what nobody saw is like its nearest neighbour, and soft, so that the rim's steps do not become stripes
    soft = np.stack([cv2.GaussianBlur(p, (0, 0), _SOFT) for p in out])
    return Warped(np.where(beyond[..., None], soft, out), mask, np.broadcast_to(beyond, masks.shape))


def fill(pictures: np.ndarray, holes: np.ndarray) -> np.ndarray:
    """Pictures (T, H, W, 3) u8 with holes (T, H, W) bool filled: small ones by Telea's method, the inside of large ones from their rims."""
    out = pictures.copy()
    for picture, hole in zip(out, holes, strict=True):
        if hole.all() or not hole.any():
            continue
        inner = cv2.erode(hole.astype(np.uint8), np.ones((2 * _RADIUS + 1,) * 2, np.uint8)).astype(bool)
        rows, columns = _nearest(hole)
        picture[inner] = picture[rows, columns][inner]
        picture[:] = cv2.inpaint(picture, (hole & ~inner).astype(np.uint8), _RADIUS, cv2.INPAINT_TELEA)
    return out


def _nearest(hole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the nearest pixel outside a hole (H, W), for every pixel; a pixel outside is its own."""
    rows, columns = distance_transform_edt(hole, return_distances=False, return_indices=True)  # pyright: ignore[reportGeneralTypeIssues]
    return rows, columns


def _from_table(camera: CameraInfo) -> np.ndarray:
    """Table coordinates (x, y, 1) to pixels, (3, 3). Raises AugmentError where the camera lies in the table's plane."""
    pose = np.linalg.inv(np.asarray(camera.extrinsics))
    matrix = np.asarray(camera.intrinsics) @ pose[:3][:, [0, 1, 3]]
    if abs(np.linalg.det(matrix)) < 1e-9:
        raise AugmentError("a camera in the plane of the table cannot be warped by it")
    return matrix
