"""Where a camera stands, from views of a board and the arm's joint positions: on the tool, or beside the arm with the board on the tool."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from deploy.calibration.board import Board, View, check_views
from deploy.calibration.lens import board_pose, pose_of, residuals
from deploy.errors import DeployError
from hardware.calibration import HandEye, Intrinsics, rows
from hardware.model import ArmModel

LEAST = 8
"""Views."""
_TURN = 8.0
"""How far the tool must turn about a second axis, root mean square [deg]: about one alone, a part of the pose is free."""
_TRIES = 30
"""Of a few views each, from which the first solution is chosen."""
_LOST = 0.1
"""First solutions leave millimetres; where most views disagree by more than this [m], nothing fits."""
_SCALE = 0.01
"""A board whose squares seem larger or smaller than stated by more than this was not measured."""


@dataclass(frozen=True)
class Mounting:
    """What the views say about where the camera is mounted."""

    hand_eye: HandEye
    board: np.ndarray
    """Pose of the board in the other frame, the base's for a camera on the tool, the tool's for one on the base, (4, 4)."""
    views: tuple[View, ...]
    """Those that were used."""
    residuals: tuple[np.ndarray, ...]
    """Seen minus predicted from joints and mounting, (K, 2) [px], of each view used."""
    error: float
    """Their root mean square [px]."""
    outliers: tuple[str, ...]
    """Pictures that disagree with the others, and were left out."""
    scale: float
    """Size of the board's squares over what was stated, as the arm's motion tells it."""


def read_poses(path: Path, arm: ArmModel, names: list[str]) -> dict[str, np.ndarray]:
    """Poses of the tool in the base's frame (4, 4) by picture, from a file {"arm": NAME, "qpos": {PICTURE: [...]}}. Raises DeployError."""
    try:
        raw = json.loads(path.read_text())
        given, table = str(raw["arm"]), {str(name): np.array(q, float) for name, q in raw["qpos"].items()}
    except OSError as error:
        raise DeployError(f"no joint positions: {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        form = '{"arm": "panda", "qpos": {"0001.png": [0.1, ...]}}'
        raise DeployError(f"{path} should hold {form}: {type(error).__name__}: {error}") from error
    if given != arm.name:
        raise DeployError(f"{path} holds joints of arm {given!r}, this calibration is for {arm.name!r}")
    missing = [name for name in names if name not in table]
    if missing:
        raise DeployError(f"{path} has no joint positions for {missing[0]}{f' and {len(missing) - 1} others' if missing[1:] else ''}")
    tools = {}
    for name in names:
        q = table[name]
        if q.shape != arm.lower.shape or not np.isfinite(q).all():
            raise DeployError(f"{path}: {name} has joints {q.tolist()}; {arm.name} has {len(arm.joints)}, in rad")
        if (np.maximum(arm.lower - q, q - arm.upper) > 0.05).any():
            hint = "; are these degrees?" if np.abs(q).max() > 2 * np.pi else ""
            raise DeployError(f"{path}: {name} has joints {q.tolist()} beyond the limits of {arm.name}{hint}")
        tools[name] = arm.tool(q)
    return tools


def solve_mounting(
    board: Board, lens: Intrinsics, views: list[View], tools: dict[str, np.ndarray], mount: str, looked: int, *, most: float, most_mm: float
) -> Mounting:
    """The mounting that explains all views best: a linear solution, refined on the pixels together with the board's pose.

    Args:
        board: what was seen.
        lens: of the camera.
        views: of the board.
        tools: pose of the tool in the base's frame, (4, 4), by picture.
        mount: what the camera is fixed to, "tool" or "base".
        looked: pictures that were searched for the board.
        most: greatest root mean square of the residuals [px].
        most_mm: greatest disagreement of the views about where the board is [mm].

    Raises:
        DeployError: too few views, another size, turns about one axis only, a board that was not measured, or they do not fit.
    """
    check_views(views, LEAST, looked, board)
    if views[0].size != lens.size:
        ours, its = ("{}x{}".format(*size) for size in (lens.size, views[0].size))
        raise DeployError(f"the pictures are of {its} px, the camera's intrinsics hold for {ours}: calibrate the lens in the same mode")
    _check_turns([tools[view.name] for view in views])
    kept, outliers = list(views), []
    while True:
        hands = [_hand(tools[view.name], mount) for view in kept]
        eye, other, scale = _refine(lens, kept, hands, *_linear(lens, kept, hands))
        left = residuals(lens, _scaled(kept, scale), _predicted(hands, eye, other))
        per_view = np.array([np.sqrt((part**2).sum(axis=1).mean()) for part in left])
        worst = int(np.argmax(per_view))
        if per_view[worst] <= max(3 * float(np.median(per_view)), 0.5) or len(kept) <= LEAST or len(outliers) >= len(views) // 4:
            break
        outliers.append(f"{kept[worst].name} ({per_view[worst]:.1f} px)")
        kept.pop(worst)
    error = float(np.sqrt(np.concatenate([(part**2).sum(axis=1) for part in left]).mean()))
    alone = [board_pose(lens, *pair) for pair in zip(_scaled(kept, scale), _predicted(hands, eye, other), strict=True)]
    away = np.array([_away(board, hand @ eye @ pose, other) for hand, pose in zip(hands, alone, strict=True)])
    off_mm, off_deg = np.sqrt((away**2).mean(axis=0))
    if error > most or off_mm > most_mm:
        ranked = ", ".join(f"{kept[i].name} {per_view[i]:.1f}" for i in np.argsort(per_view)[::-1][:3])
        raise DeployError(
            f"joints and pictures do not fit: {error:.2f} px are left (allowed {most:g}), the views disagree by {off_mm:.1f} mm (allowed "
            f"{most_mm:g}); worst: {ranked}. A board or camera that moved, pictures of a moving arm, another arm, or another mount"
        )
    if abs(scale - 1) > _SCALE:
        raise DeployError(
            f"by the arm's motion the squares are {1000 * board.square * scale:.2f} mm, stated are {1000 * board.square:g}: "
            "measure the print, and calibrate the lens with the same value"
        )
    return Mounting(HandEye(mount, rows(eye), float(off_mm), float(off_deg)), other, tuple(kept), left, error, tuple(outliers), scale)


def _hand(tool: np.ndarray, mount: str) -> np.ndarray:
    """What moves the camera's mount in the frame in which the board is fixed: so both cases are one, hand @ eye @ view = board."""
    return tool if mount == "tool" else np.linalg.inv(tool)


def _linear(lens: Intrinsics, views: list[View], hands: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Pose of the camera on its mount and of the board, each (4, 4): the one of some views on which most of all views agree.

    OpenCV's methods weigh all views alike, so one wrong pose spoils them: they are given a few views at a time.
    """
    seen = [board_pose(lens, view) for view in views]
    rng = np.random.default_rng(0)
    few = [rng.choice(len(views), min(6, len(views)), replace=False) for _ in range(_TRIES)]
    found = []
    for chosen in [np.arange(len(views)), *few]:
        eye = _park(hands, seen, chosen)
        if eye is None:
            continue
        boards = np.stack([hand @ eye @ pose for hand, pose in zip(hands, seen, strict=True)])
        apart_by = np.median(np.linalg.norm(boards[:, None, :3, 3] - boards[:, :3, 3], axis=2), axis=1)  # of each view from the others
        best = int(np.argmin(apart_by))
        found.append((float(apart_by[best]), eye, boards[best]))
    if not found:
        raise DeployError("joints and pictures do not fit at all: another mount, another arm, or joints of other pictures")
    apart, eye, board = min(found, key=lambda row: row[0])
    if apart > _LOST:
        raise DeployError(
            f"joints and pictures do not fit: by half of the views the board is {1000 * apart:.0f} mm or more from where others see it: "
            "another mount, another arm, or joints of other pictures"
        )
    return eye, board


def _park(hands: list[np.ndarray], seen: list[np.ndarray], chosen: np.ndarray) -> np.ndarray | None:
    """OpenCV's solution of hand @ eye @ seen = the same for all, (4, 4); None where it finds none."""
    parts = [[poses[k][:3, :3] for k in chosen] for poses in (hands, seen)], [[poses[k][:3, 3] for k in chosen] for poses in (hands, seen)]
    try:
        turn, shift = cv2.calibrateHandEye(parts[0][0], parts[1][0], parts[0][1], parts[1][1], method=cv2.CALIB_HAND_EYE_PARK)
    except cv2.error:
        return None
    turn = np.asarray(turn, float)
    rigid = np.isfinite(turn).all() and np.isfinite(shift).all() and np.allclose(turn @ turn.T, np.eye(3), atol=1e-3)
    return pose_of(cv2.Rodrigues(turn)[0], shift) if rigid and np.linalg.det(turn) > 0 else None


def _refine(
    lens: Intrinsics, views: list[View], hands: list[np.ndarray], eye: np.ndarray, board: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Camera, board and size of the squares that leave the least pixels; far-off views count little."""

    points, pixels = np.concatenate([view.points for view in views]), np.concatenate([view.pixels for view in views])
    which = np.repeat(np.arange(len(views)), [len(view.ids) for view in views])
    mounts = np.linalg.inv(np.stack(hands))

    def left(x: np.ndarray) -> np.ndarray:
        first, last = np.linalg.inv(eye @ pose_of(x[:3], x[3:6])), board @ pose_of(x[6:9], x[9:12])
        poses = (first @ mounts @ last)[which]
        seen = (poses[:, :3, :3] @ (points * (1 + x[12]))[..., None])[..., 0] + poses[:, :3, 3]
        return np.nan_to_num((pixels - lens.project(seen)).ravel(), nan=1e3)

    x = least_squares(left, np.zeros(13), loss="soft_l1", f_scale=1.0, x_scale=np.array([*[0.01] * 12, 0.01])).x
    return eye @ pose_of(x[:3], x[3:6]), board @ pose_of(x[6:9], x[9:12]), float(1 + x[12])


def _predicted(hands: list[np.ndarray], eye: np.ndarray, board: np.ndarray) -> list[np.ndarray]:
    """Pose of the board in the camera's frame, (4, 4), of each view."""
    return [np.linalg.inv(hand @ eye) @ board for hand in hands]


def _scaled(views: list[View], scale: float) -> list[View]:
    return [View(view.name, view.size, view.ids, view.pixels, view.points * scale) for view in views]


def _away(board: Board, seen: np.ndarray, agreed: np.ndarray) -> tuple[float, float]:
    """How far a view's board is from the agreed one: of its middle [mm], and its turn [deg]."""
    middle = np.append(board.middle, 1.0)
    apart = 1000 * np.linalg.norm((seen @ middle - agreed @ middle)[:3])
    return float(apart), float(np.degrees(Rotation.from_matrix(seen[:3, :3].T @ agreed[:3, :3]).magnitude()))


def _check_turns(tools: list[np.ndarray]) -> None:
    """Raises DeployError where the tool turned about one axis only, or not at all."""
    turns = [Rotation.from_matrix(a[:3, :3].T @ b[:3, :3]).as_rotvec() for i, a in enumerate(tools) for b in tools[:i]]
    second = np.degrees(np.linalg.svd(np.stack(turns), compute_uv=False)[1] / np.sqrt(len(turns)))
    if second < _TURN:
        raise DeployError(
            f"the tool turned about one axis only (about a second one by {second:.0f} degrees): turn it by 20 degrees and more "
            "about two axes, or a part of the camera's pose stays unknown"
        )
