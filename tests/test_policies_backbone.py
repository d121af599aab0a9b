"""Pretrained backbones: the same numbers as timm's own model, and what is trained of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from policy_world import SIZE, tiny_observation, tiny_policy, tiny_train, write_dataset
from safetensors.torch import save_file

from policies import load_policy
from policies.backbone import PretrainedEncoder, load_backbone, resolve
from policies.config import EncoderConfig, Masking, PolicyConfig, Pooling, Tune
from policies.encoders import open_encoder
from policies.errors import PolicyError
from policies.lora import Lora
from policies.patches import Keep, cut
from policies.train import run

timm = pytest.importorskip("timm")
KINDS = {
    "class token": "test_vit",
    "a register": "test_vit2",
    "another norm": "test_vit4",
    "class token, registers, rotary": "vit_small_patch16_dinov3",
}
SIDE = 64


def published(name: str, folder: Path, size: int = SIDE) -> Path:
    """Random weights of a model as timm publishes them."""
    torch.manual_seed(3)
    model = timm.create_model(name, pretrained=False, num_classes=0, img_size=size)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module", params=KINDS.values(), ids=str)
def weights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return request.param, published(request.param, tmp_path_factory.mktemp("weights"))


def opened(name: str, where: Path, **changes: object) -> PretrainedEncoder:
    config = resolve(EncoderConfig(backbone=name, silhouette=False, **changes), (SIDE, SIDE))  # pyright: ignore[reportArgumentType]
    encoder = open_encoder(config, 2, (SIDE, SIDE))
    assert isinstance(encoder, PretrainedEncoder)
    load_backbone(encoder, str(where), (SIDE, SIDE))
    return encoder.eval()


def pictures(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (2, 2, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    masks = torch.zeros(2, 2, SIDE, SIDE, dtype=torch.bool)
    masks[0, 0, 10:30, 5:40] = True
    masks[0, 1, 7, 7] = True
    masks[1, 0] = True
    return images, masks


def test_over_whole_pictures_it_is_timms_own_model(weights: tuple[str, Path]) -> None:
    name, where = weights
    model = timm.create_model(
        name,
        pretrained=True,
        num_classes=0,
        global_pool="",
        img_size=SIDE,
        pretrained_cfg_overlay={"file": str(where / "model.safetensors")},
    )
    mean, std = (torch.tensor(model.pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    images, masks = pictures()
    with torch.no_grad():
        tokens = model.eval().forward_features((images.flatten(0, 1) / 255 - mean) / std)
        want = tokens[:, model.num_prefix_tokens :].mean(1)
        got = opened(name, where, pooling=Pooling.mean)(images, masks).flatten(0, 1)
    assert (got - want).abs().max() < 2e-4 * want.abs().max()
    if model.cls_token is not None:
        with torch.no_grad():
            got = opened(name, where, pooling=Pooling.cls)(images, masks).flatten(0, 1)
        assert (got - tokens[:, 0]).abs().max() < 2e-4 * tokens.abs().max()


def test_detection_pooling_is_timms_model_with_the_other_patches_masked_away(weights: tuple[str, Path]) -> None:
    name, where = weights
    encoder = opened(name, where, masking=Masking.patch, cap=0)
    images, masks = pictures()
    with torch.no_grad():
        got = encoder(images, masks).flatten(0, 1)
        flat = encoder.cut(images, masks)
        every = cut(images.flatten(0, 1), masks.flatten(0, 1), flat.camera, encoder.config.patch, Keep.ALL)
        x = encoder.embed(every).view(4, -1, encoder.config.dim)
        touched = masks.flatten(0, 1).unfold(1, 16, 16).unfold(2, 16, 16).flatten(3).any(3).flatten(1)  # (S, G)
        own, one = encoder.extra.expand(4, -1, -1), replace(every, index=every.index[: x.shape[1]])
        keys = torch.cat([touched, touched.new_ones(4, len(encoder.extra))], 1)[:, None, None]
        options = {"attn_mask": keys}
        if encoder.rope is not None:
            options["rope"] = encoder._turns(torch.empty(x.shape[1] + len(encoder.extra), 1), one)[None, None]
        y = encoder.before(torch.cat([x, own], 1))
        for block in encoder.blocks:
            y = block(y, **options)
        y = encoder.norm(y)[:, : x.shape[1]]
    seen = touched.any(1)
    want = (y * touched[..., None]).sum(1) / touched.sum(1).clamp(min=1)[:, None]
    assert seen.tolist() == [True, True, True, False]
    assert (got - want)[seen].abs().max() < 1e-4 * want.abs().max()


@pytest.mark.parametrize("tune", list(Tune))
def test_what_is_frozen_stays_and_the_rest_learns(tune: Tune, tmp_path: Path) -> None:
    name = KINDS["class token"]
    where, data = published(name, tmp_path / "weights", SIZE), write_dataset(tmp_path / "data")
    encoder = EncoderConfig(backbone=name, tune=tune, tune_blocks=1, rank=4, cap=12)
    cfg = tiny_train(data, tmp_path / "run", policy=tiny_policy(encoder=encoder), steps=3, weights=str(where))
    done = run(cfg)
    assert np.isfinite(done["validation_loss"])
    policy = load_policy(tmp_path / "run")
    trained = policy._network.encoder
    assert isinstance(trained, PretrainedEncoder)
    fresh = PretrainedEncoder(trained.config, 2, (SIZE, SIZE))
    load_backbone(fresh, str(where), (SIZE, SIZE))
    before = dict(fresh.pretrained())
    moved = {key for key, value in trained.pretrained() if not torch.equal(value, before[key])}
    last = len(trained.blocks) - 1
    if tune is Tune.all:
        assert any(key.startswith("blocks.0.") for key in moved)
    elif tune is Tune.last:
        assert moved
        assert all(key.startswith((f"blocks.{last}.", "norm.")) for key in moved)
    else:
        assert not moved
    if tune is Tune.lora:
        assert any(bool(module.up.weight.any()) for module in trained.modules() if isinstance(module, Lora))
    policy.reset("")
    assert np.isfinite(policy.predict(tiny_observation(np.random.default_rng(0))).qpos).all()


def test_a_frozen_backbone_goes_on_after_a_stop(tmp_path: Path) -> None:
    name = KINDS["class token"]
    where, data = published(name, tmp_path / "weights", SIZE), write_dataset(tmp_path / "data")
    policy = tiny_policy(encoder=EncoderConfig(backbone=name, tune=Tune.lora, cap=12))
    whole = tiny_train(data, tmp_path / "whole", policy=policy, steps=6, checkpoint_steps=3, weights=str(where))
    a = run(whole)
    for late in (tmp_path / "whole" / "checkpoints").glob("*6"):
        for file in late.iterdir():
            file.unlink()
        late.rmdir()
    (where / "model.safetensors").unlink()  # not needed any more
    b = run(tiny_train(data, tmp_path / "whole", policy=policy, steps=6, checkpoint_steps=3, weights=str(where), resume=True))
    assert a["validation_loss"] == b["validation_loss"]


def test_low_rank_changes_nothing_at_first_and_merges() -> None:
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(6, 9), torch.randn(4, 6)
    lora = Lora(layer, 3)
    torch.testing.assert_close(lora(x), layer(x))
    torch.nn.init.normal_(lora.up.weight)
    torch.testing.assert_close(lora.merged()(x), lora(x))
    assert not layer.weight.requires_grad


@pytest.mark.parametrize(
    ("config", "size", "said"),
    [
        (EncoderConfig(backbone="vit_enormous_patch1"), 64, "no model of timm's"),
        (EncoderConfig(backbone="resnet18"), 64, "no plain vision transformer"),
        (
            EncoderConfig(backbone="test_vit"),
            72,
            "do not divide pictures of 72x72 px: collect with size=224",
        ),
        (EncoderConfig(Pooling.keypoints, backbone="test_vit"), 64, "pooling=keypoints"),
        (EncoderConfig(Pooling.crop, backbone="test_vit"), 64, "pooling=crop"),
    ],
)
def test_a_backbone_that_does_not_fit_is_refused(config: EncoderConfig, size: int, said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        resolve(config, (size, size))


def test_weights_that_are_not_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = open_encoder(resolve(EncoderConfig(backbone="test_vit"), (SIDE, SIDE)), 1, (SIDE, SIDE))
    assert isinstance(encoder, PretrainedEncoder)
    with pytest.raises(PolicyError, match=r"model\.safetensors is not there; it is model\.safetensors of timm/test_vit"):
        load_backbone(encoder, str(tmp_path), (SIDE, SIDE))
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(PolicyError, match=r"model\.safetensors cannot be read"):
        load_backbone(encoder, str(tmp_path), (SIDE, SIDE))
    (tmp_path / "model.bin").write_bytes(b"\x80\x04pickle")
    with pytest.raises(PolicyError, match="is not there"):
        load_backbone(encoder, str(tmp_path / "model.bin"), (SIDE, SIDE))
    other = published("vit_small_patch16_dinov3", tmp_path / "other")
    with pytest.raises(PolicyError, match="does not hold the weights"):
        load_backbone(encoder, str(other), (SIDE, SIDE))

    def unreachable(*_: object, **__: object) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    with pytest.raises(PolicyError, match=r"put model\.safetensors of timm/test_vit\.r160_in1k.* into a folder and say weights=FOLDER"):
        load_backbone(encoder, "", (SIDE, SIDE))


def test_a_checkpoint_says_what_its_backbone_is(tmp_path: Path) -> None:
    config = PolicyConfig(encoder=resolve(EncoderConfig(backbone="test_vit", tune=Tune.none), (SIDE, SIDE)))
    assert (config.encoder.patch, config.encoder.dim, config.encoder.layers, config.encoder.heads) == (16, 64, 6, 2)
