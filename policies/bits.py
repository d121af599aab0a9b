"""Masks with eight pixels to a byte, in the order of `numpy.packbits`, on any device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def pack(pixels: Tensor) -> Tensor:
    """(N, A) bool as bits (N, ceil(A / 8)) u8; what is left of the last byte is zero."""
    eights = functional.pad(pixels.byte(), (0, -pixels.shape[-1] % 8)).unflatten(-1, (-1, 8))
    return (eights * _places(pixels.device)).sum(-1, dtype=torch.uint8)


def unpack(bits: Tensor, n: int) -> Tensor:
    """The first n pixels of bits (N, ceil(n / 8)) u8, (N, n) bool."""
    return (bits[..., None] & _places(bits.device)).ne(0).flatten(1)[:, :n]


def _places(device: torch.device) -> Tensor:
    """What each of eight pixels is worth, (8,) u8."""
    return torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8, device=device)
