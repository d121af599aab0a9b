"""Pictures cut into patches, of which only some are kept: what the encoder works on and what training caches."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import Enum
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from policies.bits import pack, unpack
from policies.box import CROP, boxed, cropped
from policies.config import Masking, Rule
from policies.edge import relief
from policies.errors import PolicyError
from policies.rule import shares
from policies.silhouette import measure


class Keep(Enum):
    """Which patches of a picture are kept."""

    OBJECT = "object"
    """The object's: those the mask touches with at least one pixel, or fills by half (see policies/rule.py)."""
    BOX = "box"
    """The same of the box around the mask, which stands for the mask in everything."""
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
    bits: Tensor
    """Pixels of the target, packed by eight as `numpy.packbits` does, (N, ceil(p * p / 8)) u8."""
    index: Tensor
    """Place in the grid of the picture or crop, row by row, (N,) i64."""
    camera: Tensor
    """Camera of each picture, (S,) i64."""
    lengths: Tensor
    """Kept patches of each picture, (S,) i64; sums to N."""
    silhouette: Tensor
    """What each whole mask, or box, says by itself, (S, 12) f32: see policies/silhouette.py."""
    relief: Tensor | None = None
    """What the mask's border adds to its pixels, (N, p * p) u8: see policies/edge.py; None where it was not asked for."""

    def to(self, device: torch.device, non_blocking: bool = False) -> Patches:
        """The same on another device."""
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: x.to(device, non_blocking=non_blocking) for name, x in tensors.items() if x is not None})

    @property
    def mask(self) -> Tensor:
        """Pixels of the target, (N, p * p) bool: unpacked where the patches are, and only for who looks at them."""
        return unpack(self.bits, self.pixels.shape[-1])

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


def cut(
    images: Tensor,
    masks: Tensor,
    camera: Tensor,
    patch: int,
    keep: Keep,
    rule: Rule = Rule.any,
    masking: Masking = Masking.patch,
) -> Patches:
    """Cuts pictures (S, 3, H, W) u8 with masks (S, H, W) bool of cameras (S,) into patches of side `patch` [px].

    Args:
        images: pictures.
        masks: pixels of the target.
        camera: of each picture.
        patch: side of a patch [px].
        keep: which patches are kept.
        rule: which of them are the object's, where only these are kept.
        masking: whose channel of the mask's border is cut too, where it has one and only the object's patches are kept.
    """
    images, masks, silhouette = look(images, masks, keep)
    shape = relief(masks, patch, masking) if keep.sparse else None
    return split(images, masks, silhouette, camera, patch, rule if keep is not Keep.ALL else None, shape)


def split(
    images: Tensor, masks: Tensor, silhouette: Tensor, camera: Tensor, patch: int, rule: Rule | None, relief: Tensor | None = None
) -> Patches:
    """The patches that are the object's by a rule, or all of them without one; with `relief` (S, H, W) u8 where it is given."""
    s, _, height, width = images.shape
    rows, columns, area = height // patch, width // patch, patch * patch
    pixels = images.reshape(s, 3, rows, patch, columns, patch).permute(0, 2, 4, 1, 3, 5)  # (S, rows, columns, 3, p, p)
    bits = _tiles(masks, patch)  # (S, rows, columns, p, p)
    kept = bits.new_ones(s, rows, columns) if rule is None else _own(bits, rule)
    places = kept.nonzero(as_tuple=True)
    index = places[1] * columns + places[2]
    lengths = kept.flatten(1).sum(1)
    shape = None if relief is None else _tiles(relief, patch)[places].reshape(-1, area)
    return Patches(pixels[places].reshape(-1, 3, area), pack(bits[places].reshape(-1, area)), index, camera, lengths, silhouette, shape)


def _tiles(planes: Tensor, patch: int) -> Tensor:
    """(S, H, W) as patches, (S, rows, columns, p, p)."""
    s, height, width = planes.shape
    return planes.reshape(s, height // patch, patch, width // patch, patch).permute(0, 1, 3, 2, 4)


def _own(bits: Tensor, rule: Rule) -> Tensor:
    """Which patches (S, rows, columns, p, p) are the object's, (S, rows, columns) bool."""
    s, rows, columns = bits.shape[:3]
    picture = torch.arange(s, device=bits.device).repeat_interleave(rows * columns)
    return (shares(bits.flatten(0, 2).flatten(1), picture, s, rule) > 0).view(s, rows, columns)


def thin(patches: Patches, cap: int, priority: Tensor | None = None) -> Patches:
    """At most `cap` patches of each picture (0: all), those of lowest priority (N,).

    Without a priority it is a fixed random order of places: the same in every frame, and blind to rows and columns.
    """
    if not cap or not len(patches.index) or int(patches.lengths.max()) <= cap:
        return patches
    if priority is None:
        priority = torch.from_numpy(places(patches.index.cpu().numpy())).to(patches.index.device)
    picture = patches.picture  # (N,)
    order = torch.argsort(priority, stable=True)
    order = order[torch.argsort(picture[order], stable=True)]  # by picture, then by priority
    starts = torch.cumsum(patches.lengths, 0) - patches.lengths
    rank = torch.arange(len(order), device=order.device) - starts[picture]
    kept = torch.sort(order[rank < cap]).values
    rest = {name: getattr(patches, name)[kept] for name in ("pixels", "bits", "index")}
    if patches.relief is not None:
        rest["relief"] = patches.relief[kept]
    return replace(patches, **rest, lengths=patches.lengths.clamp(max=cap))


def places(index: np.ndarray) -> np.ndarray:
    """A fixed random priority of places in the grid (N,), (N,): the same in every frame."""
    return _places(int(index.max(initial=0)) + 1)[index]


@lru_cache(maxsize=8)
def _places(n: int) -> np.ndarray:
    """A fixed priority of the first n places, (n,); that of a place does not depend on n."""
    return np.random.default_rng(0).random(n)
