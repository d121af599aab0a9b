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
        known = self.palette.share > _KNOWN / self.palette.share.size
        return ~known[bins(image)] & ~self.same(image)


def _alike(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    away = np.abs(one - other)
    return (away[..., 0] <= _SAME[0]) & (away[..., 1:].max(axis=2) <= _SAME[1])


def _lab(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.int16)
