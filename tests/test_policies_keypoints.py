"""Laws of the convolutional baseline: it finds what is bright where it is, and sees the mask only where it says so."""

from __future__ import annotations

import pytest
import torch

from policies.config import EncoderConfig, Pooling
from policies.encoder import Encoder
from policies.encoders import open_encoder
from policies.errors import PolicyError
from policies.keypoints import KeypointEncoder, spatial_softmax

SIZE = 64


def encoder(pooling: Pooling) -> KeypointEncoder:
    torch.manual_seed(0)
    model = open_encoder(EncoderConfig(pooling, patch=16, dim=32), cameras=2, size=(SIZE, SIZE))
    assert isinstance(model, KeypointEncoder)
    return model


@pytest.mark.parametrize(("row", "column"), [(0, 0), (3, 1), (4, 6)])
def test_a_single_bright_place_is_where_the_softmax_says(row: int, column: int) -> None:
    maps = torch.full((1, 1, 5, 7), -50.0)
    maps[0, 0, row, column] = 50.0
    x, y = spatial_softmax(maps)[0].tolist()
    assert x == pytest.approx(-1 + column / 3)
    assert y == pytest.approx(-1 + row / 2)


def test_a_flat_map_is_in_the_middle() -> None:
    assert spatial_softmax(torch.zeros(2, 3, 8, 8)).abs().max() < 1e-6


def test_channels_keep_their_places_when_more_join() -> None:
    maps = torch.randn(2, 4, 6, 6)
    places, fewer = spatial_softmax(maps).view(2, 2, 4), spatial_softmax(maps[:, :3]).view(2, 2, 3)
    assert torch.allclose(places[:, :, :3], fewer, atol=1e-6)


@pytest.mark.parametrize(("pooling", "sees"), [(Pooling.keypoints, False), (Pooling.keypoints_channel, True)])
def test_the_mask_matters_only_as_a_channel(pooling: Pooling, sees: bool) -> None:
    model = encoder(pooling)
    images = torch.randint(0, 256, (2, 2, 3, SIZE, SIZE), dtype=torch.uint8)
    masks = torch.zeros(2, 2, SIZE, SIZE, dtype=torch.bool)
    other = masks.clone()
    other[:, :, 10:30, 10:30] = True
    assert torch.equal(model(images, masks), model(images, other)) is not sees


def test_the_picture_is_put_together_again_as_it_was() -> None:
    """Moving everything by one patch moves the places that are found by as much: patches in the wrong order would not."""
    model = encoder(Pooling.keypoints)
    seen = []
    model.convolutions.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    image = torch.randint(0, 256, (1, 1, 3, SIZE, SIZE), dtype=torch.uint8)
    model(image, torch.zeros(1, 1, SIZE, SIZE, dtype=torch.bool))
    assert torch.allclose(seen[0], image[0].float() * (4 / 255) - 2)


def test_the_transformer_refuses_what_has_no_tokens() -> None:
    with pytest.raises(PolicyError, match="no tokens"):
        Encoder(EncoderConfig(Pooling.keypoints), cameras=1, size=(SIZE, SIZE))
