"""Detection pooling: object patches alone, which attend only to each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from policies.attention import Layout
from policies.config import EncoderConfig, Rule
from policies.patches import Patches
from policies.pooling import mean_tokens, weighted_mean
from policies.vit import scattered


class DetPool(nn.Module):
    """The mean of the object's tokens, each by its patch's share of the object where the rule is soft; a learned vector per camera where
    the object is not seen."""

    def __init__(self, config: EncoderConfig, cameras: int) -> None:
        super().__init__()
        self.soft = config.rule is Rule.soft  # the other rules have had their say when patches were dropped
        self.absent = scattered(cameras, config.dim, std=0.1)

    def prefix(self, camera: Tensor) -> Tensor | None:
        return None

    def forward(self, tokens: Tensor, layout: Layout, patches: Patches) -> Tensor:
        seen = patches.lengths[:, None] > 0  # (S, 1)
        if self.soft:
            mean, _ = weighted_mean(tokens, patches.mask.float().mean(1), layout, patches)
        else:
            mean = mean_tokens(tokens, layout, patches)
        return torch.where(seen, mean, self.absent[patches.camera])  # (S, D)
