"""Mean pooling over all patches."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from policies.attention import Layout
from policies.patches import Keep
from policies.pooling import mean_tokens


class MeanPool(nn.Module):
    """The mean of all tokens."""

    keep: ClassVar[Keep] = Keep.ALL

    def __init__(self, dim: int, heads: int, cameras: int) -> None:
        super().__init__()

    def prefix(self, camera: Tensor) -> Tensor | None:
        return None

    def forward(self, tokens: Tensor, layout: Layout, camera: Tensor) -> Tensor:
        return mean_tokens(tokens, layout)  # (S, D)
