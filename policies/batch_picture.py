"""What the network sees of a batch, for people to look at: kept patches on grey, as they were and in the colours of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from policies.jitter import normalised
from policies.network import Batch
from policies.patches import Keep, grid

GREY = 128
OUTLINE = (255, 60, 200)
"""Colour of the mask's border."""
GAP = 2
"""Between pictures [px]."""


def draw_batch(
    batch: Batch, size: tuple[int, int], patch: int, keep: Keep, *, blank: bool = False, samples: int = 8, scale: int = 2
) -> np.ndarray:
    """A picture (H, W, 3) u8: one column a sample, and in it, for each moment and camera, the patches as they were above those in training.

    Args:
        batch: as drawn for training, on the CPU.
        size: height and width of the pictures [px].
        patch: side of a patch [px].
        keep: which patches are kept.
        blank: whether the network sees nothing outside the mask.
        samples: most columns.
        scale: of the pictures.
    """
    patches, b = batch.patches, len(batch.proprio)
    pictures = len(patches.lengths) // b
    rows, columns = grid(size, patch, keep)
    plain = patches.pixels.numpy()
    changed = ((normalised(patches, batch.jitter) + 2) * (255 / 4)).round().clamp(0, 255).to(torch.uint8).numpy()
    ends = np.cumsum(patches.lengths.numpy())
    strips = []
    for sample in range(min(samples, b)):
        tiles = []
        for picture in range(sample * pictures, (sample + 1) * pictures):
            mine = slice(int(ends[picture] - patches.lengths[picture]), int(ends[picture]))
            where, mask = patches.index[mine].numpy(), patches.mask[mine].numpy()
            # what was not kept is as if inside, or the border of a patch would look like the mask's
            known = _lay(np.ones_like(mask)[:, None], where, rows, columns, patch, 0)[..., 0] > 0
            outline = _enlarge(_edge(_lay(mask[:, None], where, rows, columns, patch, 1)[..., 0] > 0) & known, scale)
            for pixels in (plain[mine], np.where(mask[:, None] | (not blank), changed[mine], np.uint8(GREY))):
                tile = _enlarge(_lay(pixels, where, rows, columns, patch, GREY), scale)
                tile[outline] = OUTLINE
                tiles.append(tile)
        strips.append(_stack(tiles, 0))
    return _stack(strips, 1)


def save_batch(path: Path, image: np.ndarray) -> None:
    """Writes it as JPEG."""
    Image.fromarray(image).save(path, quality=92)


def _lay(values: np.ndarray, where: np.ndarray, rows: int, columns: int, patch: int, background: int) -> np.ndarray:
    """Patches (N, C, p * p) at their places in a picture (H, W, C)."""
    channels = values.shape[1]
    canvas = np.full((rows * columns, channels, patch * patch), background, np.uint8)
    canvas[where] = values
    laid = canvas.reshape(rows, columns, channels, patch, patch).transpose(0, 3, 1, 4, 2)  # (rows, p, columns, p, C)
    return np.ascontiguousarray(laid.reshape(rows * patch, columns * patch, channels))


def _edge(mask: np.ndarray) -> np.ndarray:
    """Pixels of a mask (H, W) that have a neighbour outside it."""
    padded = np.pad(mask, 1, constant_values=True)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def _enlarge(image: np.ndarray, scale: int) -> np.ndarray:
    return image.repeat(scale, 0).repeat(scale, 1)


def _stack(images: list[np.ndarray], axis: int) -> np.ndarray:
    """One beside another, with a white gap."""
    shape = list(images[0].shape)
    shape[axis] = GAP
    gap = np.full(shape, 255, np.uint8)
    return np.concatenate([x for image in images for x in (image, gap)][:-1], axis)
