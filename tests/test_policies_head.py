"""Heads: what a flow learns and how it acts; ensembling of chunks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from policy_world import tiny_observation, tiny_policy, tiny_train, write_dataset

from hardware.api import ActionChunk, Observation
from hardware.ensemble import Ensemble
from policies import load_policy
from policies.config import Head
from policies.head import Flow, Noise, Regression, draw_noise
from policies.runlog import read_log
from policies.train import run


def fitted(wanted: torch.Tensor, steps: int = 400) -> Flow:
    """A flow trained on chunks (N, K, A) that nothing tells apart."""
    torch.manual_seed(0)
    rng, flow = np.random.default_rng(0), Flow(32, *wanted.shape[1:], blocks=2, steps=20)
    optimiser = torch.optim.Adam(flow.parameters(), 3e-3)
    x = torch.zeros(len(wanted), 32)
    for _ in range(steps):
        loss = flow.loss(x, wanted, torch.ones_like(wanted), draw_noise(rng, len(wanted), *wanted.shape[1:]))
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    return flow


def test_of_two_ways_a_flow_takes_one_where_regression_takes_neither() -> None:
    ways = torch.tensor([[-1.0, -1.0], [1.0, 1.0]]).repeat(64, 1)[:, None]  # (128, 1, 2)
    flow = fitted(ways)
    with torch.no_grad():
        taken = flow(torch.zeros(1, 32))[0, 0]
    assert (taken - taken.sign()).abs().max() < 0.35, "between the ways"
    assert taken.sign().unique().numel() == 1
    mean = ways.mean(0)
    assert mean.abs().max() < 1e-6, "what a squared error would settle on"


def test_the_exact_field_carries_any_start_to_the_actions() -> None:
    flow = Flow(8, 3, 2, blocks=1, steps=7)
    goal = torch.randn(1, 3, 2)
    flow.velocity = lambda x, at, moment: (goal - at) / (1 - moment[:, None, None])  # type: ignore[method-assign]
    torch.testing.assert_close(flow(torch.zeros(1, 8)), goal)


def test_an_observation_has_one_answer() -> None:
    flow = Flow(8, 3, 2, blocks=1, steps=4)
    x = torch.randn(2, 8)
    with torch.no_grad():
        torch.testing.assert_close(flow(x)[:1], flow(x[:1]))


def test_what_has_no_label_does_not_count() -> None:
    wanted, x = torch.randn(4, 3, 2), torch.randn(4, 8)
    weight = torch.ones(4, 3, 2)
    weight[2:] = 0
    spoilt = wanted.clone()
    spoilt[2:] = 1e3
    noise = draw_noise(np.random.default_rng(1), 4, 3, 2)
    for head, drawn in ((Regression(8, 3, 2), None), (Flow(8, 3, 2, blocks=1, steps=2), noise), (Flow(8, 3, 2, blocks=1, steps=2), None)):
        torch.testing.assert_close(head.loss(x, wanted, weight, drawn), head.loss(x, spoilt, weight, drawn))


def test_moments_lie_nearer_the_noise() -> None:
    noise = draw_noise(np.random.default_rng(0), 4000, 2, 3)
    assert noise.moment.min() >= 0
    assert noise.moment.max() <= 1
    assert noise.moment.mean() == pytest.approx(0.4, abs=0.02)  # of 1 - Beta(1.5, 1)
    assert isinstance(noise.to(torch.device("cpu")), Noise)


def test_a_policy_with_a_flow_learns_and_acts(tmp_path: Path) -> None:
    data, config = write_dataset(tmp_path / "data"), tiny_policy(head=Head.flow)
    run(tiny_train(data, tmp_path, policy=config, steps=300, lr=3e-3, ema=0.5))
    losses = [entry["loss"] for entry in read_log(tmp_path / "log.jsonl") if "loss" in entry]
    assert np.mean(losses[-30:]) < 0.5 * np.mean(losses[:30])
    one, seen, chunks = load_policy(tmp_path), tiny_observation(np.random.default_rng(0)), []
    for _ in range(2):
        one.reset("")
        chunks.append(one.predict(seen))
    np.testing.assert_array_equal(chunks[0].qpos, chunks[1].qpos)
    assert len(chunks[0]) == config.chunk


class Ramp:
    """Foresees that joint 0 is at the time [steps], plus an error of its own for each chunk."""

    def __init__(self, *errors: float) -> None:
        self.errors, self.asked = errors, 0

    def reset(self, instruction: str) -> None:
        self.asked = 0

    def predict(self, observation: Observation) -> ActionChunk:
        error = self.errors[self.asked % len(self.errors)]
        self.asked += 1
        steps = round(observation.time / 0.05) + np.arange(6.0)
        return ActionChunk((steps + error)[:, None], np.ones((6, 1)))


def at(step: int) -> Observation:
    return Observation({}, {}, np.zeros(1), np.ones(1), 0.05 * step)


def test_chunks_that_agree_are_left_as_they_are() -> None:
    mixed = Ensemble(Ramp(0.0), 3.0, 0.05)
    mixed.reset("")
    for step in (0, 2, 4, 9, 30):
        chunk = mixed.predict(at(step))
        np.testing.assert_allclose(chunk.qpos[:, 0], step + np.arange(6))
        assert chunk.gripper.shape == (6, 1)


def test_weights_halve_with_age_and_what_only_the_newest_foresaw_is_its_own() -> None:
    mixed = Ensemble(Ramp(0.0, 3.0), 2.0, 0.05)
    mixed.predict(at(0))
    chunk = mixed.predict(at(2)).qpos[:, 0] - 2 - np.arange(6)
    np.testing.assert_allclose(chunk[:4], 3.0 / 1.5)
    np.testing.assert_allclose(chunk[4:], 3.0)


def test_a_new_trial_forgets() -> None:
    mixed = Ensemble(Ramp(0.0, 3.0), 2.0, 0.05)
    mixed.predict(at(0))
    mixed.reset("")
    np.testing.assert_allclose(mixed.predict(at(1)).qpos[:, 0], 1 + np.arange(6))


@pytest.mark.parametrize("half_life", [0.0, -1.0, float("nan")])
def test_a_half_life_is_above_zero(half_life: float) -> None:
    with pytest.raises(ValueError, match="half_life"):
        Ensemble(Ramp(0.0), half_life, 0.05)
