"""Detection pooling by its definition: every patch is computed, under an attention mask. Slow; the encoder is tested against it."""

from __future__ import annotations

import torch
from torch import Tensor

from policies.encoder import Encoder
from policies.patches import Keep, cut


def encode_masked(encoder: Encoder, images: Tensor, masks: Tensor) -> Tensor:
    """What `encoder` gives for (B, V, 3, H, W) u8 and (B, V, H, W) bool, with all patches computed: (B, V, D).

    Object patches and the others never attend to each other; the mean is over the object's tokens.
    """
    b, v = images.shape[:2]
    camera = torch.arange(v, device=images.device).repeat(b)
    patches = cut(images.flatten(0, 1), masks.flatten(0, 1), camera, encoder.config.patch, Keep.ALL)
    touched = patches.mask.any(-1).view(b * v, -1)  # (S, G)
    x = encoder.embed(patches).view(b * v, touched.shape[1], -1)  # (S, G, D)
    mask = (touched[:, :, None] == touched[:, None, :])[:, None]  # (S, 1, G, G)
    for block in encoder.blocks:
        x = block.masked(x, mask)  # pyright: ignore[reportCallIssue]
    x = encoder.norm(x)
    total = (x * touched[..., None]).sum(1)  # (S, D)
    mean = total / touched.sum(1).clamp(min=1)[:, None]
    pooled = torch.where(touched.any(1)[:, None], mean, encoder.pooling.absent[camera])  # pyright: ignore[reportAttributeAccessIssue]
    return encoder.outline(pooled, patches).view(b, v, -1)
