"""Laws of diversity and disparity, and the values that are known."""

from __future__ import annotations

import numpy as np
import pytest

from augment.diagnose.diversity import Diversity, Estimator, measure
from augment.errors import AugmentError

WITH, WITHOUT = Estimator.with_self_pairs, Estimator.without_self_pairs


def sphere(rng: np.random.Generator, n: int, around: np.ndarray | None = None, spread: float = 1.0, width: int = 16) -> np.ndarray:
    x = spread * rng.normal(size=(n, width)) + (0 if around is None else around)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("estimator", list(Estimator))
def test_identical_features_have_diversity_one(estimator: Estimator) -> None:
    found = measure([np.ones((5, 3))], ["a"], np.random.default_rng(0), estimator=estimator)
    assert found.diversity == pytest.approx(np.zeros((10, 1)), abs=1e-9)


def test_two_orthogonal_points() -> None:
    both = [measure([np.eye(2)], ["a"], np.random.default_rng(0), estimator=e, temperatures=[20]).diversity[0, 0] for e in (WITH, WITHOUT)]
    assert np.exp(both[0]) == pytest.approx(2.0)
    assert both[1] == pytest.approx(40.0)


@pytest.mark.parametrize(("cosine", "kernel"), [(0.5, 2.1e-9), (0.8, 3.4e-4), (0.9, 0.0183), (0.95, 0.135), (0.99, 0.670)])
def test_the_kernel_at_twenty(cosine: float, kernel: float) -> None:
    pair = np.array([[1, 0], [cosine, np.sqrt(1 - cosine**2)]])
    found = measure([pair], ["a"], np.random.default_rng(0), temperatures=[20])
    assert np.exp(-found.diversity[0, 0]) == pytest.approx(kernel, rel=0.02)


def test_nothing_overflows_at_any_temperature() -> None:
    found = measure([np.eye(2), -np.eye(2)], ["a", "b"], np.random.default_rng(0), temperatures=[10, 1000])
    assert np.isfinite(found.diversity).all()
    assert np.isfinite(found.disparity).all()


def test_the_mixture_is_the_harmonic_mean_and_disparity_goes_over_ordered_pairs() -> None:
    rng = np.random.default_rng(0)
    sets = [sphere(rng, 12, around=3 * rng.normal(size=16)) for _ in range(3)]
    found = measure(sets, ["a", "b", "c"], rng, temperatures=[5])
    kernel = lambda a, b: np.exp(-5 * ((a[:, None] - b[None]) ** 2).sum(-1))  # noqa: E731
    inside = [(kernel(a, a).sum() - len(a)) / (len(a) * (len(a) - 1)) for a in sets]
    between = [kernel(a, b).mean() for i, a in enumerate(sets) for j, b in enumerate(sets) if i != j]
    assert np.exp(found.overall[0]) == pytest.approx(3 / sum(inside))
    assert np.exp(found.disparity[0]) == pytest.approx(6 / sum(between))
    assert found.fragmentation[0] == pytest.approx(found.disparity[0] - found.overall[0])
    i, j, apart = found.nearest(0) or ("", "", 0.0)
    assert apart == pytest.approx(min(-np.log(b) for b in between))
    assert i != j


def test_turning_and_reordering_features_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    sets = [sphere(rng, 9), sphere(rng, 9)]
    turn = np.linalg.qr(rng.normal(size=(16, 16)))[0]
    plain = measure(sets, ["a", "b"], np.random.default_rng(1))
    other = measure([s[::-1] @ turn * 3 for s in sets], ["a", "b"], np.random.default_rng(1))
    assert other.diversity == pytest.approx(plain.diversity)
    assert other.disparity == pytest.approx(plain.disparity)


def test_islands_are_fragmented_and_one_cloud_is_not() -> None:
    rng = np.random.default_rng(0)
    centres = np.eye(16)[:2] * 4
    islands = measure([sphere(rng, 30, c, 0.3) for c in centres], ["a", "b"], rng)
    cloud = measure([sphere(rng, 30, width=3), sphere(rng, 30, width=3)], ["a", "b"], rng, temperatures=[2, 5])
    assert (islands.fragmentation > 3).all()
    assert (np.abs(cloud.fragmentation) < 0.5).all()


def test_a_larger_set_is_drawn_from_so_that_numbers_compare() -> None:
    rng = np.random.default_rng(0)
    found = measure([sphere(rng, 40), sphere(rng, 7)], ["a", "b"], rng)
    assert found.samples == 7
    assert any("7 episodes" in note for note in found.notes)


def test_one_episode_falls_back_by_name() -> None:
    found = measure([np.eye(3)[:1], np.eye(3)[1:]], ["a", "b"], np.random.default_rng(0))
    assert found.estimator is WITH
    assert any("one episode" in note for note in found.notes)
    assert found.diversity == pytest.approx(np.zeros((10, 2)))


def test_one_sub_dataset_has_no_disparity() -> None:
    found = measure([np.eye(3)], ["a"], np.random.default_rng(0))
    assert np.isnan(found.disparity).all()
    assert found.nearest(0) is None


@pytest.mark.parametrize("estimator", list(Estimator))
@pytest.mark.parametrize("n", [2, 3, 8, 40])
@pytest.mark.parametrize("width", [3, 64])
def test_intervals_hold_the_value_they_are_of(estimator: Estimator, n: int, width: int) -> None:
    rng = np.random.default_rng(n)
    found = measure([sphere(rng, n, width=width) for _ in range(2)], ["a", "b"], rng, estimator=estimator)
    assert (found.low <= found.diversity + 1e-9).all()
    assert (found.diversity <= found.high + 1e-9).all()
    assert (found.high <= 400 + 1e-9).all()  # |u - v|^2 is at most 4, t at most 100
    for value, (low, high) in ((found.disparity, found.disparity_ends), (found.fragmentation, found.fragmentation_ends)):
        assert (low <= value + 1e-9).all()
        assert (value <= high + 1e-9).all()


def test_intervals_cover_what_many_samples_say() -> None:
    rng = np.random.default_rng(0)
    centre = 2 * np.eye(16)[0]

    def look(n: int) -> Diversity:
        return measure([sphere(rng, n, around, 0.6) for around in (centre, -centre)], ["a", "b"], rng, temperatures=[2])

    truth, looks = look(1500), [look(40) for _ in range(60)]
    for value, ends in (
        (truth.diversity[0, 0], [(f.low[0, 0], f.high[0, 0]) for f in looks]),
        (truth.disparity[0], [f.disparity_ends[:, 0] for f in looks]),
        (truth.fragmentation[0], [f.fragmentation_ends[:, 0] for f in looks]),
    ):
        assert np.mean([low <= value <= high for low, high in ends]) >= 0.8


def test_large_sets_are_measured_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = [sphere(np.random.default_rng(k), 23) for k in range(2)]
    whole = measure(sets, ["a", "b"], np.random.default_rng(0))
    monkeypatch.setattr("augment.diagnose.diversity._ROWS", 5)
    pieces = measure(sets, ["a", "b"], np.random.default_rng(0))
    for key in ("diversity", "disparity", "pairs", "low", "high", "fragmentation_ends"):
        assert getattr(pieces, key) == pytest.approx(getattr(whole, key))


def test_both_estimators_are_what_they_say() -> None:
    x = sphere(np.random.default_rng(0), 7, width=3)
    kernel = np.exp(-10 * ((x[:, None] - x[None]) ** 2).sum(-1))
    means = {WITH: kernel.mean(), WITHOUT: kernel[~np.eye(7, dtype=bool)].mean()}
    for estimator, mean in means.items():
        found = measure([x], ["a"], np.random.default_rng(0), estimator=estimator, temperatures=[10])
        assert np.exp(-found.diversity[0, 0]) == pytest.approx(mean)


@pytest.mark.parametrize(
    ("sets", "says"),
    [
        ([], "at least one"),
        ([np.zeros((0, 4))], "no episode"),
        ([np.zeros((3, 4))], "length 0"),
        ([np.full((3, 4), np.nan)], "not finite"),
        ([np.eye(3), np.eye(4)], "one D"),
    ],
)
def test_bad_features_are_refused_by_name(sets: list[np.ndarray], says: str) -> None:
    with pytest.raises(AugmentError, match=says):
        measure(sets, [f"set {k}" for k in range(len(sets))], np.random.default_rng(0))
