"""Masked pooling: all patches attend to each other, and the mean is over the object's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from policies.attention import Layout
from policies.patches import Patches
from policies.vit import scattered


class MaskedPool(nn.Module):
    """The mean of the tokens that the mask touches; a learned vector per camera where the object is not seen."""

    def __init__(self, dim: int, heads: int, cameras: int) -> None:
        super().__init__()
        self.absent = scattered(cameras, dim, std=0.1)

    def prefix(self, camera: Tensor) -> Tensor | None:
        return None

    def forward(self, tokens: Tensor, layout: Layout, patches: Patches) -> Tensor:
        touched = patches.mask.any(1)  # (N,)
        picture = layout.picture[: len(touched)][touched]
        found = torch.bincount(picture, minlength=len(layout.lengths))[:, None]  # (S, 1)
        total = tokens.new_zeros(len(found), tokens.shape[1]).index_add(0, picture, tokens[: len(touched)][touched])  # (S, D)
        return torch.where(found > 0, total / found.clamp(min=1), self.absent[patches.camera])
