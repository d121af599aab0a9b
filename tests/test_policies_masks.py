"""Patch rules and channels of the mask's border; objects out of view; three cameras."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from policy_world import JOINTS, SIZE, tiny_episode, tiny_info, tiny_policy, tiny_train, write_dataset
from torch import Tensor

from episodes import DatasetWriter, open_dataset
from hardware.api import Observation
from policies.cache import Kept, fingerprint, open_cache
from policies.config import EncoderConfig, Masking, Pooling, Rule
from policies.edge import border, distance, values
from policies.encoder import Encoder
from policies.encoders import open_encoder
from policies.errors import PolicyError
from policies.form import FORMS
from policies.model_policy import load_policy
from policies.patches import Keep, cut
from policies.reference import encode_masked
from policies.rule import shares
from policies.sampler import Sampler
from policies.train import run

MASKED = (Pooling.det, Pooling.det_masked, Pooling.box)
RELIEFS = (Masking.edge, Masking.distance)


pytestmark = pytest.mark.usefixtures("one_thread")


def some_masks(seed: int, shape: tuple[int, int, int] = (12, 32, 40)) -> Tensor:
    """Noise from nothing to everything, then blocks."""
    rng = np.random.default_rng(seed)
    masks = rng.random(shape) < np.linspace(0, 1, shape[0])[:, None, None]
    for mask in masks[3:9]:
        mask[:] = False
        y, x = rng.integers(0, shape[1] - 4), rng.integers(0, shape[2] - 4)
        mask[y : y + rng.integers(1, 20), x : x + rng.integers(1, 20)] = True
    return torch.from_numpy(masks)


def encoder(config: EncoderConfig, cameras: int = 2, size: int = 32) -> Encoder:
    torch.manual_seed(1)
    made = open_encoder(config, cameras, (size, size))
    assert isinstance(made, Encoder)
    return made


def pictures(b: int = 3, v: int = 2, size: int = 32) -> tuple[Tensor, Tensor]:
    """Samples of all kinds of masks, among them nothing and everything."""
    images = torch.randint(0, 256, (b, v, 3, size, size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return images, some_masks(4, (b * v, size, size)).view(b, v, size, size)


@pytest.mark.parametrize("reach", [4, 8, 16])
def test_distance_is_that_to_the_nearest_pixel_of_the_other_kind(reach: int) -> None:
    masks = some_masks(0)
    y, x = np.mgrid[: masks.shape[1], : masks.shape[2]].reshape(2, -1)
    away = np.hypot(y[:, None] - y, x[:, None] - x)  # (HW, HW)
    for mask, codes in zip(masks.flatten(1).numpy(), distance(masks, reach).flatten(1), strict=True):
        other = np.where(mask[:, None] != mask, away, np.inf).min(1)
        want = np.clip((other - 0.5) / reach, 0, 1) * np.where(mask, 1, -1)
        assert np.abs(values(codes).numpy() - want).max() <= 0.5 / 127 + 1e-6


def test_the_border_is_what_erosion_takes_and_a_picture_ends_without_one() -> None:
    masks = some_masks(1)
    found = border(masks).numpy()
    padded = np.pad(masks.numpy(), ((0, 0), (1, 1), (1, 1)), mode="edge")
    inner = padded[:, :-2, 1:-1] & padded[:, 2:, 1:-1] & padded[:, 1:-1, :-2] & padded[:, 1:-1, 2:]
    assert np.array_equal(found, masks.numpy() & ~inner)
    assert not border(torch.ones(1, 8, 8, dtype=torch.bool)).any()
    assert (distance(torch.ones(1, 8, 8, dtype=torch.bool), 4) == 255).all()


@pytest.mark.parametrize("seed", range(5))
def test_rules_keep_what_they_say(seed: int) -> None:
    masks = some_masks(seed)
    images = torch.zeros(len(masks), 3, 32, 40, dtype=torch.uint8)
    camera = torch.zeros(len(masks), dtype=torch.int64)
    found = {rule: cut(images, masks, camera, 4, Keep.OBJECT, rule) for rule in Rule}
    touched, major = found[Rule.any], found[Rule.majority]
    assert torch.equal(found[Rule.soft].index, touched.index)
    assert torch.equal(major.lengths > 0, masks.flatten(1).any(1))
    for s in range(len(masks)):
        mine, every = (p.picture == s for p in (major, touched))
        counts = touched.mask[every].sum(1)
        wanted = touched.index[every][2 * counts >= 16]
        if len(wanted):
            assert torch.equal(major.index[mine], wanted)
        elif mine.any():
            assert major.index[mine].tolist() == [touched.index[every][counts.argmax()]]
    soft = shares(touched.mask, touched.picture, len(masks), Rule.soft)
    assert torch.equal(soft * 16, touched.mask.sum(1).float())


@pytest.mark.parametrize("pooling", MASKED)
@pytest.mark.parametrize("rule", list(Rule))
def test_every_rule_equals_its_definition_with_all_patches_computed(rule: Rule, pooling: Pooling) -> None:
    model = encoder(EncoderConfig(pooling, Masking.distance, rule, patch=8, dim=32, layers=2, heads=2, cap=0))
    images, masks = pictures()
    packed, reference = model(images, masks), encode_masked(model, images, masks)
    assert (packed - reference).abs().max() < 2e-6
    weight = torch.randn(packed.shape, generator=torch.Generator().manual_seed(2))
    mine, theirs = (torch.autograd.grad((out * weight).sum(), list(model.parameters())) for out in (packed, reference))
    for a, b in zip(mine, theirs, strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max().clamp(min=1)


@pytest.mark.parametrize("pooling", MASKED)
def test_rules_agree_on_whole_patches_and_differ_on_parts(pooling: Pooling) -> None:
    images, _ = pictures()
    whole = torch.zeros(3, 2, 32, 32, dtype=torch.bool)
    whole[:, :, 8:24, 16:32] = True
    parts = whole.clone()
    parts[:, :, 6:8, 14:32] = True
    ways = [encoder(EncoderConfig(pooling, rule=rule, patch=8, dim=32, layers=2, heads=2)) for rule in Rule]
    any_, majority, soft = (model(images, whole) for model in ways)
    assert torch.allclose(any_, majority, atol=2e-6)
    assert torch.allclose(any_, soft, atol=2e-6)
    vectors = [model(images, parts) for model in ways]
    assert all((vectors[a] - vectors[b]).abs().max() > 1e-3 for a, b in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize("masking", RELIEFS)
def test_a_border_in_the_next_patch_is_seen_by_distance_alone(masking: Masking) -> None:
    """The same kept patch with the same bits: only what lies beyond it differs."""
    images = torch.zeros(1, 1, 3, 32, 32, dtype=torch.uint8)
    one, two = (torch.zeros(1, 1, 32, 32, dtype=torch.bool) for _ in range(2))
    one[..., 8:16, 8:16] = two[..., 8:16, 8:16] = True
    two[..., 8:16, 16:18] = True
    made = [encoder(EncoderConfig(Pooling.det, m, patch=8, dim=32, layers=1, heads=2), cameras=1) for m in (Masking.pixel, masking)]
    first = [[model.embed(model.cut(images, mask))[0] for mask in (one, two)] for model in made]
    (plain, same), (far, near) = first
    assert torch.allclose(plain, same, atol=1e-5)
    assert not torch.allclose(far, near, atol=1e-2)


@pytest.mark.parametrize("masking", RELIEFS)
def test_patches_cut_without_the_channel_are_refused(masking: Masking) -> None:
    model = encoder(EncoderConfig(Pooling.det, masking, patch=8, dim=32, layers=1, heads=2))
    images, masks = pictures()
    with pytest.raises(PolicyError, match=f"masking={masking.value}"):
        model.encode(replace(model.cut(images, masks), relief=None))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "toys")


@pytest.mark.parametrize(
    ("keep", "masking", "rule"),
    [
        (Keep.OBJECT, Masking.pixel, Rule.majority),
        (Keep.OBJECT, Masking.edge, Rule.any),
        (Keep.OBJECT, Masking.distance, Rule.soft),
        (Keep.OBJECT, Masking.distance, Rule.majority),
        (Keep.BOX, Masking.edge, Rule.majority),
        (Keep.BOX, Masking.distance, Rule.any),
    ],
)
def test_training_sees_what_acting_sees(data: Path, tmp_path: Path, keep: Keep, masking: Masking, rule: Rule) -> None:
    dataset = open_dataset(data)
    cache = open_cache(tmp_path, dataset, Kept(8, keep, 1, 0.0, 0, rule, masking))
    sampler = Sampler(cache, chunk=4, execute=2, history=1, joints=JOINTS, cap=48)
    frame = 0
    for episode in list(dataset)[:2]:
        for t in range(len(episode.qpos)):
            images = torch.from_numpy(np.stack([episode.images[c][t] for c in dataset.info.cameras])).permute(0, 3, 1, 2)
            masks = torch.from_numpy(np.stack([episode.masks[c][t] for c in dataset.info.cameras]))
            want = cut(images, masks, torch.arange(2), 8, keep, rule, masking)
            found = sampler.gather(np.array([frame])).patches
            assert (found.relief is None) == (masking not in RELIEFS)
            assert all(a is b or torch.equal(a, b) for a, b in zip(vars(found).values(), vars(want).values(), strict=True))
            frame += 1


def test_a_cache_is_made_anew_only_where_other_things_are_kept(data: Path) -> None:
    dataset = open_dataset(data)
    plain = Kept(8, Keep.OBJECT, 2, 0.0, 0)
    name = fingerprint(dataset, plain)
    same = [replace(plain, masking=Masking.pixel), replace(plain, rule=Rule.soft)]
    other = [replace(plain, rule=Rule.majority), *(replace(plain, masking=masking) for masking in RELIEFS)]
    assert {fingerprint(dataset, kept) for kept in same} == {name}
    assert len({name, *(fingerprint(dataset, kept) for kept in other)}) == 4
    everything = replace(plain, keep=Keep.ALL)
    assert len({fingerprint(dataset, replace(kept, keep=Keep.ALL)) for kept in (*same, *other, everything)}) == 1


def test_a_run_from_before_there_were_rules_goes_on(data: Path, tmp_path: Path) -> None:
    cfg = tiny_train(data, tmp_path / "run", steps=2)
    folder = Path(run(cfg)["checkpoint"])
    for name, way in (("config.json", ("policy",)), ("fingerprint.json", ("train", "policy"))):
        table = json.loads((folder / name).read_text())
        inner = table
        for key in way:
            inner = inner[key]
        del inner["encoder"]["rule"]
        (folder / name).write_text(json.dumps(table))
    (folder / "checksums.json").unlink()
    assert run(replace(cfg, steps=4, resume=True))["steps"] == 4
    changed = replace(cfg, steps=6, resume=True, policy=tiny_policy(encoder=replace(cfg.policy.encoder, rule=Rule.soft)))
    with pytest.raises(PolicyError, match="started with another policy"):
        run(changed)


@pytest.mark.parametrize("pooling", list(Pooling))
def test_an_object_out_of_view_of_one_camera_changes_nothing_for_the_others(pooling: Pooling) -> None:
    torch.manual_seed(1)
    model = open_encoder(EncoderConfig(pooling, patch=8, dim=32, layers=2, heads=2), 3, (64, 64))
    images, masks = pictures(b=2, v=3, size=64)
    masks[:, :, 10:30, 20:50] = True
    whole = model(images, masks)
    for camera in range(3):
        lost = masks.clone()
        lost[0, camera] = False  # in one of the samples, as for some frames of a history
        out = model(images, lost)
        assert out.isfinite().all()
        others = torch.ones(2, 3, dtype=torch.bool)
        others[0, camera] = False
        assert (out - whole)[others].abs().max() < 2e-6
        blind = pooling in (Pooling.mean, Pooling.cls, Pooling.attention, Pooling.keypoints)
        assert blind == ((out - whole)[~others].abs().max() < 2e-6)
        if FORMS[pooling].outlined:  # nothing is known, but which camera it is
            assert torch.equal(out[0, camera], model.pooling.absent[camera])  # pyright: ignore[reportAttributeAccessIssue, reportIndexIssue]
        torch.autograd.backward(out.sum())
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("masking", [Masking.pixel, Masking.distance])
def test_three_cameras_train_and_act_though_some_see_nothing(tmp_path: Path, masking: Masking) -> None:
    info = tiny_info()
    cameras = ("side", "wrist", "front")
    info = replace(info, cameras=dict.fromkeys(cameras, info.cameras["side"]))
    writer = DatasetWriter(tmp_path / "data", info)
    for toy in range(3):
        episodes = []
        for seed in range(2):
            made = tiny_episode(toy, seed)
            seen = {camera: made.masks["side"].copy() for camera in cameras}
            seen["wrist"][:4] = False  # not yet in view
            seen["front"][:] &= seed == 0  # never in view of one episode
            episodes.append(replace(made, images=dict.fromkeys(cameras, made.images["side"]), masks=seen))
        writer.write(f"{toy:06d}", episodes)
    encoder_config = replace(tiny_policy().encoder, masking=masking)
    cfg = tiny_train(tmp_path / "data", tmp_path / "run", policy=tiny_policy(encoder=encoder_config, history=2), steps=4, frame_stride=1)
    policy = load_policy(run(cfg)["checkpoint"])
    assert policy.contract.cameras == cameras
    rng = np.random.default_rng(0)
    images = {camera: rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8) for camera in cameras}
    there = np.zeros((SIZE, SIZE), bool)
    there[8:20, 8:20] = True
    answers = []
    for seen in ((1, 1, 1), (1, 0, 1), (0, 1, 1), (1, 1, 0), (0, 0, 0)):
        masks = {camera: there & bool(sees) for camera, sees in zip(cameras, seen, strict=True)}
        policy.reset("pick up the object")
        answers.append(policy.predict(Observation(images, masks, np.zeros(JOINTS), np.ones(1), 0.0)).qpos)
    assert np.isfinite(answers).all()
    assert all(np.abs(answers[0] - other).max() > 0 for other in answers[1:])
    without = Observation({c: images[c] for c in cameras[:2]}, dict.fromkeys(cameras[:2], there), np.zeros(JOINTS), np.ones(1), 0.0)
    with pytest.raises(PolicyError, match="'front'"):
        policy.predict(without)
