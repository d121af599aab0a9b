"""Training on mixtures: what is drawn follows the weights, and one data set alone is as it ever was."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from policy_world import tiny_episode, tiny_info, tiny_train

from episodes import DatasetWriter, StoreError
from policies.blend import Blend
from policies.config import Selection
from policies.errors import PolicyError
from policies.remix import RemixConfig, step_weights
from policies.remix import run as remix
from policies.train import open_data, open_sampler, run


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


def test_what_does_not_go_together_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="select belongs to one data set"):
        tiny_train(Path("unused"), tmp_path, mixture="x.yaml", select=Selection(toys=1))
    (folder / "missing.yaml").write_text("a: 1\nnowhere: 1\n")
    with pytest.raises(StoreError, match="nowhere"):
        run(tiny_train(Path("unused"), tmp_path / "x", mixture=str(folder / "missing.yaml")))
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
