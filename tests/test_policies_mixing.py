"""Training on mixtures: what is drawn follows the weights, and one data set alone is as it ever was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from policy_world import tiny_episode, tiny_info, tiny_train
from safetensors.numpy import load_file
from scipy.stats import chisquare

import policies.remix
from episodes import DatasetWriter, StoreError
from policies.blend import Blend
from policies.config import Selection
from policies.errors import PolicyError
from policies.remix import RemixConfig, step_weights
from policies.remix import run as remix
from policies.train import open_data, open_sampler, run
from policies.trainer import Trainer


def dataset(path: Path, toys: range, steps: int = 10) -> Path:
    writer = DatasetWriter(path, tiny_info())
    for toy in toys:
        writer.write(f"{toy:06d}", [tiny_episode(toy, k, steps=steps) for k in range(3)])
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mixture")
    dataset(root / "a", range(3))
    dataset(root / "b", range(3, 7), steps=20)
    (root / "mixture.yaml").write_text("a: 3\nb: 1\n")
    (root / "alone.yaml").write_text("a: 1\nb: 0\n")
    (root / "turned.yaml").write_text("b: 1\na: 3\n")
    return root


def shares(folder: Path, out: Path, name: str, *, balance: bool, draws: int = 60) -> dict[str, float]:
    cfg = tiny_train(Path("unused"), out, mixture=str(folder / name), balance=balance, holdout=0.0)
    data, blend = open_data(cfg)
    assert blend is not None
    sampler, _ = open_sampler(cfg, data, blend)
    rng = np.random.default_rng(0)
    frames = np.concatenate([sampler.choose(rng, 64) for _ in range(draws)])
    owner = np.bincount(blend.owner(sampler.cache.table.frame[frames]), minlength=len(blend.names)) / len(frames)
    return dict(zip(blend.names, owner.tolist(), strict=True))


def test_sets_are_drawn_by_their_weights(folder: Path, tmp_path: Path) -> None:
    whole = shares(folder, tmp_path / "1", "mixture.yaml", balance=False)
    assert whole["a"] == pytest.approx(0.75, abs=0.03)
    by_step = shares(folder, tmp_path / "2", "mixture.yaml", balance=True)
    assert by_step["a"] == pytest.approx(3 * 90 / (3 * 90 + 240), abs=0.03)


def test_what_is_drawn_is_what_was_asked_for() -> None:
    """Pearson's statistic stays below the 99.9 % quantile, over sets and over the frames of one."""
    blend = Blend(("a", "b", "c", "d"), np.array([0.1, 0.0, 0.6, 0.3]), np.array([10, 25, 45, 50]))
    rng, draws = np.random.default_rng(3), 40_000
    sets = blend.pick(rng, draws)
    steps = blend.draw(np.arange(50), rng, sets)
    assert (blend.owner(steps) == sets).all()
    seen = np.bincount(sets, minlength=4)
    assert seen[1] == 0
    there = blend.probability > 0
    assert chisquare(seen[there], draws * blend.probability[there]).pvalue > 0.001
    for name, begin, end in (("a", 0, 10), ("c", 25, 45), ("d", 45, 50)):
        frames = np.bincount(steps, minlength=50)[begin:end]
        assert chisquare(frames).pvalue > 0.001, name


def test_one_set_alone_is_trained_on_as_without_a_mixture(folder: Path, tmp_path: Path) -> None:
    plain, mixed = tiny_train(folder / "a", tmp_path / "1"), tiny_train(Path("unused"), tmp_path / "2", mixture=str(folder / "alone.yaml"))
    weights = [load_file(Path(run(cfg)["checkpoint"]) / "weights.safetensors") for cfg in (plain, mixed)]
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        np.testing.assert_array_equal(value, weights[1][name], err_msg=name)


def test_the_order_of_the_file_does_not_matter(folder: Path, tmp_path: Path) -> None:
    turned = shares(folder, tmp_path / "1", "turned.yaml", balance=False)
    assert turned["a"] == pytest.approx(0.75, abs=0.03)


def test_a_set_of_weight_zero_never_appears(folder: Path, tmp_path: Path) -> None:
    assert shares(folder, tmp_path / "1", "alone.yaml", balance=True) == {"a": 1.0}


def test_a_mixture_trains_resumes_and_says_what_it_was(folder: Path, tmp_path: Path) -> None:
    cfg = tiny_train(Path("unused"), tmp_path / "run", mixture=str(folder / "mixture.yaml"), balance=False)
    made = run(cfg)
    assert made["mixture"] == {"a": 0.75, "b": 0.25}
    print_of = json.loads((Path(made["checkpoint"]) / "fingerprint.json").read_text())
    assert print_of["mixture"] == made["mixture"]
    again = run(tiny_train(Path("unused"), tmp_path / "run", mixture=str(folder / "mixture.yaml"), balance=False, resume=True))
    assert again["checkpoint"] == made["checkpoint"]


def test_a_stopped_mixture_goes_on_as_if_never_stopped(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how = {"mixture": str(folder / "mixture.yaml"), "steps": 12, "resume": True}
    whole = run(tiny_train(Path("unused"), tmp_path / "whole", **how))
    step = Trainer.train_step

    def stop(self: Trainer) -> None:
        if self.step == 5:
            raise KeyboardInterrupt
        step(self)

    monkeypatch.setattr(Trainer, "train_step", stop)
    with pytest.raises(KeyboardInterrupt):
        run(tiny_train(Path("unused"), tmp_path / "stopped", **how))
    monkeypatch.undo()
    resumed = run(tiny_train(Path("unused"), tmp_path / "stopped", **how))
    weights = [load_file(Path(made["checkpoint"]) / "weights.safetensors") for made in (whole, resumed)]
    for name, value in weights[0].items():
        np.testing.assert_array_equal(value, weights[1][name], err_msg=name)


def test_a_run_is_not_continued_with_other_weights(folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).symlink_to(folder / name)
    file = tmp_path / "own.yaml"
    file.write_text("a: 3\nb: 1\n")
    run(tiny_train(Path("unused"), tmp_path / "run", mixture=str(file), steps=2))
    file.write_text("a: 1\nb: 100\n")
    with pytest.raises(PolicyError, match="was trained on"):
        run(tiny_train(Path("unused"), tmp_path / "run", mixture=str(file), steps=4, resume=True))
    file.write_text("a: 3\nb: 1\n")
    moved = file.rename(tmp_path / "moved.yaml")
    assert run(tiny_train(Path("unused"), tmp_path / "run", mixture=str(moved), steps=4, resume=True))["steps"] == 4


def test_what_does_not_go_together_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="select belongs to one data set"):
        tiny_train(Path("unused"), tmp_path, mixture="x.yaml", select=Selection(toys=1))
    (folder / "missing.yaml").write_text("a: 1\nnowhere: 1\n")
    with pytest.raises(StoreError, match="nowhere"):
        run(tiny_train(Path("unused"), tmp_path / "x", mixture=str(folder / "missing.yaml")))
    DatasetWriter(folder / "other", replace(tiny_info(), robot="another")).write("0", [tiny_episode(0, 0)])
    (folder / "other.yaml").write_text("a: 1\nother: 1\n")
    with pytest.raises(StoreError, match=r"mixture\d*/a and .*/other differ \(robot: stick and another\)"):
        run(tiny_train(Path("unused"), tmp_path / "x", mixture=str(folder / "other.yaml")))
    with pytest.raises(PolicyError, match="sum to 1"):
        Blend(("a", "b"), np.array([0.5, 0.6]), np.array([1, 2]))


def test_equal_excess_keeps_the_weights_and_more_excess_raises_them() -> None:
    weights = np.array([0.2, 0.3, 0.5])
    assert step_weights(weights, np.full(3, 0.7), rate=0.5, smoothing=0.0) == pytest.approx(weights)
    raised = step_weights(weights, np.array([1.0, 0.0, 0.0]), rate=0.5, smoothing=0.1)
    assert raised.sum() == pytest.approx(1)
    assert raised[0] > weights[0]
    assert raised[1:].max() < 0.5
    long = weights
    for _ in range(2000):
        long = step_weights(long, np.array([50.0, 0.0, 0.0]), rate=1.0, smoothing=0.1)
    assert long == pytest.approx([0.9 + 0.1 / 3, 0.1 / 3, 0.1 / 3], abs=1e-3)  # none dies out


def test_remix_writes_a_mixture_that_can_be_trained_on(folder: Path, tmp_path: Path) -> None:
    how = tiny_train(Path("unused"), tmp_path / "unused", mixture=str(folder / "mixture.yaml"), steps=6)
    made = remix(RemixConfig(train=how, out=str(tmp_path / "remix")))
    assert sum(made["after"].values()) == pytest.approx(1, abs=1e-3)
    found = run(tiny_train(Path("unused"), tmp_path / "run", mixture=made["mixture"], balance=False, steps=2))
    assert found["mixture"] == pytest.approx(made["after"], abs=1e-3)
    with pytest.raises(PolicyError, match="one data set"):
        remix(RemixConfig(train=tiny_train(Path("unused"), tmp_path, mixture=str(folder / "alone.yaml"), steps=2), out=str(tmp_path / "r")))
    with pytest.raises(PolicyError, match="names no mixture"):
        RemixConfig(train=tiny_train(Path("unused"), tmp_path))


def test_noise_that_nobody_can_learn_is_not_weighted_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its loss stays the largest, but no larger than the reference's."""
    for kind in ("easy", "hard", "noise"):
        writer = DatasetWriter(tmp_path / kind, tiny_info())
        for toy in range(6):
            episode = tiny_episode(toy, 0)
            actions = episode.actions.copy()
            if kind == "easy":
                actions[:, :-1] = 0.1
            if kind == "noise":
                actions[:, :-1] = np.random.default_rng(toy).normal(scale=0.5, size=actions[:, :-1].shape)
            writer.write(f"{toy:06d}", [replace(episode, actions=actions, sent=actions)])
    (tmp_path / "three.yaml").write_text("easy: 1\nhard: 1\nnoise: 1\n")
    how = tiny_train(Path("unused"), tmp_path, mixture=str(tmp_path / "three.yaml"), steps=40, holdout=0.0)
    cfg = RemixConfig(train=how, out=str(tmp_path / "remix"), rate=1.0)
    assert remix(cfg)["after"]["noise"] < 1 / 3
    assert (tmp_path / "remix/weights.svg").stat().st_size > 1000
    measure = policies.remix.errors
    monkeypatch.setattr(policies.remix, "errors", lambda network, batch: measure(network, batch) * network.training)
    assert remix(cfg)["after"]["noise"] > 0.4  # by the loss alone it would run away
