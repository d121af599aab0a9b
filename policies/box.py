"""The box around a mask: what a detector gives where nothing segments."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

CROP = 64
"""Side of a crop [px]."""
MARGIN = 0.15
"""Border around the object in a crop, as a share of the box's longer side."""


def boxed(masks: Tensor) -> Tensor:
    """Masks (S, H, W) bool filled up to the smallest box around each; nothing stays nothing."""
    rows, columns = masks.any(2), masks.any(1)  # (S, H), (S, W)
    return _between(rows)[:, :, None] & _between(columns)[:, None, :]


def cropped(images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """The square around each mask (S, H, W) bool, resized: pictures (S, 3, CROP, CROP) u8, and whether there is anything to see,
    (S, CROP, CROP) bool, the same everywhere in a picture.

    A square that would cross the border of the picture is moved inside; one around a speck is a quarter of CROP, and none is larger
    than the picture.
    """
    height, width = images.shape[2:]
    seen = masks.flatten(1).any(1)  # (S,)
    top, bottom = _ends(masks.any(2))
    left, right = _ends(masks.any(1))
    side = (1 + 2 * MARGIN) * torch.maximum(bottom - top, right - left)
    side = side.clamp(CROP / 4).clamp(max=min(height, width))
    y = torch.minimum(((top + bottom) / 2).maximum(side / 2), height - side / 2)  # middle of the square
    x = torch.minimum(((left + right) / 2).maximum(side / 2), width - side / 2)
    steps = (torch.arange(CROP, device=images.device) + 0.5) / CROP - 0.5  # (CROP,), -0.5 to 0.5
    rows = 2 * (y[:, None] + side[:, None] * steps) / height - 1  # (S, CROP), -1 to 1 over the picture
    columns = 2 * (x[:, None] + side[:, None] * steps) / width - 1
    shape = (len(images), CROP, CROP)
    grid = torch.stack([columns[:, None, :].expand(shape), rows[:, :, None].expand(shape)], -1)  # (S, CROP, CROP, 2)
    crops = functional.grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return crops.round().clamp(0, 255).to(torch.uint8), seen[:, None, None].expand(shape)


def _between(hit: Tensor) -> Tensor:
    """From the first to the last True of each row, (S, n) bool."""
    return (hit.cumsum(1) > 0) & (hit.flip(1).cumsum(1).flip(1) > 0)


def _ends(hit: Tensor) -> tuple[Tensor, Tensor]:
    """Where the first True of each row (S, n) begins and the last one ends, (S,) f32 [px]; anything where there is none."""
    place = torch.arange(hit.shape[1], device=hit.device)
    return torch.where(hit, place, hit.shape[1]).amin(1).float(), torch.where(hit, place + 1, 0).amax(1).float()
