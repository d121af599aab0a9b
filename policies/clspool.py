"""CLS pooling: a learned token that attends with all patches."""

from __future__ import annotations

from torch import Tensor, nn

from policies.attention import Layout
from policies.config import EncoderConfig
from policies.patches import Patches
from policies.vit import scattered


class ClsPool(nn.Module):
    """The output of the learned token."""

    def __init__(self, config: EncoderConfig, cameras: int) -> None:
        super().__init__()
        self.cls = scattered(cameras, config.dim, std=0.1)

    def prefix(self, camera: Tensor) -> Tensor | None:
        return self.cls[camera]  # (S, D)

    def forward(self, tokens: Tensor, layout: Layout, patches: Patches) -> Tensor:
        n = len(layout.picture)
        return tokens[n - len(patches.camera) : n]  # (S, D)
