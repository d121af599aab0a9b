"""What a mask's border adds to the pixels of its patches: the border itself, or how far from it each pixel is.

In whole numbers until the last look-up, so that it is the same bit by bit on every device, in training and in use.
"""

from __future__ import annotations

from functools import lru_cache

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
    away = torch.where(masks, _squares(~masks, reach), _squares(masks, reach))  # to the nearest of the other kind
    inside, outside = _table(reach).to(masks.device)
    return torch.where(masks, inside[away.long()], outside[away.long()])


def _squares(targets: Tensor, reach: int) -> Tensor:
    """Squared distance of each pixel to the nearest target (S, H, W) bool, exact, at most (reach + 1)^2: (S, H, W) i32."""
    most = (reach + 1) ** 2
    near = torch.where(targets, 0, most).to(torch.int32)
    for dim in (1, 2):  # columns, then rows of what came of them: the squares add up (Saito and Toriwaki 1994)
        size, found = near.shape[dim], near.clone()
        for d in range(1, min(reach, size - 1) + 1):
            far, here = near.narrow(dim, d, size - d) + d * d, near.narrow(dim, 0, size - d) + d * d
            ahead, behind = found.narrow(dim, 0, size - d), found.narrow(dim, d, size - d)
            ahead.copy_(torch.minimum(ahead, far))
            behind.copy_(torch.minimum(behind, here))
        near = found
    return near.clamp_(max=most)


@lru_cache(maxsize=16)
def _table(reach: int) -> Tensor:
    """What stands for a squared distance to the nearest pixel of the other kind, inside and outside, (2, (reach + 1)^2 + 1) u8.

    The border runs half-way between two pixels.
    """
    squares = torch.arange((reach + 1) ** 2 + 1, dtype=torch.float64)
    steps = (_ONE * (squares.sqrt() - 0.5).div(reach).clamp(0, 1)).round()
    return torch.stack([_ZERO + steps, _ZERO - steps]).to(torch.uint8)
