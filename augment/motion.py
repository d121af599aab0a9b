"""How an object moves across pictures, also while something hides a part of it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from augment.errors import AugmentError
from augment.library import complete
from augment.world import World
from episodes import CameraInfo, Episode
from sim.camera import as_camera

_NEAR = 0.02
"""What is nearer to a camera than this is not in its picture [m]."""
_STEP = 6
"""A hidden object moves at most this much between steps, in 1/128 of the picture's height."""
_SIZES = (0.97, 1.0, 1.03)
"""A hidden object grows or shrinks by this between steps."""


@dataclass(frozen=True, eq=False)
class Motion:
    """The object's way in the pictures of one camera."""

    centre: np.ndarray
    """Its middle, x and y, (T, 2) [px]; NaN where it is not in the picture."""
    scale: np.ndarray
    """Its size, (T,), 1 at the reference."""
    reference: int
    """A step that shows all of it, the largest of these; where none does, the one that shows most."""
    whole: bool
    """Whether the reference shows all of it."""
    distance: float | None = None
    """From the camera at the reference [m], where it is known."""


@dataclass(frozen=True, eq=False)
class Sight:
    """What a calibrated camera makes of points, at every step of an episode."""

    matrix: np.ndarray
    """Projections, (T, 3, 4): pixels times distance, of the world's points [m]."""

    def __call__(self, points: np.ndarray, steps: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (T, 2), NaN for what is behind the camera, and distances (T,) [m] of points (T, 3) or (3,) [m] in the world.

        steps: only so many, from the first.
        """
        matrix = self.matrix[:steps]
        seen = np.einsum("tij,tj->ti", matrix[..., :3], np.broadcast_to(points, (len(matrix), 3))) + matrix[..., 3]
        away = seen[:, 2]
        return seen[:, :2] / np.where(away > _NEAR, away, np.nan)[:, None] - 0.5, away  # pixels' middles are whole numbers


@dataclass(frozen=True, eq=False)
class View:
    """What one camera saw of an episode, and how the target moved there."""

    pictures: np.ndarray
    """(T, H, W, 3) u8."""
    masks: np.ndarray
    """Visible pixels of the target, (T, H, W) bool."""
    robot: np.ndarray
    """Those of the robot, (T, H, W) bool."""
    still: bool
    """Whether the camera stands still."""
    motion: Motion
    sight: Sight | None
    """None where only pictures are known."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width [px]."""
        return self.masks.shape[1], self.masks.shape[2]


def watch(world: World, episode: Episode) -> tuple[np.ndarray, dict[str, Sight]]:
    """Where a simulated episode's object is, its centre of mass (T, 3) [m], and what each camera makes of points."""
    robot, cameras = world.robot(episode), world.cameras(episode)
    for name, info in cameras.items():
        robot.aim(as_camera(name, info))
    body = robot.model.body("object").id
    points, matrices = [], {name: [] for name in cameras}
    for state in episode.state[:-1]:
        robot.set_state(state)
        points.append(robot.data.xipos[body].copy())
        for name, info in cameras.items():
            k = robot.model.camera(name).id
            matrices[name].append(_projection(info, robot.data.cam_xpos[k], robot.data.cam_xmat[k].reshape(3, 3)))
    return np.stack(points), {name: Sight(np.stack(of)) for name, of in matrices.items()}


def projected(sight: Sight, points: np.ndarray, masks: np.ndarray, robot: np.ndarray) -> Motion:
    """The motion of what is known to be at points (T, 3) [m]; masks and robot (T, H, W) bool only choose the reference."""
    pixels, away = sight(points)
    shown = masks.sum((1, 2))
    whole = complete(masks, robot)
    near = np.maximum(away, _NEAR)
    reference = int(np.argmax(np.where(whole, shown, 0) if whole.any() else shown * near**2))
    return Motion(pixels, near[reference] / near, reference, bool(whole.any()), float(near[reference]))


def tracked(masks: np.ndarray, robot: np.ndarray) -> Motion:
    """The motion of what is known by its visible masks only, (T, H, W) bool; robot (T, H, W) bool may hide it.

    Where all of it is seen, the middle of its box and the root of its area. Where the robot or the picture's border hides some, its outline
    when it was last seen whole is moved, and slightly resized, from where it was to where it explains the mask best: what is visible lies
    within it, and what is not visible of it lies behind the robot or the border. Raises AugmentError for masks that are all empty.
    """
    shown, whole = masks.sum((1, 2)), complete(masks, robot)
    if not shown.any():
        raise AugmentError("the masks of the target are all empty")
    reference = int(np.argmax(np.where(whole, shown, 0) if whole.any() else shown))
    centre, scale = np.full((len(masks), 2), np.nan), np.ones(len(masks))
    for steps in (range(reference, len(masks)), range(reference - 1, -1, -1)):
        last, outline, size = _middle(masks[reference]), masks[reference], 1.0
        own = 1.0  # the size of `outline`
        for t in steps:
            scale[t] = size
            if not shown[t]:
                continue
            if whole[t] or t == reference:
                last, size = _middle(masks[t]), float(np.sqrt(shown[t] / shown[reference]))
                outline, own = masks[t], size
            else:
                last, grew = _explained(masks[t], robot[t], outline, size / own, last)
                size *= grew
            centre[t], scale[t] = last, size
    return Motion(centre, scale, reference, bool(whole.any()))


def _explained(mask: np.ndarray, robot: np.ndarray, outline: np.ndarray, size: float, last: np.ndarray) -> tuple[np.ndarray, float]:
    """Where the outline, `size` times as large as it was drawn, is now, and by how much it grew since."""
    step = max(2, round(_STEP * len(mask) / 128))
    ys, xs = np.nonzero(outline)
    template = outline[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1].astype(np.float32)
    best, found = -np.inf, (last, 1.0)
    for grew in _SIZES:
        wide, high = (max(2, round(n * size * grew)) for n in (template.shape[1], template.shape[0]))
        if max(wide, high) > 2 * max(mask.shape):
            continue
        shape = (np.asarray(cv2.resize(template, (wide, high), interpolation=cv2.INTER_AREA)) > 0.5).astype(np.float32)
        value = np.where(mask, 2.0, np.where(robot, 0.0, -1.0)).astype(np.float32)
        pad = max(wide, high) + step  # beyond the border nothing is known
        value = np.pad(value, pad)
        x0, y0 = round(last[0] - (wide - 1) / 2) - step + pad, round(last[1] - (high - 1) / 2) - step + pad
        x0, y0 = max(0, x0), max(0, y0)
        window = value[y0 : y0 + high + 2 * step, x0 : x0 + wide + 2 * step]
        if window.shape[0] < high or window.shape[1] < wide:
            continue
        score = np.asarray(cv2.matchTemplate(window, shape, cv2.TM_CCORR))
        at = np.stack(np.meshgrid(np.arange(score.shape[1]), np.arange(score.shape[0])), -1) + np.array([x0, y0]) - pad
        middles = at + (np.array([wide, high]) - 1) / 2
        score = score - 0.02 * mask.sum() * np.linalg.norm(middles - last, axis=-1) / step - (0.01 * mask.sum() if grew != 1 else 0)
        k = np.unravel_index(int(np.argmax(score)), score.shape)
        if score[k] > best:
            best, found = float(score[k]), (middles[k], grew)
    return found


def _middle(mask: np.ndarray) -> np.ndarray:
    ys, xs = np.nonzero(mask)
    return np.array([xs.min() + xs.max(), ys.min() + ys.max()]) / 2


def _projection(info: CameraInfo, pos: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Of a camera at `pos` whose axes (3, 3) are MuJoCo's: x right, y up, z backwards."""
    turn = np.diag([1.0, -1.0, -1.0]) @ axes.T
    return np.asarray(info.intrinsics) @ np.column_stack([turn, -turn @ pos])
