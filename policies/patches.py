"""Pictures cut into patches, of which only some are kept: what the encoder works on and what training caches."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import Enum
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from policies.silhouette import measure


class Keep(Enum):
    """Which patches of a picture are kept."""

    OBJECT = "object"
    """Those the mask touches with at least one pixel."""
    ALL = "all"


@dataclass(frozen=True)
class Patches:
    """The kept patches of S pictures, packed one after another; N in all. Rows of a picture run in raster order."""

    pixels: Tensor
    """(N, 3, p * p) u8"""
    mask: Tensor
    """Pixels of the target, (N, p * p) bool."""
    index: Tensor
    """Place in the picture's grid, row by row, (N,) i64."""
    camera: Tensor
    """Camera of each picture, (S,) i64."""
    lengths: Tensor
    """Kept patches of each picture, (S,) i64; sums to N."""
    silhouette: Tensor
    """What each whole mask says by itself, (S, 12) f32: see policies/silhouette.py."""

    def to(self, device: torch.device, non_blocking: bool = False) -> Patches:
        """The same on another device."""
        return Patches(*(getattr(self, field.name).to(device, non_blocking=non_blocking) for field in fields(self)))

    @property
    def picture(self) -> Tensor:
        """Picture of each patch, (N,) i64."""
        pictures = torch.arange(len(self.lengths), device=self.lengths.device)
        return torch.repeat_interleave(pictures, self.lengths, output_size=len(self.index))


def cut(images: Tensor, masks: Tensor, camera: Tensor, patch: int, keep: Keep) -> Patches:
    """Cuts pictures (S, 3, H, W) u8 with masks (S, H, W) bool of cameras (S,) into patches of side `patch` [px]."""
    s, _, height, width = images.shape
    rows, columns, area = height // patch, width // patch, patch * patch
    pixels = images.view(s, 3, rows, patch, columns, patch).permute(0, 2, 4, 1, 3, 5)  # (S, rows, columns, 3, p, p)
    bits = masks.view(s, rows, patch, columns, patch).permute(0, 1, 3, 2, 4)  # (S, rows, columns, p, p)
    kept = bits.flatten(3).any(3) if keep is Keep.OBJECT else bits.new_ones(s, rows, columns)
    places = kept.nonzero(as_tuple=True)
    index = places[1] * columns + places[2]
    lengths = kept.flatten(1).sum(1)
    return Patches(pixels[places].reshape(-1, 3, area), bits[places].reshape(-1, area), index, camera, lengths, measure(masks))


def thin(patches: Patches, cap: int, priority: Tensor | None = None) -> Patches:
    """At most `cap` patches of each picture (0: all), those of lowest priority (N,).

    Without a priority it is a fixed random order of places: the same in every frame, and blind to rows and columns.
    """
    if not cap or not len(patches.index) or int(patches.lengths.max()) <= cap:
        return patches
    if priority is None:
        priority = torch.from_numpy(_places(int(patches.index.max()) + 1)).to(patches.index.device)[patches.index]
    picture = patches.picture  # (N,)
    order = torch.argsort(priority, stable=True)
    order = order[torch.argsort(picture[order], stable=True)]  # by picture, then by priority
    starts = torch.cumsum(patches.lengths, 0) - patches.lengths
    rank = torch.arange(len(order), device=order.device) - starts[picture]
    kept = torch.sort(order[rank < cap]).values
    rest = {name: getattr(patches, name)[kept] for name in ("pixels", "mask", "index")}
    return replace(patches, **rest, lengths=patches.lengths.clamp(max=cap))


@lru_cache(maxsize=8)
def _places(n: int) -> np.ndarray:
    """A fixed priority of the first n places, (n,); that of a place does not depend on n."""
    return np.random.default_rng(0).random(n)
