"""Boxes hold their mask, and crops hold the box at one size."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from policies.box import CROP, MARGIN, boxed, cropped

SIZE = 96


def rectangle(top: int, bottom: int, left: int, right: int) -> Tensor:
    mask = torch.zeros(1, SIZE, SIZE, dtype=torch.bool)
    mask[0, top:bottom, left:right] = True
    return mask


def test_a_box_is_the_smallest_that_holds_the_mask() -> None:
    mask = torch.zeros(2, SIZE, SIZE, dtype=torch.bool)
    mask[0, 10, 40] = mask[0, 30, 20] = mask[0, 17, 25] = True
    boxes = boxed(mask)
    assert torch.equal(boxes[:1], rectangle(10, 31, 20, 41))
    assert not boxes[1].any()
    assert torch.equal(boxed(boxes), boxes)


@pytest.mark.parametrize("place", [(30, 60, 35, 55), (0, 30, 0, 12), (80, 96, 10, 40), (0, 96, 0, 96), (50, 51, 50, 51)])
def test_a_crop_shows_its_object_whole_with_a_margin(place: tuple[int, int, int, int]) -> None:
    mask = rectangle(*place)
    crop, seen = cropped(mask[:, None].expand(-1, 3, -1, -1) * torch.tensor(255, dtype=torch.uint8), mask)
    assert crop.shape == (1, 3, CROP, CROP)
    assert crop.dtype == torch.uint8
    assert seen.all()
    longest = max(place[1] - place[0], place[3] - place[2])
    side = min(max((1 + 2 * MARGIN) * longest, CROP / 4), SIZE)
    share = (crop.float() / 255).mean() * side**2  # px of the picture that the object fills
    assert share.item() == pytest.approx(mask.sum().item(), rel=0.03)


def test_a_crop_of_the_size_of_crops_is_the_picture_itself() -> None:
    images = torch.randint(0, 256, (1, 3, CROP, CROP), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    crop, _ = cropped(images, torch.ones(1, CROP, CROP, dtype=torch.bool))
    assert torch.equal(crop, images)


def test_nothing_seen_is_said() -> None:
    _, seen = cropped(torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8), torch.cat([rectangle(0, 0, 0, 0), rectangle(3, 5, 3, 5)]))
    assert seen.flatten(1).any(1).tolist() == [False, True]
    assert seen.flatten(1).all(1).tolist() == [False, True]
