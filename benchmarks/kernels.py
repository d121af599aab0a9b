"""What computes attention among the tokens of each picture, one beside the other: `python -m benchmarks.encoder --paths`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from policies.attention import Kernel, attend, make_layout

Attention = Callable[[Tensor], Tensor]
"""Packed queries, keys and values (N, 3D) to (N, D)."""


def contenders(lengths: Tensor, heads: int, half: bool, backward: bool) -> dict[str, Attention]:
    """By name, those that run on the device of `lengths` (S,): ours, then torch's nested tensors and FlexAttention.

    FlexAttention is compiled, and on the CPU without a gradient.
    """
    usable = [kernel for kernel in Kernel if kernel is not Kernel.varlen or (lengths.is_cuda and half)]
    found = {kernel.value: _ours(lengths, heads, kernel) for kernel in usable} | {"nested": _nested(lengths, heads)}
    if lengths.is_cuda or (shutil.which("g++") and not backward):
        found["flex"] = _flex(lengths, heads)
    return found


def _ours(lengths: Tensor, heads: int, kernel: Kernel) -> Attention:
    layout = make_layout(lengths, kernel=kernel)
    return lambda qkv: attend(qkv, layout, heads)


def _nested(lengths: Tensor, heads: int) -> Attention:
    """Nested tensors through `scaled_dot_product_attention`: jagged ones on a GPU, where alone they have it, else strided ones."""
    offsets, sizes = functional.pad(lengths.cumsum(0), (1, 0)), lengths.tolist()

    def nest(x: Tensor) -> Tensor:
        parts = x.unflatten(1, (heads, -1))  # (N, H, D/H)
        if lengths.is_cuda:
            return torch.nested.nested_tensor_from_jagged(parts, offsets, min_seqlen=min(sizes), max_seqlen=max(sizes)).transpose(1, 2)
        return torch.nested.as_nested_tensor([part.transpose(0, 1) for part in parts.split(sizes)])  # (S, H, lengths, D/H)

    def call(qkv: Tensor) -> Tensor:
        q, k, v = (nest(x) for x in qkv.chunk(3, 1))
        out: Any = functional.scaled_dot_product_attention(q, k, v)
        if lengths.is_cuda:
            return out.transpose(1, 2).values().flatten(1)
        return torch.cat([part.transpose(0, 1).flatten(1) for part in out.unbind()])

    return call


def _flex(lengths: Tensor, heads: int) -> Attention:
    """FlexAttention over all tokens in one sequence, masked by picture."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    n = int(lengths.sum())
    picture = torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)

    def same(_b: Tensor, _h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return picture[q] == picture[k]

    blocks = create_block_mask(same, None, None, n, n, device=str(lengths.device))
    compiled: Any = torch.compile(flex_attention, dynamic=False)

    def call(qkv: Tensor) -> Tensor:
        qkv = qkv if qkv.is_cuda else qkv.detach()  # on the CPU it refuses what could have a gradient
        q, k, v = qkv.unflatten(1, (3, heads, -1)).permute(1, 2, 0, 3)[:, None]  # (1, H, N, D/H) each
        return compiled(q, k, v, block_mask=blocks)[0].transpose(0, 1).flatten(1)

    return call
