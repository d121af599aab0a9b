"""Weights of a vision transformer from a file: of another picture size they fit, of another network they are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from augment.diagnose.features import load_weights
from augment.errors import AugmentError


def network(size: int, depth: int = 2, name: str = "vit_tiny_patch16_224") -> Any:
    torch.manual_seed(size)
    return timm.create_model(name, pretrained=False, num_classes=0, img_size=size, depth=depth).eval()


def written(path: Path, weights: dict[str, torch.Tensor]) -> Path:
    save_file({key: value.contiguous() for key, value in weights.items()}, path)
    return path


def test_weights_made_for_larger_pictures_are_loaded(tmp_path: Path) -> None:
    large, small = network(96), network(32)
    load_weights(small, written(tmp_path / "large.safetensors", large.state_dict()), "tiny")
    assert torch.equal(small.blocks[1].mlp.fc1.weight, large.blocks[1].mlp.fc1.weight)
    assert small.pos_embed.shape[1] == 1 + 4
    assert torch.equal(small.pos_embed[:, 0], large.pos_embed[:, 0])  # the class token has no place


def test_weights_of_the_same_size_give_the_same_features(tmp_path: Path) -> None:
    one, other = network(32), network(32)
    torch.nn.init.normal_(one.pos_embed)
    load_weights(other, written(tmp_path / "w.safetensors", one.state_dict()), "tiny")
    picture = torch.randn(1, 3, 32, 32)
    assert torch.equal(one(picture), other(picture))


def test_what_is_none_of_its_weights_is_refused_by_name(tmp_path: Path) -> None:
    short = written(tmp_path / "short.safetensors", network(32, depth=1).state_dict())
    with pytest.raises(AugmentError, match=r"lacks .* of the weights of tiny"):
        load_weights(network(32), short, "tiny")
    wide = written(tmp_path / "wide.safetensors", network(32, name="vit_small_patch16_224").state_dict())
    with pytest.raises(AugmentError, match="does not hold weights of tiny"):
        load_weights(network(32), wide, "tiny")
    (tmp_path / "noise.safetensors").write_bytes(b"not tensors at all")
    with pytest.raises(AugmentError, match="does not hold weights of tiny"):
        load_weights(network(32), tmp_path / "noise.safetensors", "tiny")
