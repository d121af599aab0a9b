"""What computes attention among the tokens of each picture, one beside the other: `python -m benchmarks.encoder --paths`."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from policies.attention import Kernel, attend, make_layout

Attention = Callable[[Tensor], Tensor]
"""Packed queries, keys and values (N, 3D) to (N, D)."""


def contenders(lengths: Tensor, heads: int, half: bool) -> dict[str, Attention]:
    """By name, those that run on the device of `lengths` (S,)."""
    usable = [kernel for kernel in Kernel if kernel is not Kernel.varlen or (lengths.is_cuda and half)]
    return {kernel.value: _ours(lengths, heads, kernel) for kernel in usable}


def _ours(lengths: Tensor, heads: int, kernel: Kernel) -> Attention:
    layout = make_layout(lengths, kernel=kernel)
    return lambda qkv: attend(qkv, layout, heads)
