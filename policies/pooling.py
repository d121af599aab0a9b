"""What a pooling is."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from policies.attention import Layout
from policies.patches import Patches


class PoolingModule(Protocol):
    """Turns the output tokens of pictures into one vector each. An nn.Module, one file per pooling.

    Tokens of patches come first, in their order, then others: a backbone's, then the pooling's own.
    """

    def prefix(self, camera: Tensor) -> Tensor | None:
        """A token (S, D) that joins those of each picture, after all patches; None without one."""
        ...

    def __call__(self, tokens: Tensor, layout: Layout, patches: Patches) -> Tensor:
        """Output tokens (N + filler, D), normalised, of `patches` to (S, D)."""
        ...


def mean_tokens(tokens: Tensor, layout: Layout, patches: Patches) -> Tensor:
    """The mean of each picture's patches, (S, D), other tokens left out; zeros for a picture without patches."""
    n = len(patches.index)
    total = tokens.new_zeros(len(patches.lengths), tokens.shape[1]).index_add(0, layout.picture[:n], tokens[:n])
    return total / patches.lengths.clamp(min=1)[:, None]


def weighted_mean(tokens: Tensor, share: Tensor, layout: Layout, patches: Patches) -> tuple[Tensor, Tensor]:
    """The mean of each picture's patches by their shares (N,), (S, D), and whether any counts, (S, 1) bool: zeros where none does."""
    some = share > 0  # (N,)
    picture, share = layout.picture[: len(share)][some], share[some]
    weight = share.new_zeros(len(patches.lengths)).index_add(0, picture, share)[:, None]  # (S, 1)
    total = tokens.new_zeros(len(weight), tokens.shape[1]).index_add(0, picture, tokens[: len(some)][some] * share[:, None])  # (S, D)
    found = weight > 0
    return total / torch.where(found, weight, 1.0), found
