"""Random colours, the same for every camera of a sample: shapes should matter, not paint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


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


def draw_jitter(rng: np.random.Generator, samples: int, pictures: int) -> Jitter:
    """Colours for `samples` samples of `pictures` pictures each; the channels change places in three of five samples."""
    gain = rng.uniform(0.6, 1.4, (samples, 3))
    bias = rng.uniform(-0.15, 0.15, (samples, 3))
    shuffled = rng.permuted(np.tile(np.arange(3), (samples, 1)), axis=1)
    order = np.where(rng.random((samples, 1)) < 0.6, shuffled, np.arange(3))
    return Jitter(*(torch.from_numpy(np.repeat(x, pictures, 0)) for x in (gain.astype(np.float32), bias.astype(np.float32), order)))
