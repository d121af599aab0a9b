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
_FINE = 2
"""A pixel is carried as this many points a side, so that what comes nearer does not fall apart."""


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
        new: the camera that is wanted, of the same size and on the same body.

    Raises AugmentError for cameras that are not calibrated or on two bodies.
    """
    if depth.shape != pictures.shape[:3]:
        raise AugmentError(f"depth of shape {depth.shape} for pictures of {pictures.shape[:3]}")
    if old.body != new.body:
        raise AugmentError(f"a camera on {old.body} cannot be warped to one on {new.body}: how they stand to each other changes")
    carry = _Carrier(old, new)
    out, mask, holes = np.empty_like(pictures), np.empty_like(masks), np.empty(masks.shape, bool)
    for t in range(len(depth)):
        source = carry(depth[t])
        holes[t], source = source < 0, np.maximum(source, 0)
        out[t], seen = pictures[t].reshape(-1, 3)[source], masks[t].ravel()[source] & ~holes[t]
        mask[t] = cv2.morphologyEx(seen.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    return Warped(fill(out, holes), mask, holes)


class _Carrier:
    """Carries the pixels of one camera to another."""

    def __init__(self, old: CameraInfo, new: CameraInfo) -> None:
        check_calibrated(old, new)
        self._shape = new.height, new.width
        rows, columns = ((np.arange(_FINE * n) + 0.5) / _FINE for n in (old.height, old.width))
        v, u = np.meshgrid(rows, columns, indexing="ij")  # (fH, fW)
        rays = np.linalg.inv(np.asarray(old.intrinsics)) @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)])  # (3, P)
        move = np.linalg.inv(np.asarray(new.extrinsics)) @ np.asarray(old.extrinsics)
        self._turn = (np.asarray(new.intrinsics) @ move[:3, :3] @ rays).astype(np.float32)  # (3, P)
        self._shift = (np.asarray(new.intrinsics) @ move[:3, 3]).astype(np.float32)
        pixels = np.arange(old.height * old.width, dtype=np.int32).reshape(old.height, old.width)
        self._source = np.repeat(np.repeat(pixels, _FINE, 0), _FINE, 1).ravel()  # (P,)

    def __call__(self, depth: np.ndarray) -> np.ndarray:
        """Which pixel of the old camera each one of the new shows, by its number, (H, W) int32, of the old one's depth (H, W); -1: none."""
        height, width = self._shape
        z = np.repeat(np.repeat(depth.astype(np.float32, copy=False), _FINE, 0), _FINE, 1).ravel()
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            x, y, far = (self._turn[k] * z + self._shift[k] for k in range(3))  # (P,) each
            column, row = x / far, y / far
            seen = np.flatnonzero((far > _NEAR) & (column >= 0) & (column < width) & (row >= 0) & (row < height))
        far, place = far[seen], row[seen].astype(np.int32) * width + column[seen].astype(np.int32)
        nearest = np.full(height * width, np.inf, np.float32)
        np.minimum.at(nearest, place, far)
        front = far == nearest[place]
        source = np.full(height * width, -1, np.int32)
        source[place[front]] = self._source[seen[front]]
        return source.reshape(height, width)


def warp_plane(pictures: np.ndarray, masks: np.ndarray, old: CameraInfo, new: CameraInfo) -> Warped:
    """As if everything that is seen lay on the table, z = 0 in the base frame: exact there, and the taller a thing, the more it leans.

    Args: as for `warp_depth`. Raises AugmentError where a camera is fixed to a body, is not calibrated or looks along the table.
    """
    if old.body != "world" or new.body != "world":
        raise AugmentError("the table's plane moves before a camera that is fixed to the robot; only cameras of the world can be warped so")
    check_calibrated(old, new)
    homography = _from_table(new) @ np.linalg.inv(_from_table(old))
    centres = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # OpenCV's pixels are counted at their centres
    matrix = np.linalg.inv(centres) @ homography @ centres
    height, width = pictures.shape[1:3]
    size = (width, height)
    out = np.stack([cv2.warpPerspective(p, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for p in pictures])
    mask = np.stack([cv2.warpPerspective(m.astype(np.uint8), matrix, size, flags=cv2.INTER_NEAREST) for m in masks]).astype(bool)
    beyond = cv2.warpPerspective(np.ones((height, width), np.uint8), matrix, size, flags=cv2.INTER_NEAREST) == 0
    beyond |= _behind(old, new)
    if beyond.all():
        raise AugmentError("the new camera sees nothing of the table that the old one saw")
    # what nobody saw is like the nearest that somebody did, and soft, so that the rim does not become stripes
    soft = np.stack([cv2.GaussianBlur(p, (0, 0), _SOFT) for p in out])
    return Warped(np.where(beyond[..., None], soft, out), mask, np.broadcast_to(beyond, masks.shape))


def check_calibrated(*cameras: CameraInfo) -> None:
    """Raises AugmentError for cameras of which nobody knows how wide they see, or where they stand."""
    for camera in cameras:
        lens, turn = np.asarray(camera.intrinsics), np.asarray(camera.extrinsics)[:3, :3]
        if not (lens[0, 0] > 0 and lens[1, 1] > 0 and np.allclose(lens[2], (0, 0, 1))):
            raise AugmentError("a camera without intrinsics cannot be warped; calibrate it, and say them in dataset.json")
        if not (np.allclose(turn @ turn.T, np.eye(3), atol=1e-3) and np.linalg.det(turn) > 0):
            raise AugmentError("a camera without extrinsics (a pose) cannot be warped; calibrate it, and say them in dataset.json")


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


def _behind(old: CameraInfo, new: CameraInfo) -> np.ndarray:
    """Pixels of the new camera, (H, W) bool, that show no table or one that was behind the old camera: a homography would mirror them."""
    v, u = np.mgrid[: new.height, : new.width] + 0.5
    pixels = np.stack([u, v, np.ones_like(u)]).reshape(3, -1)
    table = np.linalg.inv(_from_table(new)) @ pixels  # (x, y, 1) over the distance
    seen = (table[2] > 0) & ((_from_table(old) @ table)[2] > 0)
    return ~seen.reshape(new.height, new.width)


def _from_table(camera: CameraInfo) -> np.ndarray:
    """Table coordinates (x, y, 1) to pixels, (3, 3). Raises AugmentError where the camera lies in the table's plane."""
    pose = np.linalg.inv(np.asarray(camera.extrinsics))
    matrix = np.asarray(camera.intrinsics) @ pose[:3][:, [0, 1, 3]]
    if abs(np.linalg.det(matrix)) < 1e-9:
        raise AugmentError("a camera in the plane of the table cannot be warped by it")
    return matrix
