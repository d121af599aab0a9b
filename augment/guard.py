"""What came out badly, and is not to be learnt from: pictures full of holes, a target that is lost, pictures of nothing."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_SIGMA = 1.5
"""Constants of the SSIM, as Wang et al. 2004."""
_LOOKED_AT = 5
"""Pictures of an episode that are compared: they are much alike."""


@dataclass(frozen=True)
class Guard:
    """Judges what an augmentation made of one camera's pictures."""

    holes: float = 0.45
    """Most of the pictures that may be filled in, as a share of their pixels."""
    shrunk: float = 3.3
    """The target may cover so many times fewer pixels than before, over the episode."""
    lost: float = 0.5
    """Most of the pictures that showed the target and may no longer do so, as a share of them."""
    distance: float = 0.7
    """Largest `distance` to the pictures before. A plain and lenient stand-in for VISTA's guard (LPIPS of at most 0.5): it finds pictures
    that fell apart, not ones that are merely unlike (turns of 5 to 60 degrees, drawn exactly, come to 0.3 to 0.4; noise to 0.98)."""

    def fault(self, masks: np.ndarray, new_masks: np.ndarray) -> str | None:
        """What is wrong with the target's new pixels, in a few words; None where nothing is. Masks (T, H, W) bool."""
        before, after = masks.sum((1, 2)), new_masks.sum((1, 2))
        if after.sum() * self.shrunk < before.sum():
            return f"{after.sum() / before.sum():.0%} of the target's pixels are left"
        if (gone := ((before > 0) & (after == 0)).sum()) > self.lost * (before > 0).sum():
            return f"the target is lost in {gone} of the {(before > 0).sum()} pictures that showed it"
        return None

    def fault_of_warp(self, pictures: np.ndarray, new: np.ndarray, holes: np.ndarray) -> str | None:
        """What is wrong with warped pictures, in a few words; None where nothing is. Pictures (T, H, W, 3) u8, holes (T, H, W) bool."""
        if (share := holes.mean()) > self.holes:
            return f"{share:.0%} of the pictures are holes"
        if (away := distance(pictures, new)) > self.distance:
            return f"the pictures are unlike those before (1 - SSIM is {away:.2f})"
        return None


def distance(pictures: np.ndarray, new: np.ndarray) -> float:
    """1 - SSIM (Wang et al. 2004) of the grey pictures, (T, H, W, 3) u8, the mean over a few of them: 0 where they are equal."""
    chosen = np.unique(np.linspace(0, len(pictures) - 1, _LOOKED_AT).round().astype(int))
    return float(np.mean([1 - _ssim(_grey(pictures[t]), _grey(new[t])) for t in chosen]))


def _ssim(a: np.ndarray, b: np.ndarray) -> float:
    mean_a, mean_b = _blurred(a), _blurred(b)
    var_a, var_b, both = _blurred(a * a) - mean_a**2, _blurred(b * b) - mean_b**2, _blurred(a * b) - mean_a * mean_b
    alike = (2 * mean_a * mean_b + _C1) * (2 * both + _C2) / ((mean_a**2 + mean_b**2 + _C1) * (var_a + var_b + _C2))
    return float(alike.mean())


def _grey(picture: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)).astype(np.float32)


def _blurred(picture: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), _SIGMA))
