"""What turns the trunk's vector into a chunk of actions: regression, or a flow from noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from policies.block import ResidualBlock


@dataclass(frozen=True)
class Noise:
    """What flow matching draws for B samples of training."""

    start: Tensor
    """Where the flow begins, standard normal, (B, K, A)."""
    moment: Tensor
    """How far it has come, 0 at the noise, 1 at the actions, (B,)."""

    def to(self, device: torch.device, non_blocking: bool = False) -> Noise:
        """The same on another device."""
        return Noise(*(x.to(device, non_blocking=non_blocking) for x in (self.start, self.moment)))


def draw_noise(rng: np.random.Generator, batch: int, chunk: int, width: int) -> Noise:
    """More moments near the noise than near the actions, where little is left to decide: 1 - Beta(1.5, 1), as pi0 (Black et al. 2024)."""
    start = rng.standard_normal((batch, chunk, width), np.float32)
    return Noise(torch.from_numpy(start), torch.from_numpy(1 - rng.beta(1.5, 1.0, batch).astype(np.float32)))


class Regression(nn.Linear):
    """The chunk itself; its loss is the mean absolute error, which settles on the median of the demonstrations."""

    def __init__(self, width: int, chunk: int, actions: int) -> None:
        super().__init__(width, chunk * actions)
        self._shape = chunk, actions

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (B, W) to normalised actions (B, K, A)."""
        return super().forward(x).unflatten(1, self._shape)

    def loss(self, x: Tensor, wanted: Tensor, weight: Tensor, noise: Noise | None) -> Tensor:
        """Mean absolute error of (B, K, A) where the weights (B, K, A) are above 0."""
        return (weight * (self(x) - wanted).abs()).sum() / weight.sum().clamp(min=1)


class Flow(nn.Module):
    """A velocity field that carries noise to actions along straight lines (flow matching, Lipman et al. 2023).

    It can represent several ways of doing a thing where regression settles between them. In use it always begins at the same noise, so
    that an observation has one answer.

    Args:
        width: of the trunk's vector.
        chunk, actions: K and A.
        blocks: residual blocks of the field.
        steps: of Euler's method, in use.
    """

    start: Tensor
    angles: Tensor

    def __init__(self, width: int, chunk: int, actions: int, *, blocks: int, steps: int) -> None:
        super().__init__()
        self.steps, self._shape = steps, (chunk, actions)
        self.enter = nn.Linear(chunk * actions, width)
        self.time = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
        self.field = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)), nn.LayerNorm(width), nn.Linear(width, chunk * actions))
        fixed = np.random.default_rng(0).standard_normal((chunk, actions), np.float32)
        self.register_buffer("start", torch.from_numpy(fixed), persistent=False)
        angles = math.pi * np.exp(np.linspace(0, math.log(100.0), width // 2, dtype=np.float32))  # periods of 2 down to a fiftieth
        self.register_buffer("angles", torch.from_numpy(angles), persistent=False)

    def velocity(self, x: Tensor, at: Tensor, moment: Tensor) -> Tensor:
        """Of actions `at` (B, K, A) at moments (B,), for vectors (B, W): (B, K, A)."""
        turns = moment[:, None] * self.angles  # (B, W / 2)
        h = x + self.enter(at.flatten(1)) + self.time(torch.cat([turns.sin(), turns.cos()], 1))
        return self.field(h).unflatten(1, self._shape)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (B, W) to normalised actions (B, K, A)."""
        at = self.start.expand(len(x), *self._shape)
        for k in range(self.steps):
            at = at + self.velocity(x, at, x.new_full((len(x),), k / self.steps)) / self.steps
        return at

    def loss(self, x: Tensor, wanted: Tensor, weight: Tensor, noise: Noise | None) -> Tensor:
        """Mean squared error of the velocity; without noise the mean absolute error of what it would do, comparable with regression's."""
        if noise is None:
            return (weight * (self(x) - wanted).abs()).sum() / weight.sum().clamp(min=1)
        way = wanted - noise.start
        at = noise.start + noise.moment[:, None, None] * way
        return (weight * (self.velocity(x, at, noise.moment) - way).square()).sum() / weight.sum().clamp(min=1)
