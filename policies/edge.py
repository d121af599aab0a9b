"""What a mask's border adds to the pixels of its patches: the border itself, or how far from it each pixel is.

In training and in use it is the same bit by bit: squared distances are whole numbers, whatever rounding their roots went through.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor

from policies.config import Masking

RELIEFS = (Masking.edge, Masking.distance)
"""Ways of masking that take a channel from the whole mask."""
_ZERO, _ONE = 128, 127
"""What stands for 0, and what is added to it for 1."""


def relief(masks: Tensor, patch: int, masking: Masking) -> Tensor | None:
    """The channel that `masking` takes from whole masks (S, H, W) bool, for patches of side `patch` [px]: (S, H, W) u8; None: none."""
    if masking is Masking.edge:
        return border(masks).to(torch.uint8).mul_(_ONE).add_(_ZERO)
    return distance(masks, patch) if masking is Masking.distance else None


def values(relief: Tensor) -> Tensor:
    """The numbers that u8 stand for, from -1 to 1, f32."""
    return relief.float().sub_(_ZERO).div_(_ONE)


def border(masks: Tensor) -> Tensor:
    """Pixels of masks (S, H, W) bool that have a neighbour (of four) which is none of theirs. Where a picture ends, nothing is said."""
    inner = masks.clone()
    inner[:, 1:] &= masks[:, :-1]
    inner[:, :-1] &= masks[:, 1:]
    inner[:, :, 1:] &= masks[:, :, :-1]
    inner[:, :, :-1] &= masks[:, :, 1:]
    return masks & ~inner


def distance(masks: Tensor, reach: int) -> Tensor:
    """Distance of each pixel of masks (S, H, W) bool from the border, as u8: 1 (255) is `reach` [px] or more inside, -1 (1) outside."""
    seen, table = np.ascontiguousarray(masks.cpu().numpy()), _table(reach)
    codes = np.empty(seen.shape, np.uint8)
    for code, mask in zip(codes, seen, strict=True):
        inside, outside = _squares(mask, reach), _squares(~mask, reach)  # one of them is 0
        code[:] = np.where(mask, table[0, inside], table[1, outside])
    return torch.from_numpy(codes).to(masks.device)


def _squares(mask: np.ndarray, reach: int) -> np.ndarray:
    """Squared distance of each pixel of a mask (H, W) to the nearest one outside, at most (reach + 1)^2: (H, W) i64."""
    away = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.rint(np.square(np.minimum(away, reach + 1, dtype=np.float64))).astype(np.int64)


@lru_cache(maxsize=16)
def _table(reach: int) -> np.ndarray:
    """What stands for a squared distance to the nearest pixel of the other kind, inside and outside, (2, (reach + 1)^2 + 1) u8.

    The border runs half-way between two pixels.
    """
    squares = np.arange((reach + 1) ** 2 + 1)
    steps = np.rint(_ONE * np.clip((np.sqrt(squares) - 0.5) / reach, 0, 1))
    return np.stack([_ZERO + steps, _ZERO - steps]).astype(np.uint8)
