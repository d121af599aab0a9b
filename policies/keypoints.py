"""Whole pictures by convolutions and a spatial softmax: where each channel is brightest.

The visual encoder that imitation learning has used for years (Levine et al., JMLR 2016; Finn et al., ICRA 2016), here the baseline that
"Shortcut Learning in Generalist Robot Policies" calls DP. It computes every pixel and, unlike a transformer, the same features everywhere.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from policies.config import EncoderConfig
from policies.form import FORMS
from policies.jitter import Jitter, normalised
from policies.patches import Patches, cut, grid
from policies.vit import scattered


class KeypointEncoder(nn.Module):
    """Five convolutions, each channel's expected place, one linear layer. Reads `dim` and `patch` of its configuration.

    Args:
        config: about dim / 8, dim / 4 and dim / 2 channels at a half, a quarter and an eighth of the size of the picture.
        cameras: number of cameras; each has an embedding of its own.
        size: height and width of the pictures [px].
    """

    def __init__(self, config: EncoderConfig, cameras: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.config, self.form = config, FORMS[config.pooling]
        self.grid = grid(size, config.patch, self.form.keep)
        narrow, middle, wide = (max(config.dim // 32, 1) * n for n in (4, 8, 16))
        self.convolutions = nn.Sequential(
            _convolution(4 if self.form.channel else 3, narrow, stride=2, kernel=5),
            _convolution(narrow, middle, stride=2),
            _convolution(middle, middle),
            _convolution(middle, wide, stride=2),
            _convolution(wide, wide),
        )
        self.embedding = nn.Linear(2 * wide, config.dim)
        self.camera = scattered(cameras, config.dim, std=0.1)

    def forward(self, images: Tensor, masks: Tensor) -> Tensor:
        """Pictures (B, V, 3, H, W) u8 and masks (B, V, H, W) bool to (B, V, D)."""
        b, v = images.shape[:2]
        camera = torch.arange(v, device=images.device).repeat(b)
        patches = cut(images.flatten(0, 1), masks.flatten(0, 1), camera, self.config.patch, self.form.keep)
        return self.encode(patches).view(b, v, -1)

    def encode(self, patches: Patches, jitter: Jitter | None = None) -> Tensor:
        """The vector of each picture, (S, D)."""
        with torch.autocast(patches.pixels.device.type, enabled=False):
            x = normalised(patches, jitter)  # (N, 3, pp)
            if self.form.channel:
                x = torch.cat([x, patches.mask[:, None].float()], 1)
        (rows, columns), p = self.grid, self.config.patch
        x = x.view(len(patches.lengths), rows, columns, -1, p, p).permute(0, 3, 1, 4, 2, 5)  # (S, 3, rows, p, columns, p)
        x = x.reshape(len(patches.lengths), -1, rows * p, columns * p)
        places = spatial_softmax(self.convolutions(x.contiguous(memory_format=torch.channels_last)).float())  # (S, 2 * wide)
        return self.embedding(places) + self.camera[patches.camera]


def spatial_softmax(maps: Tensor) -> Tensor:
    """Expected place of each channel of (S, C, H, W), as x and y from -1 to 1: (S, 2 C), all x before all y."""
    height, width = maps.shape[2:]
    share = maps.flatten(2).softmax(-1)
    x = torch.linspace(-1, 1, width, device=maps.device).repeat(height)
    y = torch.linspace(-1, 1, height, device=maps.device).repeat_interleave(width)
    return torch.cat([share @ x, share @ y], -1)


def _convolution(inside: int, outside: int, *, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """Convolution, group normalisation, ReLU."""
    convolution = nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(4, outside), nn.ReLU())
