"""Forms that pool a mean by their definition: every patch is computed, under an attention mask. Slow; the encoder is tested against it."""

from __future__ import annotations

import torch
from torch import Tensor

from policies.config import Pooling
from policies.edge import relief
from policies.encoder import Encoder
from policies.patches import look, split
from policies.rule import shares

EVERYWHERE = (Pooling.mean, Pooling.channel)
"""Forms whose mean is over all tokens, whatever the mask says."""


def encode_masked(encoder: Encoder, images: Tensor, masks: Tensor) -> Tensor:
    """What `encoder` gives for (B, V, 3, H, W) u8 and (B, V, H, W) bool, with all patches computed: (B, V, D).

    Where patches are dropped, those of the object and the others never attend to each other; the mean is over the object's tokens.
    For every form but cls and attention.
    """
    b, v = images.shape[:2]
    camera = torch.arange(v, device=images.device).repeat(b)
    config, keep = encoder.config, encoder.form.keep
    flat, seen, silhouette = look(images.flatten(0, 1), masks.flatten(0, 1), keep)
    patches = split(flat, seen, silhouette, camera, config.patch, None, relief(seen, config.patch, config.masking))
    share = shares(patches.mask, patches.picture, b * v, config.rule).view(b * v, -1)  # (S, G)
    touched = share > 0
    x = encoder.embed(patches).view(b * v, touched.shape[1], -1)  # (S, G, D)
    together = touched[:, :, None] == touched[:, None, :]  # (S, G, G)
    mask = (together if keep.sparse else torch.ones_like(together))[:, None]  # (S, 1, G, G)
    for block in encoder.blocks:
        x = block.masked(x, mask)  # pyright: ignore[reportCallIssue]
    x = encoder.norm(x)
    if config.pooling in EVERYWHERE:
        return x.mean(1).view(b, v, -1)
    total = (x * share[..., None]).sum(1)  # (S, D)
    mean = total / share.sum(1).clamp(min=1e-9)[:, None]
    pooled = torch.where(touched.any(1)[:, None], mean, encoder.pooling.absent[camera])  # pyright: ignore[reportAttributeAccessIssue]
    return encoder.outline(pooled, patches).view(b, v, -1)
