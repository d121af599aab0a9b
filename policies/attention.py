"""Self-attention among the tokens of each picture, on packed tokens."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Group:
    """Pictures of similar length, padded to the longest of them."""

    start: int
    """First row in the padded buffer."""
    pictures: int
    longest: int
    mask: Tensor | None
    """Keys that are not padding, (pictures, 1, 1, longest) bool; None where nothing is padded."""


@dataclass(frozen=True)
class Layout:
    """Where packed tokens lie in a padded buffer."""

    lengths: Tensor
    """Tokens of each picture, (S,)."""
    picture: Tensor
    """Picture of each token, (N,)."""
    slot: Tensor
    """Row of each token in the padded buffer, then of each filler, (N + filler,)."""
    rows: int
    """Rows of the padded buffer."""
    filler: int
    """Zero tokens after the others, which belong to no picture and take part in nothing; their rows are the last of the buffer."""
    groups: tuple[Group, ...]


def make_layout(lengths: Tensor, extra: int = 0, multiple: int = 1, groups: int = 3) -> Layout:
    """A layout of pictures with `lengths` (S,) tokens, packed, followed by `extra` tokens of each (all first ones, all second ones ...).

    Fillers bring the tokens to a multiple of `multiple`. Pictures are sorted by length and padded in groups, since attention over
    padding is wasted.
    """
    device = lengths.device
    s, n = len(lengths), int(lengths.sum())
    picture = torch.repeat_interleave(torch.arange(s, device=device), lengths, output_size=n)  # (N,)
    within = torch.arange(n, device=device) - (torch.cumsum(lengths, 0) - lengths)[picture]
    if extra:
        picture = torch.cat([picture, torch.arange(s, device=device).repeat(extra)])
        within = torch.cat([within] + [lengths + i for i in range(extra)])
    total = lengths + extra
    order = torch.argsort(total, stable=True)
    by_length = total[order].tolist()
    first_row = torch.empty_like(lengths)
    made, row, count = [], 0, 1 if by_length[0] == by_length[-1] else min(groups, s)
    edges = [s * i // count for i in range(count + 1)]
    for a, b in pairwise(edges):
        longest = max(by_length[b - 1], 1)
        members = order[a:b]
        first_row[members] = row + longest * torch.arange(b - a, device=device)
        # an empty picture attends to padding, since the softmax of nothing is NaN
        keys = torch.arange(longest, device=device) < total[members].clamp(min=1)[:, None]
        made.append(Group(row, b - a, longest, None if by_length[a] == longest else keys[:, None, None]))
        row += longest * (b - a)
    filler = -len(picture) % multiple
    slot = torch.cat([first_row[picture] + within, torch.arange(row, row + filler, device=device)])
    return Layout(total, picture, slot, row + filler, filler, tuple(made))


class _Pad(torch.autograd.Function):
    """Packed (N, D) to padded (R, D). Its gradient gathers, where index_put's would accumulate one by one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slot: Tensor, rows: int) -> Tensor:
        ctx.save_for_backward(slot)
        return x.new_zeros(rows, x.shape[1]).index_copy_(0, slot, x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0].index_select(0, ctx.saved_tensors[0]), None, None


class _Unpad(torch.autograd.Function):
    """Padded (R, D) to packed (N, D)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slot: Tensor) -> Tensor:
        ctx.save_for_backward(slot)
        ctx.rows = x.shape[0]
        return x.index_select(0, slot)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0].new_zeros(ctx.rows, grads[0].shape[1]).index_copy_(0, ctx.saved_tensors[0], grads[0]), None


def pad(x: Tensor, layout: Layout) -> Tensor:
    """Packed (N, D) to the padded buffer (R, D), zeros between."""
    return _Pad.apply(x, layout.slot, layout.rows)  # pyright: ignore[reportReturnType]


def unpad(x: Tensor, layout: Layout) -> Tensor:
    """The padded buffer (R, D) to packed (N, D)."""
    return _Unpad.apply(x, layout.slot)  # pyright: ignore[reportReturnType]


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """On the CPU always float32, since attention over bfloat16 is several times slower there (its gradient most of all)."""
    if q.device.type == "cpu":
        with torch.autocast("cpu", enabled=False):
            return functional.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=mask)
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


class PackedAttention(nn.Module):
    """Multi-head self-attention within each picture."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        dim = x.shape[1]
        padded = pad(self.qkv(x), layout)  # (R, 3D)
        outs = []
        for g in layout.groups:
            rows = padded[g.start : g.start + g.pictures * g.longest]
            q, k, v = rows.view(g.pictures, g.longest, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)  # (S, H, L, D/H) each
            o = _attend(q, k, v, g.mask)  # (S, H, L, D/H)
            outs.append(o.transpose(1, 2).reshape(g.pictures * g.longest, dim))
        if layout.filler:
            outs.append(outs[0].new_zeros(layout.filler, dim))
        return self.out(unpad(torch.cat(outs), layout))  # (N, D)

    def masked(self, x: Tensor, mask: Tensor) -> Tensor:
        """The reference: all tokens (S, L, D) under an attention mask (S, 1, L, L)."""
        s, n, dim = x.shape
        q, k, v = self.qkv(x).view(s, n, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)  # (S, H, L, D/H) each
        o = _attend(q, k, v, mask)
        return self.out(o.transpose(1, 2).reshape(s, n, dim))
