"""Intrinsics from views of a board, refused where they cannot be right."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from deploy.calibration.board import Board, View, check_views
from deploy.errors import DeployError
from hardware.calibration import Intrinsics

LEAST = 8
"""Views."""
GRID = (6, 5)
"""Cells across and down in which coverage is counted."""
_UNSURE = 0.01
"""Standard deviation of a focal length, relative, from which on the views do not tell it."""
_TILT = 12.0
"""Views whose planes differ by less than this are parallel [deg]: a focal length and a distance cannot be told apart then."""


@dataclass(frozen=True)
class Lens:
    """What the views say about the lens."""

    intrinsics: Intrinsics
    views: tuple[View, ...]
    """Those that were used."""
    residuals: tuple[np.ndarray, ...]
    """Seen minus predicted, (K, 2) [px], of each view used."""
    outliers: tuple[str, ...]
    """Pictures that fit the others badly, and were left out."""
    coverage: float
    """Share of the picture's cells in which a corner was seen, 0 to 1."""
    unsure: float
    """Standard deviation of the focal lengths, relative."""


def solve_lens(board: Board, views: list[View], looked: int, *, most: float, cover: float) -> Lens:
    """The intrinsics that explain the views best.

    Args:
        board: what was seen.
        views: of the board.
        looked: pictures that were searched for it.
        most: greatest root mean square of the residuals [px].
        cover: least share of the picture's cells with a corner.

    Raises:
        DeployError: too few views, of several sizes, all parallel, the picture not covered, or they do not fit.
    """
    check_views(views, LEAST, looked, board)
    kept, outliers = list(views), []
    while True:
        error, matrix, distortion, turns, unsure, per_view = _calibrate(kept)
        limit = max(3 * float(np.median(per_view)), 0.3)
        worst = int(np.argmax(per_view))
        if per_view[worst] <= limit or len(kept) <= LEAST or len(outliers) >= len(views) // 4:
            break
        outliers.append(f"{kept[worst].name} ({per_view[worst]:.2f} px)")
        kept.pop(worst)
    spread = _spread(turns)
    if spread < _TILT or not unsure < _UNSURE:
        raise DeployError(
            f"the views do not tell the focal length: the board's planes differ by {spread:.0f} degrees at most, and it is uncertain by "
            f"{100 * unsure:.1f} %; tilt the board by 30 degrees and more, to all sides, or come nearer"
        )
    if error > most:
        ranked = ", ".join(f"{kept[i].name} {per_view[i]:.2f}" for i in np.argsort(per_view)[::-1][:3])
        raise DeployError(
            f"the views do not fit one lens: {error:.2f} px are left, allowed are {most:g}; worst: {ranked}. "
            "Another board, a board that is not flat, blurred pictures, or an autofocus"
        )
    covered = coverage(kept)
    if covered < cover:
        raise DeployError(
            f"the board was seen in {covered:.0%} of the picture, at least {cover:.0%} are needed: bring it into the corners too"
        )
    lens = Intrinsics(*_four(matrix), _five(distortion), kept[0].size, error)
    return Lens(lens, tuple(kept), residuals(lens, kept, turns), tuple(outliers), covered, unsure)


def coverage(views: list[View]) -> float:
    """Share of a grid's cells in which a corner was seen, 0 to 1."""
    across, down = GRID
    width, height = views[0].size
    pixels = np.concatenate([view.pixels for view in views])
    cells = np.clip((pixels / [width / across, height / down]).astype(int), 0, [across - 1, down - 1])
    return len(np.unique(cells, axis=0)) / (across * down)


def board_pose(lens: Intrinsics, view: View, near: np.ndarray | None = None) -> np.ndarray:
    """Of the board in the camera's frame, (4, 4), by the view alone; the answer near a pose, where one is given. Raises DeployError."""
    told = (view.points, view.pixels, lens.matrix, np.array(lens.distortion))
    if near is not None:
        return pose_of(*cv2.solvePnPRefineLM(*told, cv2.Rodrigues(near[:3, :3])[0], near[:3, 3:].copy()))
    count, turns, shifts, _ = cv2.solvePnPGeneric(*told, flags=cv2.SOLVEPNP_IPPE)  # a plane has two answers
    poses = [pose_of(*cv2.solvePnPRefineLM(*told, turn, shift)) for turn, shift in zip(turns[:count], shifts, strict=False)]
    errors = [float(np.abs(left).max()) for left in (residuals(lens, [view], [pose])[0] for pose in poses)]
    errors = [error if np.isfinite(error) else np.inf for error in errors]  # NaN: behind the camera
    if not errors or min(errors) == np.inf:
        raise DeployError(f"{view.name}: the board's pose cannot be told from its {len(view.ids)} corners")
    return poses[int(np.argmin(errors))]


def pose_of(turn: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """A pose (4, 4) from a rotation vector (3,) and a translation (3,)."""
    pose = np.eye(4)
    pose[:3, :3] = cv2.Rodrigues(np.asarray(turn, float))[0]
    pose[:3, 3] = np.ravel(shift)
    return pose


def residuals(lens: Intrinsics, views: list[View], poses: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Seen minus predicted by the board's poses (4, 4) in the camera's frame, (K, 2) [px] a view."""
    return tuple(view.pixels - lens.project(view.points @ pose[:3, :3].T + pose[:3, 3]) for view, pose in zip(views, poses, strict=True))


def _calibrate(views: list[View]) -> tuple[float, np.ndarray, np.ndarray, list[np.ndarray], float, np.ndarray]:
    points = [view.points.astype(np.float32) for view in views]
    pixels = [view.pixels.astype(np.float32) for view in views]
    try:
        error, matrix, distortion, turns, shifts, deviations, _, per_view = cv2.calibrateCameraExtended(
            points, pixels, views[0].size, np.eye(3), np.zeros(5)
        )
    except cv2.error as said:
        raise DeployError(f"the views tell no lens: {said.err}; tilt the board to all sides") from said
    unsure = float(np.max(deviations.ravel()[:2] / matrix[[0, 1], [0, 1]]))
    poses = [pose_of(turn, shift) for turn, shift in zip(turns, shifts, strict=True)]
    return float(error), matrix, distortion.ravel(), poses, unsure, per_view.ravel()


def _spread(poses: list[np.ndarray]) -> float:
    """Greatest angle between the planes of two views [deg]."""
    normals = np.stack([pose[:3, 2] for pose in poses])
    return float(np.degrees(np.arccos(np.clip(normals @ normals.T, -1, 1))).max())


def _four(matrix: np.ndarray) -> tuple[float, float, float, float]:
    return float(matrix[0, 0]), float(matrix[1, 1]), float(matrix[0, 2]), float(matrix[1, 2])


def _five(distortion: np.ndarray) -> tuple[float, float, float, float, float]:
    k1, k2, p1, p2, k3 = map(float, distortion[:5])
    return k1, k2, p1, p2, k3
