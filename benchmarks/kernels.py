"""What computes attention among the tokens of each picture, one beside the other: `python -m benchmarks.encoder --paths`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from policies.attention import Kernel, attend, make_layout

Attention = Callable[[Tensor], Tensor]
"""Packed queries, keys and values (N, 3D) to (N, D)."""


def contenders(lengths: Tensor, heads: int, half: bool) -> dict[str, Attention]:
    """Ours by name, those that run on the device of `lengths` (S,), and one that is not in use."""
    usable = [kernel for kernel in Kernel if kernel is Kernel.padded or (lengths.is_cuda and half)]
    found: dict[str, Attention] = {kernel.value: _ours(lengths, heads, kernel) for kernel in usable}
    return found | {"one by one": _one_by_one(lengths, heads)}


def _ours(lengths: Tensor, heads: int, kernel: Kernel) -> Attention:
    layout = make_layout(lengths, kernel=kernel)
    return lambda qkv: attend(qkv, layout, heads)


def _one_by_one(lengths: Tensor, heads: int) -> Attention:
    """A call for each picture: no padding, no mask."""
    parts = lengths.tolist()

    def by_itself(qkv: Tensor) -> Tensor:
        outs = []
        for rows in qkv.split(parts):
            q, k, v = rows.view(1, len(rows), 3, heads, -1).permute(2, 0, 3, 1, 4)  # (1, H, L, D/H) each
            outs.append(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)[0])
        return torch.cat(outs)

    return by_itself
