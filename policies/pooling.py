"""What a pooling is."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from policies.attention import Layout
from policies.patches import Patches


class PoolingModule(Protocol):
    """Turns the output tokens of pictures into one vector each. An nn.Module, one file per pooling."""

    def prefix(self, camera: Tensor) -> Tensor | None:
        """A token (S, D) that joins those of each picture, after all patches; None without one."""
        ...

    def __call__(self, tokens: Tensor, layout: Layout, patches: Patches) -> Tensor:
        """Output tokens (N + filler, D), normalised, of `patches` to (S, D)."""
        ...


def mean_tokens(tokens: Tensor, layout: Layout) -> Tensor:
    """The mean token of each picture, (S, D); zeros for a picture without tokens."""
    total = tokens.new_zeros(len(layout.lengths), tokens.shape[1]).index_add(0, layout.picture, tokens[: len(layout.picture)])
    return total / layout.lengths.clamp(min=1)[:, None]
