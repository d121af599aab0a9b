"""The policy network: views and proprioception of each moment make a token; the history of tokens gives a chunk of actions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from policies.block import ResidualBlock
from policies.config import Actions, Head, PolicyConfig
from policies.encoders import open_encoder
from policies.head import Flow, Noise, Regression
from policies.jitter import Jitter
from policies.patches import Patches
from policies.stats import Stats
from policies.vit import scattered

GRASP = 5
"""Grasp point (3), cosine and sine of twice the yaw: a jaw is the same after half a turn."""


@dataclass(frozen=True)
class Batch:
    """B samples. Pictures are ordered by sample, moment (oldest first), camera. A = joints + gripper, K = chunk."""

    patches: Patches
    """Of B * C * V pictures."""
    proprio: Tensor
    """(B, C, A) [rad, opening]"""
    targets: Tensor
    """Absolute targets, (B, K, A)."""
    weight: Tensor
    """1 where a target is an expert's answer, (B, K)."""
    grasp: Tensor
    """(B, 5); anything where unknown."""
    grasp_known: Tensor
    """(B,) bool"""
    jitter: Jitter | None = None
    noise: Noise | None = None
    """What a flow is trained with."""


class _Normaliser(nn.Module):
    """The numbers of `Stats` as tensors that move with the network; saved as stats.json, not among the weights."""

    proprio_mean: Tensor
    proprio_std: Tensor
    action_mean: Tensor
    action_std: Tensor
    grasp_mean: Tensor
    grasp_std: Tensor

    def __init__(self, stats: Stats) -> None:
        super().__init__()
        for name, value in vars(stats).items():
            self.register_buffer(name, torch.from_numpy(value), persistent=False)


class PolicyNetwork(nn.Module):
    """Tensors inside: batched and, between its normalising edges, normalised.

    Args:
        config: its sizes.
        cameras: number of cameras.
        size: height and width of the pictures [px].
        joints: joints of the arm; they are what relative actions are relative to.
        gripper: values of the gripper.
        stats: means and spreads of the training data.
    """

    def __init__(self, config: PolicyConfig, cameras: int, size: tuple[int, int], joints: int, gripper: int, stats: Stats) -> None:
        super().__init__()
        self.config, self.joints, self.width = config, joints, joints + gripper
        width, dim = config.width, config.encoder.dim
        self.encoder = open_encoder(config.encoder, cameras, size)
        self.token = nn.Sequential(nn.Linear(cameras * dim + self.width, width), nn.GELU(), nn.Linear(width, width))
        self.moment = scattered(config.history, width, std=0.02)
        self.history = nn.ModuleList(_history_block(config) for _ in range(config.history_layers if config.history > 1 else 0))
        self.trunk = nn.Sequential(*(ResidualBlock(width) for _ in range(config.blocks)), nn.LayerNorm(width))
        self.head = (
            Regression(width, config.chunk, self.width)
            if config.head is Head.l1
            else Flow(width, config.chunk, self.width, blocks=config.flow_blocks, steps=config.flow_steps)
        )
        self.grasp = nn.Linear(width, GRASP)
        self.stats = _Normaliser(stats)

    def forward(self, views: Tensor, proprio: Tensor) -> tuple[Tensor, Tensor]:
        """Views (B, C, V, D) and raw proprioception (B, C, A) to normalised actions (B, K, A) and grasp (B, 5)."""
        x = self.think(views, proprio)
        return self.head(x), self.grasp(x)

    def dense(self) -> Iterator[nn.Module]:
        """The layers that work row by row, whatever is packed: what torch.compile can make code for once."""
        yield from (block.mlp for block in getattr(self.encoder, "blocks", ()))
        yield from (self.token, self.trunk)

    def think(self, views: Tensor, proprio: Tensor) -> Tensor:
        """Views (B, C, V, D) and raw proprioception (B, C, A) to the vectors that the heads read, (B, W)."""
        b, c = proprio.shape[:2]
        seen = torch.cat([views.reshape(b, c, -1), (proprio - self.stats.proprio_mean) / self.stats.proprio_std], -1)  # (B, C, V * D + A)
        x = self.token(seen) + self.moment  # (B, C, W)
        for layer in self.history:
            x = layer(x)
        return self.trunk(x[:, -1])

    def loss(self, batch: Batch, bfloat16: bool = False) -> tuple[Tensor, Tensor]:
        """Of the head on the normalised actions, and mean absolute error of the normalised grasp.

        bfloat16: for the encoder's matrix products.
        """
        b, c = batch.proprio.shape[:2]
        with torch.autocast(batch.proprio.device.type, torch.bfloat16, enabled=bfloat16):
            views = self.encoder.encode(batch.patches, batch.jitter).view(b, c, -1, self.config.encoder.dim)
        x = self.think(views, batch.proprio)
        grasp, targets = self.grasp(x), self.wanted(batch)
        loss = self.head.loss(x, targets, batch.weight[..., None].expand_as(targets), batch.noise)
        wanted = torch.where(batch.grasp_known[:, None], (batch.grasp - self.stats.grasp_mean) / self.stats.grasp_std, grasp.detach())
        return loss, functional.l1_loss(grasp, wanted)

    def wanted(self, batch: Batch) -> Tensor:
        """The targets of a batch as the network predicts them, normalised, (B, K, A)."""
        return (self._from_absolute(batch.targets, batch.proprio[:, -1]) - self.stats.action_mean) / self.stats.action_std

    def act(self, views: Tensor, proprio: Tensor) -> Tensor:
        """Views (B, C, V, D) and raw proprioception (B, C, A) to absolute targets (B, K, A)."""
        actions = self(views, proprio)[0] * self.stats.action_std + self.stats.action_mean
        if self.config.actions is Actions.absolute:
            return actions
        return torch.cat([actions[..., : self.joints] + proprio[:, -1, None, : self.joints], actions[..., self.joints :]], -1)

    def sample(self, patches: Patches, proprio: Tensor) -> Tensor:
        """Absolute targets (B, K, A) for the patches of B * C * V pictures."""
        b, c = proprio.shape[:2]
        return self.act(self.encoder.encode(patches).view(b, c, -1, self.config.encoder.dim), proprio)

    def _from_absolute(self, targets: Tensor, present: Tensor) -> Tensor:
        if self.config.actions is Actions.absolute:
            return targets
        return torch.cat([targets[..., : self.joints] - present[:, None, : self.joints], targets[..., self.joints :]], -1)


def _history_block(config: PolicyConfig) -> nn.TransformerEncoderLayer:
    """Attention among the moments of the history, then an MLP, each on normalised input and added."""
    wide = config.history_ratio * config.width
    return nn.TransformerEncoderLayer(
        config.width, config.history_heads, wide, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
