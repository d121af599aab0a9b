"""Detection pooling: object patches alone, which attend only to each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from policies.attention import Layout
from policies.patches import Patches
from policies.pooling import mean_tokens
from policies.vit import scattered


class DetPool(nn.Module):
    """The mean of the object's tokens; a learned vector per camera where the object is not seen."""

    def __init__(self, dim: int, heads: int, cameras: int) -> None:
        super().__init__()
        self.absent = scattered(cameras, dim, std=0.1)

    def prefix(self, camera: Tensor) -> Tensor | None:
        return None

    def forward(self, tokens: Tensor, layout: Layout, patches: Patches) -> Tensor:
        return torch.where(patches.lengths[:, None] > 0, mean_tokens(tokens, layout, patches), self.absent[patches.camera])  # (S, D)
