"""A published photometric set in training, on whole pictures that were cut into patches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from augment.online import Draws, apply, draw
from augment.photometric import SETS
from policies.patches import Keep, Patches, cut, grid


@dataclass(frozen=True)
class Recolour:
    """Crops, turns and recolours pictures of which all patches are kept; masks move with them."""

    name: str
    """Of the set."""
    wrist: tuple[bool, ...]
    """Which of the V cameras are fixed to the robot: some sets do not crop these."""
    size: tuple[int, int]
    """Height and width of the pictures [px]."""
    patch: int
    """Side of a patch [px]."""

    def __call__(self, patches: Patches, history: int, rng: np.random.Generator, total: int, part: slice) -> Patches:
        """The patches of pictures ordered by sample, moment and camera. A sample's moments of one camera share their draw.

        They belong to `part` of a batch of `total` samples, for all of which is drawn.
        """
        (height, width), side, cameras = self.size, self.patch, len(self.wrist)
        rows, columns = grid(self.size, side, Keep.ALL)
        pictures = len(patches.lengths)
        images = patches.pixels.view(pictures, rows, columns, 3, side, side).permute(0, 3, 1, 4, 2, 5).reshape(pictures, 3, height, width)
        masks = patches.mask.view(pictures, rows, columns, side, side).transpose(2, 3).reshape(pictures, height, width)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        drawn = draw(SETS[self.name], torch.tensor(self.wrist).repeat(total), width / height, generator)  # (B, V)
        order = torch.arange(total * cameras).view(total, 1, cameras)[part].expand(-1, history, -1).flatten()
        images, masks = apply(SETS[self.name], images, masks, Draws(drawn.amounts[order], drawn.matrices[order]))
        return cut(images, masks, patches.camera, side, Keep.ALL)
