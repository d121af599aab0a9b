"""Laws of what a mask says by itself."""

from __future__ import annotations

import torch
from torch import Tensor

from policies.patches import Keep, cut, thin
from policies.silhouette import NUMBERS, Silhouette, measure

SIZE = 48
PLACES = [1, 2, 5], [3, 4, 6]
"""Numbers that tell a place in x, and in y."""


def blob(seed: int = 0) -> Tensor:
    """A blot away from the borders, (H, W) bool."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    mask[14:34, 12:30] = torch.rand(20, 18, generator=generator) < 0.4
    return mask


def test_nothing_seen_is_all_zeros_and_adds_nothing():
    numbers = measure(torch.zeros(2, SIZE, SIZE, dtype=torch.bool))
    assert numbers.shape == (2, NUMBERS)
    assert not numbers.any()
    assert not Silhouette(8, 2)(numbers, torch.tensor([0, 1])).any()


def test_moving_a_mask_moves_its_places_and_nothing_else():
    mask = blob()
    before, after = measure(torch.stack([mask, mask.roll((5, -7), (0, 1))]))
    shift = torch.zeros(NUMBERS)
    shift[PLACES[0]], shift[PLACES[1]] = -7 * 2 / SIZE, 5 * 2 / SIZE
    assert torch.allclose(after - before, shift, atol=1e-5)


def test_mirroring_swaps_left_and_right_and_turns_the_direction_round():
    mask = blob()
    it, mirrored = measure(torch.stack([mask, mask.flip(1)]))
    expected = it.clone()
    expected[1], expected[2], expected[5], expected[10] = -it[2], -it[1], -it[5], -it[10]
    assert torch.allclose(mirrored, expected, atol=1e-5)


def test_a_diagonal_bar_points_along_its_diagonal():
    bar = torch.eye(SIZE, dtype=torch.bool)
    down, up = measure(torch.stack([bar, bar.flip(1)]))
    assert down[10] > 0.99
    assert up[10] < -0.99
    assert abs(down[9]) < 1e-5


def test_enlarging_a_picture_changes_nothing_but_what_a_pixel_is_worth():
    mask = blob()
    large = mask.repeat_interleave(4, 0).repeat_interleave(4, 1)
    assert (measure(mask[None]) - measure(large[None])).abs().max() < 2 / SIZE


def test_leaving_patches_out_leaves_it_alone():
    masks = torch.stack([blob(1), blob(2)])
    patches = cut(torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8), masks, torch.zeros(2, dtype=torch.int64), 8, Keep.OBJECT)
    assert torch.equal(thin(patches, 3).silhouette, measure(masks))
