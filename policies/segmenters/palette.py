"""How often colours occur: histograms over CIELAB, smoothed, so that light and noise matter little."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

_BITS = (4, 5, 5)
"""Of lightness and the two colour axes: 16 x 32 x 32 bins."""
_WIDTHS = (1.2, 0.8, 0.8)
"""Of the smoothing along each [bins]: one of lightness is 6 % of its range, one of colour 8 units."""
_SHAPE = tuple(1 << bits for bits in _BITS)
_UNSEEN = 0.06
"""Share of colours that were never seen, spread over all bins."""


def bins(image: np.ndarray) -> np.ndarray:
    """The bin of each pixel of a picture (H, W, 3) u8, (H, W) i64."""
    light, a, b = np.moveaxis(cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.intp), 2, 0)
    return (light >> 8 - _BITS[0] << _BITS[1] + _BITS[2]) | (a >> 8 - _BITS[1] << _BITS[2]) | (b >> 8 - _BITS[2])


@dataclass(frozen=True)
class Palette:
    """A distribution over colours."""

    share: np.ndarray
    """Of each bin, (n_bins,) f32; sums to 1, nowhere 0."""

    @staticmethod
    def of(bins: np.ndarray, *, rare: float = 0.0) -> Palette:
        """The colours of some pixels, given by their bins (n,); bins with less than the share `rare` of them do not count."""
        counts = np.bincount(bins.ravel(), minlength=int(np.prod(_SHAPE))).astype(np.float32)
        counts[counts < rare * counts.sum()] = 0
        smooth = counts.reshape(_SHAPE)
        for axis, width in enumerate(_WIDTHS):
            smooth = gaussian_filter1d(smooth, width, axis=axis, mode="constant", truncate=2.5)
        total = float(smooth.sum())
        flat = np.float32(1 / counts.size)
        seen = smooth.ravel() / total if total > 0 else np.full(counts.size, flat)
        return Palette((1 - _UNSEEN) * seen + _UNSEEN * flat)

    def mixed(self, other: Palette, share: float) -> Palette:
        """With a share of another palette."""
        return Palette((1 - share) * self.share + share * other.share)

    def likeness(self, other: Palette) -> float:
        """Bhattacharyya's coefficient: 1 for the same colours, near 0 for none in common."""
        return float(np.sqrt(self.share * other.share).sum())


def log_odds(target: Palette, rest: Palette) -> np.ndarray:
    """How much more a colour speaks for the target than for the rest, (n_bins,) f32; 0 where neither knows it."""
    return np.log(target.share) - np.log(rest.share)
