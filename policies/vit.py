"""The vision transformer behind every pooling: pre-norm, GELU, on packed tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from policies.attention import Layout, PackedAttention


class Block(nn.Module):
    """Attention, then an MLP, each on normalised input and added."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = PackedAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        x = x + self.attention(self.norm1(x), layout)  # (N, D)
        return x + self.mlp(self.norm2(x))

    def masked(self, x: Tensor, mask: Tensor) -> Tensor:
        """The reference: all tokens (S, L, D) under an attention mask (S, 1, L, L)."""
        x = x + self.attention.masked(self.norm1(x), mask)
        return x + self.mlp(self.norm2(x))


def sincos(rows: int, columns: int, dim: int) -> Tensor:
    """Two-dimensional sine-cosine embedding of a grid as in MAE: half of the width for the column, half for the row; (G, D)."""
    frequency = 1.0 / 10000 ** (torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))  # (D/4,)
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    angles = [axis.reshape(-1, 1).double() * frequency for axis in (column, row)]  # (G, D/4) each
    return torch.cat([f(a) for a in angles for f in (torch.sin, torch.cos)], 1).float()


def scattered(*shape: int, std: float) -> nn.Parameter:
    """A parameter of this shape and standard deviation, uniform: for normal ones, the meta device imports torch's compiler, slowly."""
    return nn.Parameter(nn.init.uniform_(torch.empty(*shape), -std * 3**0.5, std * 3**0.5))
