"""The photometric sets on tensors: torchvision's arithmetic, one draw a picture, masks that move with the pixels."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from augment.online import Photometric, apply, draw
from augment.photometric import SETS, Colour, Crop, PhotometricSet, Shift, Turn

NAMES = [name for name in SETS if name != "none"]


def pictures(batch: int = 3, cameras: int = 2, height: int = 48, width: int = 48) -> tuple[Tensor, Tensor]:
    """Smooth ones, so that resampling loses little."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.integers(0, 256, (batch * cameras, 3, 6, 6), np.uint8)).float()
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear").round().to(torch.uint8)
    masks = smooth[:, 0] > 140
    return smooth.view(batch, cameras, 3, height, width), masks.view(batch, cameras, height, width)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def once(operation: Colour | Crop | Turn | Shift, seed: int = 0, **size: int):
    """The pictures, the new ones and masks, and what was drawn, for one operation alone."""
    images, masks = (x.flatten(0, 1) for x in pictures(**size))
    of = PhotometricSet((operation,), "a test")
    draws = draw(of, torch.zeros(len(images), dtype=torch.bool), images.shape[-1] / images.shape[-2], seeded(seed))
    return images, masks, *apply(of, images, masks, draws), draws


@pytest.mark.parametrize(
    ("op", "theirs"),
    [
        ("brightness", tv.adjust_brightness),
        ("contrast", tv.adjust_contrast),
        ("saturation", tv.adjust_saturation),
        ("sharpness", tv.adjust_sharpness),
    ],
)
def test_a_colour_operation_is_torchvisions(op: str, theirs) -> None:
    images, _, new, _, draws = once(Colour(op, (0.5, 1.5)))
    for picture, got, amount in zip(images, new, draws.amounts[:, 0].tolist(), strict=True):
        wanted = theirs(picture.float() / 255, amount) * 255
        assert (got.float() - wanted).abs().max() < 0.51
    assert len(set(draws.amounts[:, 0].tolist())) == len(images)


def test_hue_is_torchvisions() -> None:
    images, _, new, _, draws = once(Colour("hue", (-0.4, 0.4)))
    for picture, got, amount in zip(images, new, draws.amounts[:, 0].tolist(), strict=True):
        assert (got.float() - tv.adjust_hue(picture.float() / 255, amount) * 255).abs().max() < 0.6


def test_saturation_in_hsv_is_that_of_colorsys() -> None:
    images, _, new, _, draws = once(Colour("hsv_saturation", (0.5, 1.5)))
    for k, y, x in np.ndindex(len(images), 6, 6):
        pixel = (images[k, :, 8 * y, 8 * x] / 255).tolist()
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        wanted = colorsys.hsv_to_rgb(hue, min(1.0, saturation * float(draws.amounts[k, 0])), value)
        assert np.abs(new[k, :, 8 * y, 8 * x].numpy() - 255 * np.array(wanted)).max() < 0.51


def test_a_turn_is_torchvisions_also_where_pictures_are_wide() -> None:
    images, _, new, _, draws = once(Turn(20.0), height=40, width=64)
    for picture, got, matrix in zip(images, new, draws.matrices[:, 0], strict=True):
        angle = float(torch.rad2deg(torch.atan2(matrix[1, 0] * 40 / 64, matrix[0, 0])))
        wanted = tv.rotate(picture.float(), -angle, tv.InterpolationMode.BILINEAR)
        other = tv.rotate(picture.float(), angle, tv.InterpolationMode.BILINEAR)
        assert min((got.float() - w)[:, 12:-12, 20:-20].abs().max() for w in (wanted, other)) < 1.0


def test_a_crop_is_torchvisions_crop_and_resize() -> None:
    images, masks = (x.flatten(0, 1) for x in pictures(height=50, width=50))
    of = PhotometricSet((Crop((0.64, 0.64)),), "a test")
    draws = draw(of, torch.zeros(len(images), dtype=torch.bool), 1.0, seeded(0))
    assert torch.allclose(draws.matrices[:, 0, 0, 0], torch.tensor(0.8))
    draws.matrices[:, 0, :2, 2] = torch.tensor([5, 2]) / 25 - 0.2  # whole pixels, as torchvision's
    new, _ = apply(of, images, masks, draws)
    wanted = tv.resized_crop(images.float(), 2, 5, 40, 40, [50, 50], antialias=False)
    assert (new.float() - wanted)[..., 1:-1, 1:-1].abs().max() < 0.6  # torchvision's rim repeats itself


@pytest.mark.parametrize("name", NAMES)
def test_masks_go_where_the_pixels_go(name: str) -> None:
    images, masks = pictures()
    white = masks[:, :, None].expand_as(images).to(torch.uint8) * 255
    moves = PhotometricSet(tuple(op for op in SETS[name].operations if not isinstance(op, Colour)), "a test")
    shown, moved = Photometric(moves)(white, masks, seeded(1))
    sure = (shown[:, :, 0] < 64) | (shown[:, :, 0] > 191)  # not between pixels
    assert torch.equal((shown[:, :, 0] > 127)[sure], moved[sure])
    assert not torch.equal(moved, masks)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_generator_draws_the_same_and_every_picture_its_own(name: str) -> None:
    images, masks = pictures()
    images, masks = images[:1, :1].expand(4, 2, -1, -1, -1), masks[:1, :1].expand(4, 2, -1, -1)
    first, again, other = (Photometric(SETS[name])(images, masks, seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    assert len({picture.numpy().tobytes() for picture in first[0].flatten(0, 1)}) == 8


@pytest.mark.parametrize(("name", "stays"), [("octo", True), ("pi0", True), ("openvla", False), ("lerobot", False)])
def test_cameras_on_the_robot_are_cropped_only_where_published(name: str, stays: bool) -> None:
    images, masks = pictures(batch=8)
    _, moved = Photometric(SETS[name], wrist=(False, True))(images, masks, seeded(0))
    assert torch.equal(moved[:, 1], masks[:, 1]) == stays
    assert not torch.equal(moved[:, 0], masks[:, 0])


def test_none_changes_nothing() -> None:
    images, masks = pictures()
    new, moved = Photometric(SETS["none"])(images, masks)
    assert torch.equal(new, images)
    assert torch.equal(moved, masks)


def test_lerobot_does_three_operations_a_picture() -> None:
    draws = draw(SETS["lerobot"], torch.zeros(600, dtype=torch.bool), 1.0, seeded(0))
    neutral = torch.tensor([1.0, 1.0, 1.0, 0.0, 1.0])
    coloured = draws.amounts[:, :5] != neutral
    affine = (draws.matrices[:, 5] != torch.eye(3)).flatten(1).any(1)
    assert torch.equal(affine, (draws.matrices[:, 6] != torch.eye(3)).flatten(1).any(1))
    assert set((coloured.sum(1) + affine).tolist()) == {3}
    assert torch.allclose(coloured.float().mean(0), torch.full((5,), 0.5), atol=0.08)


@pytest.mark.parametrize("name", NAMES)
def test_draws_fill_the_published_ranges(name: str) -> None:
    of = SETS[name]
    draws = draw(of, torch.zeros(2000, dtype=torch.bool), 1.0, seeded(0))
    for k, operation in enumerate(of.operations):
        if isinstance(operation, Colour):
            low, high = operation.amount
            drawn = draws.amounts[:, k]
            assert low - 1e-6 <= drawn.min() < low + 0.02 * (high - low)
            assert high - 0.02 * (high - low) < drawn.max() <= high + 1e-6
        elif isinstance(operation, Crop):
            area = draws.matrices[:, k, 0, 0] * draws.matrices[:, k, 1, 1]
            assert operation.area[0] - 0.05 <= area.min() <= area.max() <= operation.area[1] + 1e-6
            reach = draws.matrices[:, k, :2, 2].abs() + draws.matrices[:, k].diagonal(dim1=1, dim2=2)[:, :2]
            assert reach.max() <= 1 + 1e-5  # never beyond the picture
