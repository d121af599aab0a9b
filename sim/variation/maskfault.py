"""What a segmentation gets wrong: masks too small, too large, elsewhere, boxes, none at all."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

PERIOD = 30
"""A mask is lost, or of the wrong place, once in so many control steps."""


@dataclass(frozen=True)
class MaskFault:
    """Faults of a mask, in this order. Lengths are shares of the object's size in the picture, the side of a square of its area."""

    erode: float = 0.0
    """What is taken from the rim."""
    dilate: float = 0.0
    """What is added to the rim."""
    box: float = 0.0
    """0: the mask; 1: its bounding box; between: what of the box is near the mask."""
    shift: tuple[float, float] = (0.0, 0.0)
    """To the right and down, the same for a whole trial."""
    jitter: float = 0.0
    """Shift that is drawn anew for each look."""
    drop: float = 0.0
    """Share of the time without a mask."""
    wrong: float = 0.0
    """Share of the time, beside that, in which the mask lies elsewhere in the picture."""
    seed: int = 0

    def apply(self, mask: np.ndarray, step: int, camera: int) -> np.ndarray:
        """The faulty mask (h, w) bool of a mask, at a control step, of the camera of that number. The same arguments give the same mask."""
        if not mask.any() or self._within(step, 0.0, self.drop):
            return np.zeros_like(mask)
        size = float(np.sqrt(mask.sum()))
        if self.erode:
            mask = _depth(mask) > self.erode * size
        if self.dilate:
            mask = _depth(~mask) <= self.dilate * size
        if self.box:
            mask = _boxed(mask, self.box)
        if self._within(step, self.drop, self.wrong):
            return _elsewhere(mask, np.random.default_rng([self.seed, camera, step // PERIOD]))
        right, down = self.shift
        if self.jitter:
            right, down = np.add(self.shift, self.jitter * np.random.default_rng([self.seed, camera, step]).normal(size=2))
        return _shifted(mask, round(right * size), round(down * size))

    def _within(self, step: int, after: float, share: float) -> bool:
        """Whether a step lies in that part of its period: a time of this share that follows one of the share `after`, both drawn anew."""
        if not share:
            return False
        begin = np.random.default_rng([self.seed, step // PERIOD]).random() * PERIOD
        return ((step - begin) / PERIOD - after) % 1 < share


def _depth(mask: np.ndarray) -> np.ndarray:
    """Distance of each pixel of a mask to the nearest pixel outside it, which the picture's rim is not, (h, w) [px]."""
    return (
        cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) if not mask.all() else np.full(mask.shape, np.inf)
    )


def _boxed(mask: np.ndarray, share: float) -> np.ndarray:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        return mask
    box = np.zeros_like(mask)
    box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    away = _depth(~mask)
    return box & (away <= share * away[box].max())


def _shifted(mask: np.ndarray, right: int, down: int) -> np.ndarray:
    height, width = mask.shape
    moved = np.zeros_like(mask)
    if abs(right) < width and abs(down) < height:
        moved[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = mask[
            max(-down, 0) : height + min(-down, 0), max(-right, 0) : width + min(-right, 0)
        ]
    return moved


def _elsewhere(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The mask moved to where it was not: the furthest of a few places drawn."""
    if not mask.any():
        return mask
    middle = np.argwhere(mask).mean(axis=0)
    places = rng.uniform(0.2, 0.8, (4, 2)) * mask.shape
    down, right = places[np.linalg.norm(places - middle, axis=1).argmax()] - middle
    return _shifted(mask, round(right), round(down))


def sample_shift(length: float, rng: np.random.Generator) -> tuple[float, float]:
    """A shift of that length in any direction."""
    angle = rng.uniform(0, 2 * np.pi)
    return float(length * np.cos(angle)), float(length * np.sin(angle))
