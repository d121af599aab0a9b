"""Pictures cut into patches, of which only some are kept: what the encoder works on and what training caches."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import Enum
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from policies.box import CROP, boxed, cropped
from policies.errors import PolicyError
from policies.silhouette import measure


class Keep(Enum):
    """Which patches of a picture are kept."""

    OBJECT = "object"
    """Those the mask touches with at least one pixel."""
    BOX = "box"
    """Those the box around the mask touches; the box stands for the mask in everything."""
    CROP = "crop"
    """All of a crop around the mask; its mask is all true. None where nothing is seen."""
    ALL = "all"

    @property
    def sparse(self) -> bool:
        """Whether they are those of the picture that matter: a random few of them will do in training."""
        return self in (Keep.OBJECT, Keep.BOX)


@dataclass(frozen=True)
class Patches:
    """The kept patches of S pictures, packed one after another; N in all. Rows of a picture run in raster order."""

    pixels: Tensor
    """(N, 3, p * p) u8"""
    mask: Tensor
    """Pixels of the target, (N, p * p) bool."""
    index: Tensor
    """Place in the grid of the picture or crop, row by row, (N,) i64."""
    camera: Tensor
    """Camera of each picture, (S,) i64."""
    lengths: Tensor
    """Kept patches of each picture, (S,) i64; sums to N."""
    silhouette: Tensor
    """What each whole mask, or box, says by itself, (S, 12) f32: see policies/silhouette.py."""

    def to(self, device: torch.device, non_blocking: bool = False) -> Patches:
        """The same on another device."""
        return Patches(*(getattr(self, field.name).to(device, non_blocking=non_blocking) for field in fields(self)))

    @property
    def picture(self) -> Tensor:
        """Picture of each patch, (N,) i64."""
        pictures = torch.arange(len(self.lengths), device=self.lengths.device)
        return torch.repeat_interleave(pictures, self.lengths, output_size=len(self.index))


def grid(size: tuple[int, int], patch: int, keep: Keep) -> tuple[int, int]:
    """Rows and columns of patches in pictures of height and width `size` [px]. Raises PolicyError."""
    height, width = (CROP, CROP) if keep is Keep.CROP else size
    if height % patch or width % patch:
        raise PolicyError(f"patch={patch} does not divide {'crops' if keep is Keep.CROP else 'pictures'} of {height}x{width} px")
    return height // patch, width // patch


def look(images: Tensor, masks: Tensor, keep: Keep) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures (S, 3, H, W) u8, masks (S, H, W) bool and silhouettes (S, 12) as `keep` has them: by the box, or cropped."""
    if keep in (Keep.OBJECT, Keep.ALL):
        return images, masks, measure(masks)
    boxes = boxed(masks)
    return *((images, boxes) if keep is Keep.BOX else cropped(images, masks)), measure(boxes)


def cut(images: Tensor, masks: Tensor, camera: Tensor, patch: int, keep: Keep) -> Patches:
    """Cuts pictures (S, 3, H, W) u8 with masks (S, H, W) bool of cameras (S,) into patches of side `patch` [px]."""
    return split(*look(images, masks, keep), camera, patch, everywhere=keep is Keep.ALL)


def split(images: Tensor, masks: Tensor, silhouette: Tensor, camera: Tensor, patch: int, everywhere: bool) -> Patches:
    """The patches that the masks touch, or all of them."""
    s, _, height, width = images.shape
    rows, columns, area = height // patch, width // patch, patch * patch
    pixels = images.reshape(s, 3, rows, patch, columns, patch).permute(0, 2, 4, 1, 3, 5)  # (S, rows, columns, 3, p, p)
    bits = masks.reshape(s, rows, patch, columns, patch).permute(0, 1, 3, 2, 4)  # (S, rows, columns, p, p)
    kept = bits.new_ones(s, rows, columns) if everywhere else bits.flatten(3).any(3)
    places = kept.nonzero(as_tuple=True)
    index = places[1] * columns + places[2]
    lengths = kept.flatten(1).sum(1)
    return Patches(pixels[places].reshape(-1, 3, area), bits[places].reshape(-1, area), index, camera, lengths, silhouette)


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
