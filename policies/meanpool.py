"""Mean pooling over all patches."""

from __future__ import annotations

from torch import Tensor, nn

from policies.attention import Layout
from policies.config import EncoderConfig
from policies.patches import Patches
from policies.pooling import mean_tokens


class MeanPool(nn.Module):
    """The mean of all tokens."""

    def __init__(self, config: EncoderConfig, cameras: int) -> None:
        super().__init__()

    def prefix(self, camera: Tensor) -> Tensor | None:
        return None

    def forward(self, tokens: Tensor, layout: Layout, patches: Patches) -> Tensor:
        return mean_tokens(tokens, layout, patches)  # (S, D)
