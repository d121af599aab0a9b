"""Follows a target by where it was and by its colours against those of the rest, both learned while it is seen."""

from __future__ import annotations

import cv2
import numpy as np

from hardware.camera import Frame
from hardware.segmenter import Segmentation
from policies.segmenters.background import Background
from policies.segmenters.palette import Palette, bins, log_odds
from policies.segmenters.prompt import check_frame, nothing

_LEARN = 0.08
"""How much of the palettes a frame replaces."""
_ANCHOR = 0.3
"""Share of the first frame's palettes that is never forgotten."""
_SPEED = 0.08
"""How far the rim moves between frames beyond what was foreseen, of the target's size (the root of its area)."""
_SURE = 2.5
"""Log-odds of being the target well inside of where it is foreseen; the negative of it outside."""
_MOST = 4.0
"""Log-odds that one pixel's colour may have: a neighbour's cannot drown them."""
_SAME = 3.0
"""Log-odds against the target of a pixel that looks as in the empty view."""
_LEAST = 4
"""Pixels of a target that is seen."""
_LOST = 0.3
"""Confidence below which nothing is reported."""
_FOUND = 0.55
"""Confidence at which a lost target is found."""


class ColourTrack:
    """One target in one camera."""

    def __init__(self, camera: str, frame: Frame, image: np.ndarray, mask: np.ndarray, background: Background) -> None:
        """Begins with the target's pixels `mask` (h, w) in `image` (h, w, 3) u8, a frame as small as it shall be worked on."""
        self._camera, self._background = camera, background
        self._size = (frame.image.shape[0], frame.image.shape[1])
        self._work = (mask.shape[1], mask.shape[0])
        index = bins(image)
        self._first_target = self._target = Palette.of(index[_core(mask)])
        self._near = Palette.of(index[_around(mask)])
        self._first_far = self._far = Palette.of(index[~_grown(mask, 2)]).mixed(background.palette, 0.3)
        self._mask, self._middle, self._motion = mask, _middle(mask), np.zeros(2)
        self._area = float(mask.sum())
        self._lost = 0

    def update(self, frame: Frame) -> Segmentation:
        """The target in the next frame. Raises SegmenterError for a frame of another size."""
        check_frame(self._camera, frame, self._size)
        image = frame.image
        if image.shape[1::-1] != self._work:
            image = np.asarray(cv2.resize(image, self._work, interpolation=cv2.INTER_AREA))
        index = bins(image)
        target = self._target.mixed(self._first_target, _ANCHOR)
        odds = log_odds(target, self._far.mixed(self._first_far, _ANCHOR) if self._lost else self._near)
        colour = np.clip(odds, -_MOST, _MOST)[index]
        if self._background.empty is not None:
            colour = colour - _SAME * self._background.same(image)
        mask, confidence = self._again(colour) if self._lost else self._follow(colour)
        if confidence < (_FOUND if self._lost else _LOST):
            self._lost += 1
            return nothing(self._size)
        self._learn(mask, index, confidence)
        if mask.shape != self._size:
            soft = cv2.resize(mask.astype(np.float32), self._size[::-1], interpolation=cv2.INTER_LINEAR)
            mask = soft > 0.5
        return Segmentation(mask, confidence)

    def _follow(self, colour: np.ndarray) -> tuple[np.ndarray, float]:
        """The target near where it is foreseen, (h, w) bool, and the confidence in that."""
        foreseen = _shifted(self._mask, self._motion)
        slack = 1.5 + _SPEED * self._area**0.5
        away = _signed_distance(foreseen)  # positive inside
        prior = np.clip(away / slack, -1, 1) * _SURE
        prior[away < -3 * slack - 4] = -20
        mask = _touching(_smooth(colour + prior) > 0, away > -slack)
        return mask, self._confidence(mask, colour)

    def _again(self, colour: np.ndarray) -> tuple[np.ndarray, float]:
        """The likeliest place of a lost target in the whole picture."""
        likely = (_smooth(colour) > 1).astype(np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(likely, connectivity=8)
        best, confidence = np.zeros(colour.shape, bool), 0.0
        for k in range(1, count):
            if stats[k, cv2.CC_STAT_AREA] >= _LEAST:
                part = labels == k
                size = min(stats[k, cv2.CC_STAT_AREA] / self._area, 1.0)
                worth = self._confidence(part, colour) * size**0.3
                if worth > confidence:
                    best, confidence = part, worth
        return best, confidence

    def _confidence(self, mask: np.ndarray, colour: np.ndarray) -> float:
        """How well the colours under a mask are the target's alone."""
        if mask.sum() < _LEAST:
            return 0.0
        return float((1 / (1 + np.exp(-colour[mask]))).mean())

    def _learn(self, mask: np.ndarray, index: np.ndarray, confidence: float) -> None:
        """Where the target is, and its colours where that is sure."""
        middle = _middle(mask)
        self._motion = np.zeros(2) if self._lost else 0.5 * self._motion + 0.5 * (middle - self._middle)
        self._mask, self._middle, self._lost = mask, middle, 0
        self._area += 0.2 * (float(mask.sum()) - self._area)
        if confidence > 0.6:
            self._target = self._target.mixed(Palette.of(index[_core(mask)]), _LEARN)
        self._near = self._near.mixed(Palette.of(index[_around(mask)]), _LEARN)
        self._far = self._far.mixed(Palette.of(index[~_grown(mask, 2)]), _LEARN)


def _smooth(odds: np.ndarray) -> np.ndarray:
    """Each pixel's own log-odds and its neighbours', half and half: specks go, lines of one pixel stay."""
    return (odds + cv2.blur(odds, (3, 3))) / 2


def _middle(mask: np.ndarray) -> np.ndarray:
    """Centre of a mask that is not empty, (2,) x and y [px]."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean(), rows.mean()])


def _core(mask: np.ndarray) -> np.ndarray:
    """A mask without its rim, whose colours are mixed with what lies behind; all of it where little but a rim is there."""
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return inner if inner.sum() > 0.3 * mask.sum() else mask


def _around(mask: np.ndarray) -> np.ndarray:
    """The surroundings of a mask, as far again as it is wide, without what adjoins it: that may be a side of it that comes into view."""
    away = np.asarray(cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3))
    size = float(mask.sum()) ** 0.5
    return (away > 1.5 + 0.15 * size) & (away < 8 + size)


def _shifted(mask: np.ndarray, by: np.ndarray) -> np.ndarray:
    move = np.array([[1, 0, by[0]], [0, 1, by[1]]], np.float32)
    return cv2.warpAffine(mask.astype(np.uint8), move, mask.shape[::-1], flags=cv2.INTER_NEAREST) > 0


def _grown(mask: np.ndarray, by: int) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * by + 1, 2 * by + 1), np.uint8)) > 0


def _signed_distance(mask: np.ndarray) -> np.ndarray:
    """From the rim of a mask, positive inside [px]."""
    inside = np.asarray(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3))
    return inside - np.asarray(cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3))


def _touching(mask: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The connected parts of a mask that lie in `place` with a pixel or more and are no specks."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count == 1:
        return mask
    inside = np.bincount(labels[place], minlength=count)
    areas = stats[:, cv2.CC_STAT_AREA]
    keep = (inside > 0) & (areas >= 0.05 * areas[1:].max())
    keep[0] = False
    return keep[labels]
