"""Self-attention among the tokens of each picture, on packed tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Kernel(Enum):
    """How the attention of packed tokens is computed; each gives the same numbers."""

    padded = "padded"
    """Pictures of similar length are padded to the longest and go through `scaled_dot_product_attention` together. Runs everywhere."""
    single = "single"
    """A call for each picture: nothing is padded. Runs everywhere; pays where a token is wide and there is no GPU."""
    varlen = "varlen"
    """FlashAttention on the packed tokens themselves: CUDA, float16 or bfloat16."""


def fastest(device: torch.device, dim: int) -> Kernel:
    """The kernel for tokens of width `dim` on a device, unless an encoder is told another; `python -m benchmarks.encoder --paths` compares.

    On the CPU a call a picture takes 30 to 70 % of the time of padding at widths of 384 and 1024, where lengths differ as those of toys'
    masks do (1 to 140 tokens); nested tensors and, in float32, FlexAttention take longer than either: docs/policies.md has the table. With
    the 12 tokens a picture at width 128 of our own training it is the other way round, twice as long. On CUDA nothing has been measured
    yet: what is known to run is taken.
    """
    return Kernel.single if device.type == "cpu" and dim >= 384 else Kernel.padded


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
class Runs:
    """The tokens of each picture side by side, without padding: what kernels without padding read."""

    order: Tensor | None
    """Token at each place, (N + filler,); None where they lie so already."""
    back: Tensor | None
    """Place of each token, (N + filler,); None as above."""
    edges: Tensor
    """First place of each picture, then N, (S + 1,) i32."""
    longest: int
    lengths: tuple[int, ...] | None
    """Tokens of each picture, for `Kernel.single`; None for `Kernel.varlen`."""


@dataclass(frozen=True)
class Layout:
    """Where packed tokens lie in a padded buffer, and in runs where these are asked for."""

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
    runs: Runs | None = None
    """None for `Kernel.padded`."""


def make_layout(lengths: Tensor, extra: int = 0, multiple: int = 1, groups: int = 3, kernel: Kernel = Kernel.padded) -> Layout:
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
    runs = None if kernel is Kernel.padded else _runs(total, picture, filler, bool(extra), int(by_length[-1]), kernel)
    return Layout(total, picture, slot, row + filler, filler, tuple(made), runs)


def _runs(total: Tensor, picture: Tensor, filler: int, scattered: bool, longest: int, kernel: Kernel) -> Runs:
    """The runs of pictures of `total` (S,) tokens that belong to `picture` (N,); scattered: whether they do not lie side by side yet."""
    edges = functional.pad(torch.cumsum(total, 0), (1, 0)).to(torch.int32)
    lengths = tuple(total.tolist()) if kernel is Kernel.single else None
    if not scattered:
        return Runs(None, None, edges, longest, lengths)
    order = torch.argsort(functional.pad(picture, (0, filler), value=len(total)), stable=True)
    return Runs(order, torch.argsort(order), edges, longest, lengths)


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


def _sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """On the CPU always float32, since attention over bfloat16 is several times slower there (its gradient most of all)."""
    if q.device.type == "cpu":
        with torch.autocast("cpu", enabled=False):
            return functional.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=mask)
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def attend(qkv: Tensor, layout: Layout, heads: int) -> Tensor:
    """Attention within each picture of packed queries, keys and values (N + filler, 3D): (N + filler, D)."""
    return _padded(qkv, layout, heads) if layout.runs is None else _unpadded(qkv, layout, layout.runs, heads)


def _padded(qkv: Tensor, layout: Layout, heads: int) -> Tensor:
    """By groups of pictures of similar length."""
    dim = qkv.shape[1] // 3
    padded = pad(qkv, layout)  # (R, 3D)
    outs = []
    for g in layout.groups:
        rows = padded[g.start : g.start + g.pictures * g.longest]
        q, k, v = rows.view(g.pictures, g.longest, 3, heads, dim // heads).permute(2, 0, 3, 1, 4)  # (S, H, L, D/H) each
        o = _sdpa(q, k, v, g.mask)  # (S, H, L, D/H)
        outs.append(o.transpose(1, 2).reshape(g.pictures * g.longest, dim))
    if layout.filler:
        outs.append(outs[0].new_zeros(layout.filler, dim))
    return unpad(torch.cat(outs), layout)


def _unpadded(qkv: Tensor, layout: Layout, runs: Runs, heads: int) -> Tensor:
    """On the tokens themselves, those of each picture side by side."""
    n = len(layout.picture)
    rows = qkv if runs.order is None else qkv[runs.order]
    q, k, v = rows[:n].unflatten(1, (3, heads, -1)).unbind(1)  # (N, H, D/H) each
    o = (_flash(q, k, v, runs) if runs.lengths is None else _single(q, k, v, runs.lengths)).flatten(1)  # (N, D)
    o = functional.pad(o, (0, 0, 0, layout.filler))
    return o if runs.back is None else o[runs.back]


def _single(q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int]) -> Tensor:
    """Attention within each of the runs, one after another, (N, H, D/H)."""
    parts = zip(*(x.transpose(0, 1)[None].split(lengths, 2) for x in (q, k, v)), strict=True)  # (1, H, L, D/H) each
    return torch.cat([_sdpa(a, b, c, None) for a, b, c in parts if a.shape[2]] or [q.transpose(0, 1)[None]], 2)[0].transpose(0, 1)


def _flash(q: Tensor, k: Tensor, v: Tensor, runs: Runs) -> Tensor:
    """Attention within each run, (N, H, D/H)."""
    from torch.nn.attention.varlen import varlen_attn

    o = varlen_attn(q, k, v, runs.edges, runs.edges, runs.longest, runs.longest)
    assert isinstance(o, Tensor)
    return o


class PackedAttention(nn.Module):
    """Multi-head self-attention within each picture."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        """Tokens (N + filler, D) to as many."""
        return self.out(attend(self.qkv(x), layout, self.heads))  # (N + filler, D)

    def masked(self, x: Tensor, mask: Tensor) -> Tensor:
        """The reference: all tokens (S, L, D) under an attention mask (S, 1, L, L)."""
        s, n, dim = x.shape
        q, k, v = self.qkv(x).view(s, n, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)  # (S, H, L, D/H) each
        o = _sdpa(q, k, v, mask)
        return self.out(o.transpose(1, 2).reshape(s, n, dim))
