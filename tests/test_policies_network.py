"""The policy network over a history: its sizes as in the paper, each frame encoded once, objects that are out of view for a while."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from policy_world import CAMERAS, JOINTS, SIZE, tiny_observation, tiny_policy

from conf.compose import compose
from hardware.api import Observation
from policies.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from policies.config import EncoderConfig, PolicyConfig, Pooling, TrainConfig
from policies.contract import Contract
from policies.errors import PolicyError
from policies.model_policy import ModelPolicy
from policies.network import PolicyNetwork
from policies.stats import Stats

PAPER = {"tiny": 5.7e6, "small": 22e6, "base": 86e6, "large": 307e6}
"""Trainable parameters as published: all but the encoder, which is frozen there."""


def stats(joints: int, chunk: int) -> Stats:
    n = joints + 1
    return Stats(
        *(np.full(n, v, np.float32) for v in (0, 1)),
        *(np.full((chunk, n), v, np.float32) for v in (0, 1)),
        *(np.full(5, v, np.float32) for v in (0, 1)),
    )


def network(config: PolicyConfig, joints: int = JOINTS) -> PolicyNetwork:
    torch.manual_seed(0)
    return PolicyNetwork(config, len(CAMERAS), (SIZE, SIZE), joints, 1, stats(joints, config.chunk))


def policy(**changes: Any) -> ModelPolicy:
    config = tiny_policy(**changes)
    contract = Contract(CAMERAS, (SIZE, SIZE), ("a", "b", "c"), 1, "stick", 0.05, config.chunk, config.execute, config.history)
    return ModelPolicy(network(config), contract, {})


def preset(name: str) -> TrainConfig:
    cfg = OmegaConf.to_object(compose("train", TrainConfig, [f"policy={name}"]))
    assert isinstance(cfg, TrainConfig)
    return cfg


@pytest.mark.parametrize("size", PAPER)
def test_the_papers_networks_have_its_sizes(size: str) -> None:
    cfg = preset(f"paper_{size}")
    assert (cfg.policy.history, cfg.policy.chunk) == (16, 16)
    with torch.device("meta"):
        made = network(cfg.policy, joints=7)
    counted = sum(p.numel() for name, p in made.named_parameters() if not name.startswith("encoder."))
    assert abs(counted / PAPER[size] - 1) < 0.05


@pytest.mark.parametrize("blocks", [0, 2])
def test_heads_ratio_and_blocks_make_what_they_say(blocks: int) -> None:
    made = network(tiny_policy(history=3, history_heads=2, history_ratio=5, blocks=blocks))
    layer: Any = made.history[0]
    assert (layer.self_attn.num_heads, layer.linear1.out_features) == (2, 5 * 32)
    assert len(made.trunk) == blocks + 1
    views, proprio = torch.randn(2, 3, 2, 16), torch.randn(2, 3, 4)
    out = made(views, proprio)[0]
    earlier = views.clone()
    earlier[:, 0] += 1
    assert ((made(earlier, proprio)[0] - out).abs().amax((1, 2)) > 1e-6).all()  # the oldest moment counts


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(PolicyError, match="width=32 must be a multiple of history_heads=5"):
        tiny_policy(history=3, history_heads=5)
    assert tiny_policy(history=1, history_heads=5).history_heads == 5  # nothing uses them


def test_in_closed_loop_each_frame_is_encoded_once_and_the_first_one_stands_for_what_was_before() -> None:
    one = policy(history=4)
    seen: list[torch.Tensor] = []
    one._network.encoder.register_forward_hook(lambda module, given, out: seen.append(out[0].clone()))
    rng = np.random.default_rng(0)
    frames = [tiny_observation(rng) for _ in range(6)]
    one.reset("")
    answers = [one.predict(frame) for frame in frames]
    assert len(seen) == len(frames)
    for t, answer in enumerate(answers):
        past = [max(0, t - back) for back in (3, 2, 1, 0)]
        proprio = np.stack([np.concatenate([frames[p].qpos, frames[p].gripper]) for p in past]).astype(np.float32)
        with torch.no_grad():
            want = one._network.act(torch.stack([seen[p] for p in past])[None], torch.from_numpy(proprio)[None])[0].numpy()
        np.testing.assert_allclose(answer.qpos, want[:, :JOINTS], atol=1e-5)


@pytest.mark.parametrize("pooling", list(Pooling))
def test_an_object_out_of_view_for_some_frames_of_the_history(pooling: Pooling) -> None:
    encoder = EncoderConfig(pooling, patch=8, dim=16, layers=2, heads=2)
    one = policy(history=3, encoder=encoder)
    rng = np.random.default_rng(1)
    frames = [tiny_observation(rng) for _ in range(3)]
    blind = [_hidden(frame, CAMERAS) for frame in frames]
    half = [_hidden(frame, CAMERAS[:1]) for frame in frames]
    answers = []
    for shown in (frames, [frames[0], blind[1], frames[2]], [frames[0], frames[1], half[2]], blind):
        one.reset("")
        answers.append([one.predict(frame).qpos for frame in shown][-1])
    assert np.isfinite(answers).all()
    sees = pooling not in (Pooling.mean, Pooling.cls, Pooling.attention, Pooling.keypoints)
    for other in answers[1:]:
        assert (np.abs(other - answers[0]).max() > 0) == sees


@pytest.mark.parametrize("pooling", list(Pooling))
def test_gradients_stay_finite_where_a_history_sees_nothing_for_a_while(pooling: Pooling) -> None:
    encoder = EncoderConfig(pooling, patch=8, dim=16, layers=2, heads=2)
    made = network(replace(tiny_policy(history=3), encoder=encoder))
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (6, 2, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8)  # two samples of three moments
    masks = torch.zeros(6, 2, SIZE, SIZE, dtype=torch.bool)
    masks[:, :, 8:20, 4:20] = True
    masks[1] = False  # both cameras, in the middle of the first sample's history
    masks[2, 0] = False  # one of them, now
    masks[3:] = False  # all of the second sample
    views = made.encoder(images, masks).view(2, 3, 2, -1)
    loss = sum(x.square().sum() for x in made(views, torch.randn(2, 3, 4, generator=generator)))
    assert isinstance(loss, torch.Tensor)
    assert loss.isfinite()
    loss.backward()
    found = [p.grad for p in made.parameters() if p.grad is not None]
    assert found
    assert all(g.isfinite().all() for g in found)


def _hidden(frame: Observation, cameras: tuple[str, ...]) -> Observation:
    return replace(frame, masks={name: mask & (name not in cameras) for name, mask in frame.masks.items()})


def test_a_checkpoint_from_before_reads_as_the_same_network(tmp_path: Path) -> None:
    config = tiny_policy(history=3)
    made = network(config)
    contract = Contract(CAMERAS, (SIZE, SIZE), ("a", "b", "c"), 1, "stick", 0.05, config.chunk, config.execute, config.history)
    save_checkpoint(tmp_path / "old", Checkpoint(config, contract, stats(JOINTS, config.chunk), {}), made.state_dict(), {})
    file = tmp_path / "old" / "config.json"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if "history_heads" not in line and "history_ratio" not in line))
    (tmp_path / "old" / "checksums.json").unlink()  # there were none
    checkpoint, again = load_checkpoint(tmp_path / "old")
    assert checkpoint.config == config
    assert all(torch.equal(a, b) for a, b in zip(made.state_dict().values(), again.state_dict().values(), strict=True))
