"""What is not the target: the table, the floor, the arm, by their colours and by looking as they did without an object."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from policies.segmenters.palette import Palette, bins

_RIM = 24
"""The rim is this part of the picture's shorter side."""
_RARE = 0.01
"""Colours with less of the rim than this are of a thing that reaches it by chance."""
_FEW = 0.05
"""Where less of the rim than this differs from the empty view, that view says it all."""
_BESIDE = 0.5
"""How far a thing may go on beyond its part that is told from the rim, of that part's size (the root of its area)."""
_REACHES = (1 / 12, 1 / 6, 1 / 3)
"""Half the sizes that a thing may have, of the picture's shorter side, in the order in which they are tried."""
_KNOWN = 40.0
"""A colour is of the background where it is this many times as frequent as if all colours were equally so."""
_SAME = (14, 6)
"""Differences of lightness and colour that the same thing may show from one picture to the next [CIELAB of 8 bits]."""


@dataclass(frozen=True)
class Background:
    """The colours of the background, and the picture of the empty view where there is one."""

    palette: Palette
    empty: np.ndarray | None
    """CIELAB, (h, w, 3) i16."""

    @staticmethod
    def of(image: np.ndarray, empty: np.ndarray | None) -> Background:
        """From the rim of a picture (h, w, 3) u8, as far as it does not look as in the empty view."""
        rim = max(2, min(image.shape[:2]) // _RIM)
        learned = np.ones(image.shape[:2], bool)
        learned[rim:-rim, rim:-rim] = False
        view = None if empty is None else _lab(empty)
        if view is not None:
            enough = _FEW * learned.sum()
            learned &= ~_alike(_lab(image), view)
            if learned.sum() < enough:
                learned[:] = False
        return Background(Palette.of(bins(image)[learned], rare=_RARE), view)

    def same(self, image: np.ndarray) -> np.ndarray:
        """Pixels that look as in the empty view, (h, w) bool; none where there is no such view."""
        return np.zeros(image.shape[:2], bool) if self.empty is None else _alike(_lab(image), self.empty)

    def things(self, image: np.ndarray) -> np.ndarray:
        """Pixels of other colours than the background's, (h, w) bool."""
        return _strange(image, self.palette) & ~self.same(image)

    def at(self, image: np.ndarray, x: int, y: int) -> np.ndarray:
        """The thing at a pixel in colours that the rim has but its own surroundings have not, (h, w) bool; empty where there is none."""
        rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
        away = np.hypot(rows - y, columns - x)
        for reach in (min(image.shape[:2]) * share for share in _REACHES):
            inside = away < reach
            palette = Palette.of(bins(image)[(away >= reach) & (away < 2 * reach)], rare=_RARE)
            labels = cv2.connectedComponents(_strange(image, palette).astype(np.uint8), connectivity=8)[1]
            thing = (labels == labels[y, x]) & (labels > 0)
            if thing.any() and not (thing & ~inside).any():
                return thing & ~self.same(image)
        return np.zeros(image.shape[:2], bool)

    def within(self, image: np.ndarray, window: np.ndarray) -> np.ndarray:
        """Pixels of a window (h, w) bool in other colours than the rim's, or than those just outside of it, (h, w) bool."""
        away = np.asarray(cv2.distanceTransform((~window).astype(np.uint8), cv2.DIST_L2, 3))
        around = (away > 1) & (away < 4 + float(window.sum()) ** 0.5 / 2)
        strange = _strange(image, Palette.of(bins(image)[around], rare=_RARE)) if around.any() else False
        return (self.things(image) | strange) & window & ~self.same(image)

    def completed(self, image: np.ndarray, thing: np.ndarray) -> np.ndarray:
        """A thing (h, w) with what adjoins it in colours that the rim has but its own surroundings have not: a grey side, a dark edge."""
        size = float(thing.sum()) ** 0.5
        away = np.asarray(cv2.distanceTransform((~thing).astype(np.uint8), cv2.DIST_L2, 3))
        reach = _BESIDE * size + 2
        around = (away > reach) & (away < reach + size + 4)
        if not around.any():
            return thing
        near = _strange(image, Palette.of(bins(image)[around], rare=_RARE)) & (away <= reach) & ~self.same(image)
        labels = cv2.connectedComponents((near | thing).astype(np.uint8), connectivity=8)[1]
        whole = np.isin(labels, np.unique(labels[thing]))
        return whole if whole.sum() < 3 * thing.sum() else thing


def _strange(image: np.ndarray, palette: Palette) -> np.ndarray:
    return ~(palette.share > _KNOWN / palette.share.size)[bins(image)]


def _alike(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    away = np.abs(one - other)
    return (away[..., 0] <= _SAME[0]) & (away[..., 1:].max(axis=2) <= _SAME[1])


def _lab(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.int16)
