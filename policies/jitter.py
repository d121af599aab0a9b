"""Random colours, the same for every camera of a sample: shapes should matter, not paint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from policies.patches import Patches


@dataclass(frozen=True)
class Jitter:
    """Gain, bias and order of the channels of S pictures. Pictures are normalised to [-2, 2] first."""

    gain: Tensor
    """(S, 3)"""
    bias: Tensor
    """(S, 3), as a share of the full range."""
    order: Tensor
    """Channel that each channel is taken from, (S, 3) i64."""

    def to(self, device: torch.device, non_blocking: bool = False) -> Jitter:
        """The same on another device."""
        return Jitter(*(x.to(device, non_blocking=non_blocking) for x in (self.gain, self.bias, self.order)))


_SILHOUETTE, _GREY, _SHUFFLED = 0.35, 0.15, 0.5
"""Shares of samples without any shading or texture, of one channel, with channels that change places."""


def draw_jitter(rng: np.random.Generator, samples: int, pictures: int, plain: bool = True) -> Jitter:
    """Colours for `samples` samples of `pictures` pictures each.

    Toys are painted in one bright colour, what they stand in for has textures and print: in a third of the samples the object is
    a silhouette of one colour, so that its outline alone must do. `plain` leaves these out when false: without a mask nothing would
    be left of such a picture.
    """
    flat = (rng.random((samples, 1)) < _SILHOUETTE) & plain
    gain = np.where(flat, 0.0, rng.uniform(0.5, 1.5, (samples, 3)))
    bias = np.where(flat, rng.uniform(-0.4, 0.4, (samples, 3)), rng.uniform(-0.2, 0.2, (samples, 3)))
    shuffled = rng.permuted(np.tile(np.arange(3), (samples, 1)), axis=1)
    kind = rng.random((samples, 1))
    order = np.where(kind < _SHUFFLED, shuffled, np.where(kind < _SHUFFLED + _GREY, shuffled[:, :1], np.arange(3)))
    return Jitter(*(torch.from_numpy(np.repeat(x, pictures, 0)) for x in (gain.astype(np.float32), bias.astype(np.float32), order)))


def normalised(patches: Patches, jitter: Jitter | None) -> Tensor:
    """Pixels of patches in [-2, 2], their colours changed where a jitter is given: (N, 3, p * p) f32."""
    if jitter is None:
        return patches.pixels.float().mul_(4 / 255).sub_(2.0)
    picture = patches.picture
    scale, shift = jitter.gain * (4 / 255), 4 * jitter.bias - 2 * jitter.gain  # (S, 3)
    planes = 3 * torch.arange(len(picture), device=picture.device)[:, None] + jitter.order[picture]  # (N, 3)
    return patches.pixels.flatten(0, 1)[planes].float().mul_(scale[picture][..., None]).add_(shift[picture][..., None])
