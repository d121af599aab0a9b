"""A linear layer that stays as it is, and a matrix of low rank beside it that learns (LoRA, Hu et al. 2022)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Lora(nn.Module):
    """Adds up(down(x)); up begins at zero, so that nothing changes at first."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.up(self.down(x))

    def merged(self) -> nn.Linear:
        """One linear layer that does the same."""
        whole = nn.Linear(self.base.in_features, self.base.out_features, bias=self.base.bias is not None)
        with torch.no_grad():
            whole.weight.copy_(self.base.weight + self.up.weight @ self.down.weight)
            if self.base.bias is not None:
                whole.bias.copy_(self.base.bias)
        return whole
