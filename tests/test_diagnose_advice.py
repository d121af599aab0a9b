"""Advice: what it predicts is what the data would share once it is followed, recomputed here from the episodes."""

from __future__ import annotations

import time

import numpy as np
import pytest

from augment.diagnose.advice import COPIES, GOOD, Remedy, additions, noun, remedies, verdict
from augment.diagnose.factors import Factor, Kind, Table
from augment.diagnose.information import Dependence, joint_counts, normalized_mutual_information


def depending(joint: object, u: str = "object sideways", v: str = "camera angle", null: float = 0.0, where: str = "mixture") -> Dependence:
    table = np.array(joint)
    value = normalized_mutual_information(table)
    labels = tuple(str(10 * k) for k in range(max(table.shape)))
    return Dependence(u, v, where, table, labels[: table.shape[0]], labels[: table.shape[1]], value, null, 0.001)


def islands(u: str, v: str, values: dict[str, list[tuple[str, str]]]) -> tuple[Table, Dependence]:
    """Sub-datasets by name, each with the values of its episodes."""
    episodes = [(name, *pair) for name, pairs in values.items() for pair in pairs]
    owner, of_u, of_v = zip(*episodes, strict=True)
    joint, u_labels, v_labels = joint_counts(of_u, of_v)
    table = Table((Factor(u, Kind.relevant, of_u, ""), Factor(v, Kind.irrelevant, of_v, "")), owner, ())
    return table, Dependence(u, v, "mixture", joint, u_labels, v_labels, normalized_mutual_information(joint), 0.0, 0.001)


def named(said: tuple[Remedy, ...], name: str) -> Remedy:
    return next(r for r in said if r.name == name)


@pytest.mark.parametrize("joint", [[[20, 0], [0, 20]], [[9, 1, 0], [0, 8, 2], [0, 0, 11]], [[30, 0, 0, 1], [0, 12, 5, 0]]])
def test_additions_share_what_they_say_and_less_each_time(joint: list[list[int]]) -> None:
    found = depending(joint)
    table, before = np.array(joint), found.nmi
    for more in additions(found):
        table[found.u_labels.index(more.u), found.v_labels.index(more.v)] += more.count
        assert more.before == pytest.approx(before)
        assert more.after == pytest.approx(normalized_mutual_information(table))
        assert more.after < before
        before = more.after
    assert before <= GOOD or len(additions(found)) == 8


def test_the_first_addition_is_the_best_there_is() -> None:
    joint = np.array([[14, 0, 3], [2, 9, 0]])
    count = additions(depending(joint))[0].count
    others = [normalized_mutual_information(joint + count * np.eye(6, dtype=int)[k].reshape(2, 3)) for k in range(6)]
    assert additions(depending(joint))[0].after == pytest.approx(min(others))


def test_islands_want_the_pairs_that_are_missing() -> None:
    asked = {(a.u, a.v) for a in additions(depending([[20, 0], [0, 20]]))}
    assert asked == {("0", "10"), ("10", "0")}


def test_what_shares_little_wants_nothing() -> None:
    assert additions(depending([[10, 9], [9, 10]])) == ()
    assert additions(depending([[12]])) == ()


def test_thousands_of_values_take_no_time() -> None:
    rng = np.random.default_rng(0)
    joint = rng.poisson(0.1, (3000, 30)) + np.eye(3000, 30, dtype=int)
    began = time.perf_counter()
    assert len(additions(depending(joint, "instruction"))) <= 8
    assert time.perf_counter() - began < 3


def test_viewpoints_over_the_whole_range_free_the_position() -> None:
    rows = {"a": [("-0.05", "-10")] * 30, "b": [("0.05", "10")] * 30}
    said = remedies(*islands("object sideways", "camera angle", rows), {"a": "A", "b": "B"})
    found = named(said, "viewpoint")
    assert found.before == pytest.approx(1)
    copies = [normalized_mutual_information(np.diag([30, 30]) + n * np.full((2, 2), 15)) for n in COPIES]
    assert found.after == pytest.approx(copies)
    assert found.after[-1] < 0.2
    assert found.commands == (
        "cezanne augment data=A out=A-wide chain=[viewpoint] viewpoint.sampler=arc viewpoint.low=0 viewpoint.high=20",
        "cezanne augment data=B out=B-wide chain=[viewpoint] viewpoint.sampler=arc viewpoint.low=-20 viewpoint.high=0",
    )
    assert said[0] is found


def test_colours_change_nothing_and_no_command_is_given() -> None:
    rows = {"a": [("-0.05", "-10 to 0")] * 9 + [("0.05", "-10 to 0")], "b": [("0.05", "0 to 10")] * 10}
    found = named(remedies(*islands("object sideways", "camera angle", rows), {"a": "A", "b": "B"}), "photometric")
    assert found.after == pytest.approx([found.before] * len(COPIES))
    assert found.commands == ()


def test_new_rooms_are_one_more_value_for_all() -> None:
    rows = {"a": [("can", "red")] * 10, "b": [("jug", "blue")] * 10}
    found = named(remedies(*islands("object", "background", rows), {"a": "A", "b": "B"}), "background")
    assert found.after[0] == pytest.approx(normalized_mutual_information(np.array([[10, 0, 10], [0, 10, 10]])))
    assert found.after[1] < found.after[0] < found.before


def test_a_swap_is_of_the_own_objects_where_that_is_enough_and_else_of_all() -> None:
    apart = {"a": [("can", "red")] * 10, "b": [("jug", "blue")] * 10}
    found = named(remedies(*islands("object", "scene", apart), {"a": "A", "b": "B"}), "swap")
    assert found.after[0] == pytest.approx(normalized_mutual_information(np.array([[10, 10], [10, 10]])))
    assert "swap.library=" in found.commands[0]
    inside = {"a": [("can", "red")] * 10 + [("jug", "blue")] * 10, "b": [("can", "red")] * 10 + [("jug", "blue")] * 10}
    found = named(remedies(*islands("object", "scene", inside), {"a": "A", "b": "B"}), "swap")
    assert found.after[0] == pytest.approx(0, abs=1e-9)
    assert "swap.library" not in found.commands[0]


def test_other_arms_are_shown_of_what_the_panda_did() -> None:
    rows = {"a": [("can", "panda")] * 10, "b": [("jug", "ur5e")] * 10}
    found = named(remedies(*islands("object", "robot", rows), {"a": "A", "b": "B"}), "embodiment")
    assert found.after[0] == pytest.approx(normalized_mutual_information(np.array([[10, 10], [0, 10]])))
    assert len(found.commands) == 1
    assert "embodiment.arm=ur5e" in found.commands[0]
    rows = {"a": [("can", "sawyer-like")] * 10, "b": [("jug", "other")] * 10}
    assert "embodiment" not in {r.name for r in remedies(*islands("object", "robot", rows), {"a": "A", "b": "B"})}


@pytest.mark.parametrize(
    ("u", "v", "says"),
    [
        ("object sideways", "camera angle", "a policy can read the object's position off the camera."),
        ("object forwards", "camera distance", "a policy can read the object's position off the camera."),
        ("object", "robot", "a policy can read the object off the robot."),
        ("instruction", "background", "a policy can read the instruction off the background."),
        ("object", "start pose", "a policy can read the object off the arm's start pose."),
        ("object", "sub-dataset", "a policy can read the object off the looks of its sub-dataset."),
    ],
)
def test_the_verdict_is_a_sentence(u: str, v: str, says: str) -> None:
    said = verdict(depending([[20, 0], [0, 20]], u, v), 0.001)
    assert said == f"{noun(u).capitalize()} and {v} share 1.00 of their information (p = 0.001): {says}"


def test_the_verdict_is_as_strong_as_the_data() -> None:
    assert "can guess the object's position from the camera" in verdict(depending([[20, 6], [6, 20]]), 0.001)
    assert "says little" in verdict(depending([[300, 240], [240, 300]]), 0.001)
    assert "by chance" in verdict(depending([[3, 0], [0, 3]], null=0.4), 0.001)
    assert "inside left" in verdict(depending([[20, 0], [0, 20]], where="left"), 0.001)
    assert verdict(depending([[3, 1], [1, 3]], null=0.2), 0.6).startswith("No pair of factors can be told to depend")
    assert "nothing can be said" in verdict(None, 1.0)
