"""Mixtures: what a file says, what it may not say, and what is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from episodes.errors import StoreError
from episodes.mixture import Entry, Mixture

PUBLISHED = Path(__file__).parents[1] / "episodes/mixtures/oxe_magic_soup_plus.yaml"


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "mixture.yaml").write_text(text)
    return tmp_path / "mixture.yaml"


def mixture(*weights: float) -> Mixture:
    return Mixture(tuple(Entry(f"set {k}", weight, Path(f"set{k}")) for k, weight in enumerate(weights)))


def test_a_file_lists_names_and_weights(tmp_path: Path) -> None:
    found = Mixture.load(written(tmp_path, "root: data\na: 1\nb: 0.25\nc: {weight: 2, path: /elsewhere/c}\nd: {path: x}\n"))
    assert [(entry.name, entry.weight) for entry in found.entries] == [("a", 1), ("b", 0.25), ("c", 2), ("d", 1)]
    assert [entry.path for entry in found.entries] == [tmp_path / "data/a", tmp_path / "data/b", Path("/elsewhere/c"), tmp_path / "data/x"]


def test_json_will_do_and_a_name_is_taken_as_written(tmp_path: Path) -> None:
    found = Mixture.load(written(tmp_path, '{"a": 1.5, "b: c": {"weight": 1e-3, "path": "x"}}'))
    assert [(entry.name, entry.weight) for entry in found.entries] == [("a", 1.5), ("b: c", 0.001)]
    assert [entry.name for entry in Mixture.load(written(tmp_path, "no: 1\n007: 1\n")).entries] == ["no", "007"]


def test_the_published_mixture_is_read() -> None:
    found = Mixture.load(PUBLISHED)
    weights = {entry.name: entry.weight for entry in found.entries}
    assert len(weights) == 27
    assert (weights["kuka"], weights["droid"], weights["fractal20220817_data"]) == (0.8341046294, 0.06, 0.54087122203)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 0\nb: 0.0\n", "sum to zero"),
        ("a: -1\nb: 2\n", "at least 0"),
        ("a: .nan\n", "number"),
        ("a: nan\n", "at least 0"),
        ("a: inf\n", "at least 0"),
        ("a: " + "9" * 400, "at least 0"),
        ("a: 1\na: 2\n", "twice"),
        ("a: 1\n'a': 2\n", "twice"),
        ('{"a": 1, "a": 2}', "twice"),
        ("a: {weight: 1, weight: 3}\n", "twice"),
        ("a: [1]\n", "a list"),
        ("? [a]\n: 1\n", "a list"),
        ("a: " + "[" * 100_000, "nested"),
        ("<<: {a: 1}\nb: 2\n", "known: weight, path"),
        ("root: [data]\na: 1\n", "a list"),
        ("root: {a: 1}\nb: 1\n", "root"),
        ('a: {path: "x\\0y"}\n', "folder"),
        ("a: one\n", "number"),
        ("a: true\n", "number"),
        ("a: {weight: 1, size: 3}\n", "known: weight, path"),
        ("- a\n- b\n", "name: weight"),
        ("", "name: weight"),
        ("a: &x 1\nb: *x\n", "anchors"),
        ("a: !!python/object/apply:os.system ['true']\n", "tags"),
        ("a: 1\n---\nb: 1\n", "no mixture can be read"),
        ("a: [1\n", "no mixture can be read"),
        ("a: 1\n" + "# " + "x" * 2**20, "bytes"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(StoreError, match=says):
        Mixture.load(written(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        Mixture.load(tmp_path / "nowhere.yaml")


@given(st.lists(st.floats(0.01, 5), min_size=1, max_size=6), st.data())
def test_equal_weights_draw_every_frame_alike(weights: list[float], data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 500), min_size=len(weights), max_size=len(weights)))
    p = mixture(*weights).probabilities(sizes)
    assert p.sum() == pytest.approx(1)
    per_frame = p / sizes
    assert per_frame / per_frame[0] == pytest.approx(np.array(weights) / weights[0])
    whole = mixture(*weights).probabilities(sizes, balance=False)
    assert whole == pytest.approx(np.array(weights) / sum(weights))


@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 500)), min_size=2, max_size=6).filter(lambda s: sum(w for w, _ in s) > 0.01),
    st.booleans(),
)
def test_the_order_of_the_sets_does_not_matter(sets: list[tuple[float, int]], balance: bool) -> None:
    p = mixture(*(w for w, _ in sets)).probabilities([n for _, n in sets], balance=balance)
    turned = mixture(*(w for w, _ in sets[::-1])).probabilities([n for _, n in sets[::-1]], balance=balance)
    assert turned[::-1] == pytest.approx(p)


def test_length_is_that_of_the_primary_set() -> None:
    assert mixture(1.0, 0.5).length([100, 100]) == 150
    assert mixture(1.0, 0.5).length([100, 900], balance=False) == 150
    assert mixture(0.5, 0.5).length([100, 300], balance=False) == 600  # none weighs 1: all count


def test_empty_sets_are_not_drawn_from() -> None:
    assert mixture(1, 1).probabilities([0, 5], balance=False).tolist() == [0, 1]
    with pytest.raises(StoreError, match="nothing would be drawn"):
        mixture(1, 0).probabilities([0, 5])
    with pytest.raises(StoreError, match="1 sizes for 2"):
        mixture(1, 1).probabilities([3])
