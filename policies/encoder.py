"""Pictures and masks to one vector per view."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from policies.attention import Kernel, Layout, fastest, make_layout
from policies.config import EncoderConfig, Masking
from policies.edge import values
from policies.errors import PolicyError
from policies.form import FORMS
from policies.jitter import Jitter, normalised
from policies.patches import Patches, cut, grid, thin
from policies.pooling import PoolingModule
from policies.silhouette import Silhouette
from policies.vit import Block, scattered, sincos


def few_shapes(device: torch.device) -> int:
    """Numbers of tokens are rounded up to multiples of this: oneDNN, which multiplies bfloat16, compiles code for every number it meets."""
    return 128 if device.type == "cpu" and torch.is_autocast_enabled("cpu") else 1


class Encoder(nn.Module):
    """A vision transformer over the kept patches of each picture, and a pooling.

    Args:
        config: its size and pooling.
        cameras: number of cameras; each has an embedding of its own.
        size: height and width of the pictures [px].
    """

    def __init__(self, config: EncoderConfig, cameras: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.config, self.form = config, FORMS[config.pooling]
        self.kernel: Kernel | None = None
        """How attention is computed; None: as is fastest on the device."""
        if self.form.pool is None:
            raise PolicyError(f"pooling={config.pooling.value} has no tokens; open_encoder makes its encoder")
        rows, columns = grid(size, config.patch, self.form.keep)
        self.blank = self.form.keep.sparse and config.masking is not Masking.patch
        channels = 5 if self.blank and config.masking is Masking.edge else 4 if self.blank or self.form.channel else 3
        self.embedding = nn.Linear(channels * config.patch**2, config.dim)
        self.position = nn.Parameter(torch.empty(rows * columns, config.dim))  # (G, D), learned from a sine-cosine embedding on
        if not self.position.is_meta:  # a network without memory only tells its shapes
            self.position.data = sincos(rows, columns, config.dim)
        self.camera = scattered(cameras, config.dim, std=0.1)
        self.blocks = nn.ModuleList(Block(config.dim, config.heads) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.dim)
        self.pooling: PoolingModule = self.form.pool(config, cameras)
        self.silhouette = Silhouette(config.dim, cameras) if config.silhouette and self.form.outlined else None

    def forward(self, images: Tensor, masks: Tensor) -> Tensor:
        """Pictures (B, V, 3, H, W) u8 and masks (B, V, H, W) bool to (B, V, D)."""
        b, v = images.shape[:2]
        return self.encode(self.cut(images, masks)).view(b, v, -1)

    def cut(self, images: Tensor, masks: Tensor) -> Patches:
        """The kept patches of (B, V, 3, H, W) u8, at most `cap` a picture where they are sparse, as in use."""
        b, v = images.shape[:2]
        camera = torch.arange(v, device=images.device).repeat(b)
        patches = cut(
            images.flatten(0, 1), masks.flatten(0, 1), camera, self.config.patch, self.form.keep, self.config.rule, self.config.masking
        )
        return thin(patches, self.config.cap) if self.form.keep.sparse else patches

    def encode(self, patches: Patches, jitter: Jitter | None = None) -> Tensor:
        """The vector of each picture, (S, D)."""
        with torch.autocast(patches.pixels.device.type, enabled=False):  # cheap, and pixels stay exact
            x = self.embed(patches, jitter)  # (N, D)
        others = self.others(patches.camera)
        kernel = self.kernel or fastest(x.device, x.shape[1])
        layout = make_layout(patches.lengths, extra=len(others), multiple=few_shapes(x.device), kernel=kernel)
        if others or layout.filler:
            x = torch.cat([x, *others, x.new_zeros(layout.filler, x.shape[1])])
        x = self.think(x, layout, patches)
        return self.outline(self.pooling(x.float(), layout, patches), patches)  # (S, D)

    def others(self, camera: Tensor) -> list[Tensor]:
        """Tokens (S, D) beside the patches of each picture."""
        prefix = self.pooling.prefix(camera)
        return [] if prefix is None else [prefix]

    def think(self, x: Tensor, layout: Layout, patches: Patches) -> Tensor:
        """Tokens (N + filler, D) through all blocks, normalised."""
        for block in self.blocks:
            x = block(x, layout)
        return self.norm(x)

    def outline(self, pooled: Tensor, patches: Patches) -> Tensor:
        """Pooled vectors (S, D), and what the masks say by themselves where that is wanted."""
        return pooled if self.silhouette is None else pooled + self.silhouette(patches.silhouette, patches.camera)

    def embed(self, patches: Patches, jitter: Jitter | None = None) -> Tensor:
        """Patches to tokens (N, D)."""
        picture = patches.picture
        x = normalised(patches, jitter)  # (N, 3, pp)
        if self.blank or self.form.channel:
            inside = patches.mask[:, None].float()  # (N, 1, pp)
            x = torch.cat([x.mul_(inside) if self.blank else x, *self._shape(patches, inside)], 1)
        return self.embedding(x.flatten(1)) + self.position[patches.index] + self.camera[patches.camera][picture]

    def _shape(self, patches: Patches, inside: Tensor) -> list[Tensor]:
        """The mask's channels (N, 1, pp)."""
        masking = self.config.masking
        if not self.blank or masking is Masking.pixel:
            return [inside]
        if patches.relief is None:
            raise PolicyError(f"masking={masking.value}: these patches were cut without its channel")
        relief = values(patches.relief)[:, None]
        return [inside, relief] if masking is Masking.edge else [relief]
