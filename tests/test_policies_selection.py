"""A selection is the part of a data set that was asked for, nested where it can be, and says what it is."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from policy_world import tiny_train, write_dataset

from assets.toys import Part, Toy, ToySet
from episodes import open_dataset
from policies import PolicyError
from policies.cache import Kept, fingerprint
from policies.config import Selection, Without
from policies.patches import Keep
from policies.selection import Selected, open_selection
from policies.table import read_table
from policies.train import run

SPHERE = Part("sphere", (0.02,), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0))
CUBOID = Part("cuboid", (0.02, 0.02, 0.02), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0))
RING = Part("ring", (0.02, 0.01, 0.005), (0.0175, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0))
TOYS = ((SPHERE,), (CUBOID, RING), (CUBOID, SPHERE), (CUBOID, SPHERE, CUBOID))
"""Parts of the four toys of the tiny world, which has three demonstrations of each."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_dataset(tmp_path_factory.mktemp("data") / "toys")
    ToySet(1, 0, tuple(Toy(parts, name=f"toy-0-{i:05d}") for i, parts in enumerate(TOYS))).save(path / "toys.json")
    return path


def chosen(data: Path, **asked: object) -> list[int]:
    made = open_selection(open_dataset(data), data, Selection(**asked))  # pyright: ignore[reportArgumentType]
    assert isinstance(made, Selected)
    return made.chosen.tolist()


def test_everything_is_the_data_set_itself(data: Path) -> None:
    dataset = open_dataset(data)
    assert open_selection(dataset, data, Selection()) is dataset


def test_the_first_toys_and_demonstrations_spread_evenly(data: Path) -> None:
    assert chosen(data, toys=2) == [0, 1, 2, 3, 4, 5]
    assert chosen(data, toys=2, demos=4) == [0, 1, 3, 4]
    assert chosen(data, demos=6) == [0, 1, 3, 4, 6, 9]


def test_toys_by_shape_and_by_parts(data: Path) -> None:
    assert chosen(data, without=Without.ring) == [0, 1, 2, 6, 7, 8, 9, 10, 11]
    assert chosen(data, parts=2, demos=3) == [3, 4, 6]
    assert chosen(data, parts=2, without=Without.sphere) == [3, 4, 5]
    assert chosen(data, without=Without.ring, toys=2, demos=2) == [0, 6]


@pytest.mark.parametrize("toys", [1, 2, 3, 4])
def test_fewer_demonstrations_are_among_the_more(data: Path, toys: int) -> None:
    nested = [set(chosen(data, toys=toys, demos=n)) for n in range(toys, 3 * toys + 1)]
    assert all(a < b for a, b in pairwise(nested))
    assert [len(s) for s in nested] == list(range(toys, 3 * toys + 1))


def test_a_selection_reads_like_a_data_set(data: Path) -> None:
    dataset = open_dataset(data)
    part = open_selection(dataset, data, Selection(toys=3, demos=4))
    numbers = [0, 1, 3, 6]
    assert [part.provenance(i) for i in range(len(part))] == [dataset.provenance(i) for i in numbers]
    for i, episode in zip(numbers, part, strict=True):
        np.testing.assert_array_equal(episode.actions, dataset[i].actions)
    table = read_table(part, 1, 0.0, 0)
    np.testing.assert_array_equal(table.actions, np.concatenate([dataset.signals(i).actions for i in numbers]))
    kept = Kept(8, Keep.OBJECT, 1, 0.0, 0)
    assert fingerprint(part, kept) != fingerprint(dataset, kept)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Selection(toys=5), "select.toys=5, .* demonstrations of 4 toys"),
        (Selection(toys=2, demos=7), "select.demos=7, .* 6 demonstrations of these 2 toys"),
        (Selection(toys=3, demos=2), "select.demos=2 on 3 toys"),
        (Selection(toys=3, parts=2), "select.toys=3, .* of 2 toys of 2 parts"),
        (Selection(toys=4, without=Without.ring), "select.toys=4, .* of 3 toys without a ring"),
        (Selection(parts=5), "no demonstration of a toy of 5 parts"),
    ],
)
def test_what_is_not_there_is_refused_with_both_figures(data: Path, asked: Selection, said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        open_selection(open_dataset(data), data, asked)


def test_shapes_need_the_toys_that_the_data_was_made_with(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "toys", toys=2, per_toy=1)
    with pytest.raises(PolicyError, match=r"need the toys of the data set.*toys\.json cannot be read"):
        open_selection(open_dataset(data), data, Selection(parts=1))
    ToySet(1, 0, (Toy((SPHERE,)),)).save(data / "toys.json")
    with pytest.raises(PolicyError, match="has nothing as toy 1"):
        open_selection(open_dataset(data), data, Selection(parts=1))
    assert len(open_selection(open_dataset(data), data, Selection(toys=1))) == 1


def test_training_says_what_was_selected_and_only_then(data: Path, tmp_path: Path) -> None:
    cfg = tiny_train(data, tmp_path / "part", steps=2, select=Selection(toys=2, demos=4, without=Without.ring))
    summary = run(cfg)
    said = {"toys": 2, "demos": 4, "without": "ring", "parts": 0, "demonstrations": 4}
    prints = json.loads((Path(summary["checkpoint"]) / "fingerprint.json").read_text())
    assert summary["selected"] == prints["selected"] == said
    assert prints["train"]["select"] == {"toys": 2, "demos": 4, "without": "ring", "parts": 0}
    with pytest.raises(PolicyError, match="other data"):
        run(replace(cfg, resume=True, select=Selection(toys=2)))
    whole = run(tiny_train(data, tmp_path / "whole", steps=2))
    prints = json.loads((Path(whole["checkpoint"]) / "fingerprint.json").read_text())
    assert "selected" not in whole
    assert "selected" not in prints
    assert "select" not in prints["train"]
