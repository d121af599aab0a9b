"""Masked pooling: all patches attend to each other, and the mean is over the object's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from policies.attention import Layout
from policies.config import EncoderConfig
from policies.patches import Patches
from policies.pooling import weighted_mean
from policies.rule import shares
from policies.vit import scattered


class MaskedPool(nn.Module):
    """The mean of the object's tokens, as the rule has it; a learned vector per camera where the object is not seen."""

    def __init__(self, config: EncoderConfig, cameras: int) -> None:
        super().__init__()
        self.rule = config.rule
        self.absent = scattered(cameras, config.dim, std=0.1)

    def prefix(self, camera: Tensor) -> Tensor | None:
        return None

    def forward(self, tokens: Tensor, layout: Layout, patches: Patches) -> Tensor:
        picture = layout.picture[: len(patches.index)]
        mean, found = weighted_mean(tokens, shares(patches.mask, picture, len(patches.lengths), self.rule), layout, patches)
        return torch.where(found, mean, self.absent[patches.camera])
