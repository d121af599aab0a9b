"""Patches are the pixels at their place, and thinning is fair."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from policies.bits import pack, unpack
from policies.patches import Keep, cut, thin


def test_patches_hold_the_pixels_of_their_place() -> None:
    images = torch.arange(3 * 8 * 12, dtype=torch.int64).remainder(256).to(torch.uint8).view(1, 3, 8, 12)
    masks = torch.zeros(1, 8, 12, dtype=torch.bool)
    masks[0, 5, 9] = True  # one pixel, in row 1, column 2 of a grid of 2 x 3
    patches = cut(images, masks, torch.tensor([0]), 4, Keep.OBJECT)
    assert patches.index.tolist() == [5]
    assert torch.equal(patches.pixels[0].view(3, 4, 4), images[0, :, 4:, 8:])
    assert torch.equal(patches.mask[0].view(4, 4), masks[0, 4:, 8:])
    assert cut(images, masks, torch.tensor([0]), 4, Keep.ALL).index.tolist() == [0, 1, 2, 3, 4, 5]


def test_thinning_keeps_whole_small_pictures_and_the_chosen_of_large_ones() -> None:
    masks = torch.zeros(3, 32, 32, dtype=torch.bool)
    masks[0] = True
    masks[2, :4, :8] = True
    patches = cut(torch.zeros(3, 3, 32, 32, dtype=torch.uint8), masks, torch.arange(3), 4, Keep.OBJECT)
    assert patches.lengths.tolist() == [64, 0, 2]
    priority = torch.rand(66, generator=torch.Generator().manual_seed(0))
    thinned = thin(patches, 10, priority)
    assert thinned.lengths.tolist() == [10, 0, 2]
    assert sorted(thinned.index[:10].tolist()) == sorted(torch.argsort(priority[:64])[:10].tolist())
    assert thinned.index[10:].tolist() == [0, 1]
    assert thin(patches, 0) is patches
    assert thin(patches, 10).index.tolist() == thin(patches, 10).index.tolist()


def test_fixed_thinning_prefers_the_same_places_in_every_picture() -> None:
    masks = torch.zeros(2, 32, 32, dtype=torch.bool)
    masks[0] = True
    masks[1, :, 4:] = True
    patches = thin(cut(torch.zeros(2, 3, 32, 32, dtype=torch.uint8), masks, torch.arange(2), 4, Keep.OBJECT), 20)
    first, second = set(patches.index[:20].tolist()), set(patches.index[20:].tolist())
    assert {i for i in first if i % 8} <= second


@pytest.mark.parametrize("n", [1, 7, 8, 25, 256])
def test_bits_are_those_of_numpy_and_give_the_mask_back(n: int) -> None:
    pixels = torch.rand(5, n, generator=torch.Generator().manual_seed(n)) > 0.5
    bits = pack(pixels)
    assert np.array_equal(bits.numpy(), np.packbits(pixels.numpy(), axis=-1))
    assert torch.equal(unpack(bits, n), pixels)
