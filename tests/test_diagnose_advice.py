"""Advice: what is promised is what would happen, by counting and by doing it."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from diagnose_world import table_of
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from omegaconf import OmegaConf

from augment.config import AugmentConfig
from augment.diagnose.advice import COPIES, GOOD, additions, noun, remedies, verdict
from augment.diagnose.factors import Table
from augment.diagnose.information import Dependence, depend, joint_counts, normalized_mutual_information

TABLES = arrays(np.int64, st.tuples(st.integers(2, 4), st.integers(2, 4)), elements=st.integers(0, 30)).filter(lambda t: t.sum() > 0)


def dependence(joint: np.ndarray, u: str = "object sideways", v: str = "camera angle") -> Dependence:
    labels = [tuple(map(str, range(n))) for n in joint.shape]
    return Dependence(u, v, "mixture", joint, labels[0], labels[1], normalized_mutual_information(joint), 0.0, 0.001)


def worst_of(table: Table, u: str, v: str, where: str = "mixture") -> Dependence:
    rows = [k for k, owner in enumerate(table.owner) if where in ("mixture", owner)]
    pair = [(name, [table.named(name).values[k] for k in rows]) for name in (u, v)]
    return depend(pair[0], pair[1], np.random.default_rng(0), where=where, permutations=99)


def folders(table: Table) -> dict[str, str]:
    return {name: f"data/{name}" for name in table.owner}


@settings(max_examples=60, deadline=None)
@given(TABLES)
def test_every_addition_does_what_it_says_and_none_is_in_vain(joint: np.ndarray) -> None:
    now, table = normalized_mutual_information(joint), joint.astype(float)
    for a in additions(dependence(joint)):
        assert a.before == pytest.approx(now)
        table[int(a.u), int(a.v)] += a.count
        now = normalized_mutual_information(table)
        assert a.after == pytest.approx(now)
        assert a.after < a.before


def test_two_islands_are_bridged_by_the_two_empty_cells() -> None:
    said = additions(dependence(np.diag([20, 20])))
    assert {(a.u, a.v, a.count) for a in said} == {("0", "1", 20), ("1", "0", 20)}
    assert said[-1].after == pytest.approx(0, abs=1e-12)
    assert not additions(dependence(np.full((2, 2), 20)))
    assert additions(dependence(np.diag([20, 20, 20])))[-1].after < 0.35  # a bridge needs six cells here
    assert all(a.before > GOOD for a in said)


def islands(spread: float = 0.0, n: int = 40) -> Table:
    rng = np.random.default_rng(1)
    angles = np.concatenate([-10 + rng.uniform(-spread, spread, n), 20 + rng.uniform(-spread, spread, n)]).round()
    return table_of(
        ["a"] * n + ["b"] * n,
        ("object sideways", ["left"] * n + ["right"] * n),
        ("camera angle", [f"{v:g}" for v in angles]),
        "given [deg]",
    )


@pytest.mark.parametrize("spread", [0.0, 2.0])
def test_viewpoints_bring_what_the_commands_would_draw(spread: float) -> None:
    table = islands(spread)
    found = worst_of(table, "object sideways", "camera angle")
    remedy = next(r for r in remedies(table, found, folders(table)) if r.name == "viewpoint")
    assert remedy.before == pytest.approx(found.nmi)
    rng, known = np.random.default_rng(0), np.array([float(label) for label in found.v_labels])
    u, v = (table.named(name).values for name in ("object sideways", "camera angle"))
    done = {command.split("data=data/")[1][0]: configuration(command).viewpoint for command in remedy.commands}
    for copies, after in zip(COPIES, remedy.after, strict=True):
        drawn_u, drawn_v = [*u] * 300, [*v] * 300  # every episode many times, so that the draw is near its mean
        for owner, row, column in zip(table.owner, u, v, strict=True):
            turned = float(column) + rng.uniform(done[owner].low, done[owner].high, 300 * copies)
            drawn_u += [row] * len(turned)
            drawn_v += [found.v_labels[k] for k in np.abs(turned[:, None] - known).argmin(1)]
        assert normalized_mutual_information(joint_counts(drawn_u, drawn_v)[0]) == pytest.approx(after, abs=0.02)
    assert remedy.after[1] < remedy.after[0] < remedy.before


def configuration(command: str) -> AugmentConfig:
    words = command.split()
    assert words[:2] == ["cezanne", "augment"]
    made = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(AugmentConfig), OmegaConf.from_dotlist(words[2:])))
    assert isinstance(made, AugmentConfig)
    return made


def test_colours_change_nothing_that_was_asked_about() -> None:
    table = islands()
    said = remedies(table, worst_of(table, "object sideways", "camera angle"), folders(table))
    assert [r.name for r in said] == ["viewpoint", "photometric"]
    assert said[-1].after == pytest.approx([said[-1].before] * len(COPIES))
    assert not said[-1].commands


@pytest.mark.parametrize(("objects", "library"), [(("can", "cup"), True), (("can", "cup", "can", "cup"), False)])
def test_swaps_use_the_objects_that_are_there(objects: tuple[str, ...], library: bool) -> None:
    n, half = 30, len(objects) // 2
    first, second = (list(objects[:half]) * n)[:n], (list(objects[half:]) * n)[:n]
    angles = ["-10"] * n + ["20"] * n
    if not library:  # dependent inside each sub-dataset
        angles = ["-10" if name == "can" else "20" for name in first + second]
    table = table_of(["a"] * n + ["b"] * n, ("object", first + second), ("camera angle", angles))
    said = {r.name: r for r in remedies(table, worst_of(table, "object", "camera angle"), folders(table))}
    assert all(("swap.library=" in command) is library for command in said["swap"].commands)
    assert said["swap"].after[0] == pytest.approx(0, abs=1e-9)  # two objects: each copy holds the other one


def test_other_arms_are_for_what_the_panda_did() -> None:
    table = table_of(["a"] * 20 + ["b"] * 20, ("object", ["can"] * 20 + ["cup"] * 20), ("robot", ["panda"] * 20 + ["ur5e_robotiq"] * 20))
    said = {r.name: r for r in remedies(table, worst_of(table, "object", "robot"), folders(table))}
    command = "cezanne augment data=data/a out=data/a-ur5e_robotiq chain=[embodiment] embodiment.arm=ur5e_robotiq keep=false"
    assert said["embodiment"].commands == (command,)
    assert 0 < said["embodiment"].after[0] < said["embodiment"].before
    foreign = table_of(["a"] * 20 + ["b"] * 20, ("instruction", ["x"] * 20 + ["y"] * 20), ("robot", ["sawyer"] * 20 + ["google"] * 20))
    assert "embodiment" not in {r.name for r in remedies(foreign, worst_of(foreign, "instruction", "robot"), folders(foreign))}


def test_painted_rooms_keep_what_the_originals_tell() -> None:
    table = table_of(
        ["a"] * 20 + ["b"] * 20, ("object forwards", ["near"] * 20 + ["far"] * 20), ("background", ["oak"] * 20 + ["ash"] * 20)
    )
    said = next(r for r in remedies(table, worst_of(table, "object forwards", "background"), folders(table)) if r.name == "background")
    assert said.after[0] == pytest.approx(2 * 0.5 / (1 + 1.5))  # half of the data still tells its bit
    assert said.after[1] < said.after[0]


def test_every_command_is_one_that_augment_takes() -> None:
    for u, v, values in (
        ("object", "camera height", ("0.4", "0.9")),
        ("instruction", "table", ("oak", "ash")),
        ("object", "light", ("day", "night")),
        ("object", "robot", ("panda", "iiwa_jaw")),
    ):
        table = table_of(["a"] * 9 + ["b"] * 9, (u, ["x"] * 9 + ["y"] * 9), (v, [values[0]] * 9 + [values[1]] * 9))
        commands = [c for r in remedies(table, worst_of(table, u, v), folders(table)) for c in r.commands]
        assert commands
        assert all(configuration(command).data.startswith("data/") for command in commands)


def test_inside_a_sub_dataset_only_that_one_is_mended() -> None:
    n = 20
    table = table_of(
        ["a"] * n + ["b"] * n,
        ("object sideways", (["l"] * 10 + ["r"] * 10) * 2),
        ("camera angle", ["0"] * 10 + ["9"] * 10 + ["0", "9"] * 10),
    )
    said = remedies(table, worst_of(table, "object sideways", "camera angle", "a"), folders(table))
    assert [command.split()[2] for r in said for command in r.commands] == ["data=data/a"]


def test_the_verdict_says_what_was_found_and_how_sure_it_is() -> None:
    found = dependence(np.diag([20, 20]))
    assert verdict(found, 0.001) == (
        "Object position to the side and camera angle share 1.00 of their information (p = 0.001): "
        "a policy can read the object's position off the camera."
    )
    assert verdict(found, 0.4).startswith("No pair of factors can be told to depend")
    assert "nothing can be said" in verdict(None, 1.0)
    assert "share only" in verdict(dependence(np.array([[30, 25], [25, 30]])), 0.01)


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
def test_the_verdict_is_a_sentence_for_every_pair(u: str, v: str, says: str) -> None:
    said = verdict(dependence(np.diag([20, 20]), u, v), 0.001)
    assert said == f"{noun(u).capitalize()} and {v} share 1.00 of their information (p = 0.001): {says}"


def test_the_verdict_is_as_strong_as_the_data() -> None:
    assert "can guess the object's position from the camera" in verdict(dependence(np.array([[20, 6], [6, 20]])), 0.001)
    fine = np.array([[9, 9, 9, 0, 0, 0], [0, 0, 0, 9, 9, 9]])  # many angles on either side of one that tells all
    assert "share 0.56 of their information (p = 0.001): a policy can read" in verdict(dependence(fine), 0.001)
    few = replace(dependence(np.array([[20, 6], [6, 20]])), null=0.18)
    assert "share 0.22 of their information, where so few episodes share 0.18 by chance" in verdict(few, 0.01)
    assert verdict(few, 0.01).endswith("the camera says little of the object's position.")
    assert "inside left" in verdict(replace(few, where="left"), 0.01)


def test_the_first_addition_is_the_best_there_is() -> None:
    joint = np.array([[14, 0, 3], [2, 9, 0]])
    first = additions(dependence(joint))[0]
    others = [normalized_mutual_information(joint + first.count * np.eye(6, dtype=int)[k].reshape(2, 3)) for k in range(6)]
    assert first.after == pytest.approx(min(others))


def test_thousands_of_values_take_no_time() -> None:
    joint = np.random.default_rng(0).poisson(0.1, (3000, 30)) + np.eye(3000, 30, dtype=int)
    began = time.perf_counter()
    assert len(additions(dependence(joint, "instruction"))) <= 8
    assert time.perf_counter() - began < 3
