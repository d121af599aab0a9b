"""The residual block of the trunk and of heads."""

from __future__ import annotations

from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Normalise, widen, narrow, add."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)
