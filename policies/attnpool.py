"""Attention pooling: a learned query over the output tokens of all patches."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from policies.attention import Layout
from policies.config import EncoderConfig
from policies.patches import Patches
from policies.vit import scattered


class AttentionPool(nn.Module):
    """Multi-head attention with one learned query per camera."""

    def __init__(self, config: EncoderConfig, cameras: int) -> None:
        super().__init__()
        dim, self.heads = config.dim, config.heads
        self.query = scattered(cameras, dim, std=0.1)
        self.kv = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def prefix(self, camera: Tensor) -> Tensor | None:
        return None

    def forward(self, tokens: Tensor, layout: Layout, patches: Patches) -> Tensor:
        s, dim = len(patches.camera), tokens.shape[1]  # every picture keeps all its patches: no padding
        kv = self.kv(tokens[: len(patches.index)]).view(s, -1, 2, self.heads, dim // self.heads)
        k, v = kv.permute(2, 0, 3, 1, 4)  # (S, H, G, D/H) each
        q = self.query[patches.camera].view(s, self.heads, 1, dim // self.heads)  # (S, H, 1, D/H)
        return self.out(functional.scaled_dot_product_attention(q, k, v).reshape(s, dim))  # (S, D)
