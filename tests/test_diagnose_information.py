"""Laws of information between factors, and the published propositions where they hold."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.diagnose import normalized_mutual_information
from augment.diagnose.information import bins, depend, disjoint_value, entropy, joint_counts, mutual_information, overlap_bound
from augment.errors import AugmentError

tables = st.integers(1, 5).flatmap(
    lambda u: st.integers(1, 5).flatmap(
        lambda v: st.lists(st.lists(st.integers(0, 20), min_size=v, max_size=v), min_size=u, max_size=u).filter(lambda t: np.sum(t) > 0)
    )
)


def distributions(n: int) -> st.SearchStrategy[np.ndarray]:
    return st.lists(st.floats(0.05, 1), min_size=n, max_size=n).map(lambda p: np.array(p) / np.sum(p))


@given(tables)
def test_information_is_between_none_and_all_and_the_same_both_ways(table: list[list[int]]) -> None:
    joint = np.array(table)
    value = normalized_mutual_information(joint)
    assert 0 <= value <= 1
    assert value == pytest.approx(normalized_mutual_information(joint.T), abs=1e-12)
    assert value == pytest.approx(normalized_mutual_information(7 * joint), abs=1e-12)
    assert mutual_information(joint) <= min(entropy(joint.sum(0)), entropy(joint.sum(1))) + 1e-9


@given(distributions(3), distributions(4))
def test_independent_factors_share_nothing(p: np.ndarray, q: np.ndarray) -> None:
    assert normalized_mutual_information(np.outer(p, q)) == pytest.approx(0, abs=1e-9)


@given(st.permutations(range(5)))
def test_a_factor_that_names_another_shares_all(order: list[int]) -> None:
    assert normalized_mutual_information(np.eye(5)[order]) == pytest.approx(1)


def test_factors_that_do_not_vary_share_nothing() -> None:
    assert normalized_mutual_information(np.array([[12]])) == 0
    assert normalized_mutual_information(np.array([[3, 4, 5]])) == 0


@pytest.mark.parametrize("bad", [np.zeros((2, 2)), np.array([[1, -1]]), np.array([[np.nan, 1]]), np.array([1, 2, 3])])
def test_what_is_no_table_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(AugmentError):
        normalized_mutual_information(bad)


def mixed(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The joint of two sub-datasets mixed equally, each independent inside: (U, V) from (2, U) and (2, V)."""
    return (np.outer(u[0], v[0]) + np.outer(u[1], v[1])) / 2


@given(distributions(2), distributions(3), distributions(4), distributions(2))
def test_disjoint_sub_datasets_share_what_the_first_proposition_says(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> None:
    u = np.stack([np.concatenate([a, 0 * b]), np.concatenate([0 * a, b])])
    v = np.stack([np.concatenate([c, 0 * d]), np.concatenate([0 * c, d])])
    diversity = sum(entropy(p) for p in (a, b, c, d))
    assert normalized_mutual_information(mixed(u, v)) == pytest.approx(disjoint_value(diversity), abs=1e-9)
    assert overlap_bound(u, v) == pytest.approx(disjoint_value(diversity), abs=1e-9)


@given(st.integers(1, 4), st.integers(0, 4), st.integers(1, 4), st.integers(0, 4))
def test_the_second_proposition_holds_where_densities_match(own_u: int, common_u: int, own_v: int, common_v: int) -> None:
    def pair(own: int, common: int) -> np.ndarray:
        n = own + common
        return np.array([[1 / n] * n + [0] * own, [0] * own + [1 / n] * n])

    u, v = pair(own_u, common_u), pair(own_v, common_v)
    bound = overlap_bound(u, v)
    assert bound is not None
    assert normalized_mutual_information(mixed(u, v)) <= bound + 1e-9


@given(st.data(), st.integers(1, 3), st.integers(1, 3), st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_the_second_proposition_holds_for_any_matched_densities(data: st.DataObject, common: int, own: int, s: float, r: float) -> None:
    def pair(mass: float) -> np.ndarray:
        shared = mass * data.draw(distributions(common))
        first, second = ((1 - mass) * data.draw(distributions(own)) for _ in range(2))
        return np.array([[*shared, *first, *(0 * second)], [*shared, *(0 * first), *second]])

    u, v = pair(s), pair(r)
    bound = overlap_bound(u, v)
    assert bound is not None
    assert normalized_mutual_information(mixed(u, v)) <= bound + 1e-9


def test_the_second_proposition_is_not_believed_where_it_is_false() -> None:
    p = np.array([[0.99, 0.01], [0.01, 0.99]])
    assert normalized_mutual_information(mixed(p, p)) == pytest.approx(0.860, abs=1e-3)
    assert overlap_bound(p, p) is None


def test_the_permutation_test_tells_dependence_from_chance() -> None:
    rng = np.random.default_rng(0)
    u = rng.integers(4, size=60).tolist()
    noise = rng.integers(4, size=60).tolist()
    tied, free = depend(("u", u), ("v", [3 - x for x in u]), rng), depend(("u", u), ("v", noise), rng)
    assert tied.nmi == pytest.approx(1)
    assert tied.adjusted == pytest.approx(1)
    assert tied.p == pytest.approx(1 / 2000)
    assert free.p > 0.05
    assert abs(free.adjusted) < 0.1 < free.nmi + 0.1


def test_p_values_of_independent_factors_are_uniform() -> None:
    rng = np.random.default_rng(1)
    found = [
        depend(("u", rng.integers(3, size=40).tolist()), ("v", rng.integers(3, size=40).tolist()), rng, permutations=99).p
        for _ in range(300)
    ]
    assert 0.02 <= np.mean(np.array(found) <= 0.05) <= 0.09


def test_counts_are_by_value_in_order() -> None:
    joint, rows, columns = joint_counts(["10", "2", "10"], ["b", "a", "a"])
    assert rows == ("2", "10")
    assert columns == ("a", "b")
    assert joint.tolist() == [[1, 0], [1, 1]]


def test_few_values_stay_as_they_are_and_many_become_intervals_of_equal_counts() -> None:
    assert bins([1.0, 2.0, 1.0, 1.01], 0.02) == ("1.00", "2.00", "1.00", "1.00")
    assert len(set(bins([1.0, 2.0, 1.0, 1.05], 0.02))) == 3
    labels = bins(np.linspace(0, 1, 216).tolist())
    assert len(set(labels)) == 6
    assert {labels.count(label) for label in set(labels)} == {36}
    assert len(set(bins(np.linspace(0, 1, 216).tolist(), 0.05))) == 6  # a continuum is no cluster, however near its values
    assert set(bins([4.0] * 9)) == {"4"}


def test_labels_have_no_more_digits_than_the_measurement() -> None:
    assert set(bins([-0.00621, 0.1234], 0.02)) == {"-0.01", "0.12"}
    assert set(bins([-0.001, -0.002], 0.02)) == {"0.00"}  # no negative zero
    assert set(bins([34.9, 45.2], 1.0)) == {"35", "45"}
    assert all(len(end) <= 5 for label in bins(np.linspace(-0.1, 0.1, 60).tolist(), 0.02) for end in label.split(" to "))


def test_a_wide_table_is_dealt_out_in_pieces() -> None:
    rng = np.random.default_rng(0)
    u, v = rng.integers(300, size=900).tolist(), rng.integers(20, size=900).tolist()
    found = depend(("u", u), ("v", v), rng, permutations=500)
    assert 0 < found.null < 1
    assert abs(found.adjusted) < 0.05


@settings(max_examples=40, deadline=None)  # every order is counted one by one
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), min_size=2, max_size=5), st.integers(0, 5))
def test_few_episodes_are_tested_exactly(pairs: list[tuple[int, int]], seed: int) -> None:
    u, v = zip(*pairs, strict=True)
    found = depend(("u", u), ("v", v), np.random.default_rng(seed))
    values = [normalized_mutual_information(joint_counts(u, order)[0]) for order in itertools.permutations(v)]
    assert found.p == pytest.approx(np.mean(np.array(values) >= found.nmi - 1e-9))
    assert found.null == pytest.approx(np.mean(values), abs=1e-9)


def test_tables_and_labels_tell_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    u, v = rng.integers(5, size=60).tolist(), rng.integers(4, size=60).tolist()
    tables = depend(("u", u), ("v", v), np.random.default_rng(1), permutations=4000)
    monkeypatch.setattr("augment.diagnose.information._SPARSE", 0)
    labels = depend(("u", u), ("v", v), np.random.default_rng(1), permutations=4000)
    assert labels.null == pytest.approx(tables.null, rel=0.02)
    assert labels.p == pytest.approx(tables.p, abs=0.04)


def test_factors_that_name_every_episode_say_nothing_and_soon() -> None:
    names = list(range(2000))
    found = depend(("u", names), ("v", names), np.random.default_rng(0), permutations=199)
    assert found.nmi == pytest.approx(1)
    assert (found.null, found.p) == pytest.approx((1, 1))


def test_angles_are_the_same_however_they_are_counted() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        angles = rng.uniform(-180, 180) + rng.uniform(1, 179) * rng.uniform(-1, 1, rng.integers(1, 30))
        labels, other = (bins((angles + turn).tolist(), 1.0, period=360) for turn in (0, 360 * int(rng.integers(-3, 4))))
        assert labels == other


def test_one_camera_behind_the_base_is_one_value() -> None:
    assert len(set(bins([179.9, -179.9, 179.8, -179.8], 1.0, period=360))) == 1
    assert set(bins([-6.0, 6.0, -6.1], 1.0, period=360)) == {"-6", "6"}
