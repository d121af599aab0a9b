"""The study of shortcuts: cells say what they mean, the proxy scores as it should, the sentences follow the numbers, a job runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conf.compose import compose
from eval.errors import EvalError
from eval.shortcuts.cell import CURES, ENCODERS, Cell, Part, parts
from eval.shortcuts.document import targets
from eval.shortcuts.figure import draw
from eval.shortcuts.finding import Estimate, Finding
from eval.shortcuts.footage import cameras, film, perform, plays, scene
from eval.shortcuts.island import ASIDE
from eval.shortcuts.job import CPU, Job, Workshop
from eval.shortcuts.trial import Attempt
from eval.studies.runner import StudyConfig
from sim.camera import WRIST, rotated
from sim.simrobot import SimRobot

CELLS = [cell for part in parts() for cell in part.cells]
TINY = replace(CPU, demonstrations=2, size=32, steps=2, batch=4, out=1, inside=1, seeds=2)


def part(name: str) -> Part:
    return next(part for part in parts() if part.name == name)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.label)
def test_a_cell_tests_from_where_it_was_trained_and_swaps_what_was_not_seen(cell: Cell) -> None:
    assert cell.encoder in ENCODERS
    assert cell.cure in CURES
    for tasks, others in (cell.islands, cell.islands[::-1]):
        assert all(task.low <= task.edge <= task.high for task in tasks)
        assert len({math.copysign(1, task.place[1]) for task in tasks}) == 1
        assert all(not task.low <= other.edge <= task.high for task in tasks for other in others)


def test_cells_of_two_figures_share_their_jobs() -> None:
    whole, first = part("diversity").cells[0], part("disparity").cells[0]
    assert whole != first
    assert Job(whole, 0, CPU).key == Job(first, 0, CPU).key
    keys = {Job(cell, seed, CPU).key for cell in CELLS for seed in range(2)}
    distinct = {str((replace(cell, part="", x=0), seed)) for cell in CELLS for seed in range(2)}
    assert len(keys) == len(distinct)


def test_edges_stay_while_middles_come_together_and_the_other_way_round() -> None:
    def middles(cell: Cell) -> tuple[float, float]:
        a, b = ((tasks[0].low + tasks[0].high) / 2 for tasks in cell.islands)
        return a, b

    edges = [cell for cell in part("diversity").cells if cell.encoder == "keypoints"]
    centres = [cell for cell in part("centres").cells if cell.encoder == "keypoints"]
    assert len({cell.islands[0][0].low for cell in edges}) == 1
    assert np.diff([middles(cell)[1] - middles(cell)[0] for cell in edges]).max() < 0
    assert len({middles(cell) for cell in centres}) == 1


def test_more_viewpoints_are_one_for_each_task() -> None:
    seen = {cell.x: {task.edge for tasks in cell.islands for task in tasks} for cell in part("viewpoints").cells}
    assert {x: len(edges) for x, edges in seen.items()} == {2: 2, 4: 4, 10: 10}


@pytest.mark.parametrize(
    ("wanted", "tempting", "degree"), [(0.01, 0.24, 0.0), (0.24, 0.01, 1.0), (0.12, 0.12, 0.5), (0.09, 0.15, 0.5), (None, None, 0.5)]
)
def test_the_proxy_scores_who_went_where(wanted: float | None, tempting: float | None, degree: float) -> None:
    assert Attempt("out", 0, False, wanted, tempting).degree == degree


@pytest.mark.parametrize("degrees", [-30.0, 0.0, 12.5, 180.0])
def test_a_turned_camera_keeps_its_distance_from_the_base_and_what_it_sees_of_a_turned_world(degrees: float) -> None:
    from sim.camera import SIDE

    turned, angle = rotated(SIDE, degrees), np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    point = np.array([0.5, 0.1, 0.03])
    before = np.linalg.inv(SIDE.extrinsics()) @ np.append(point, 1)
    after = np.linalg.inv(turned.extrinsics()) @ np.append(turn @ point, 1)
    assert after == pytest.approx(before, abs=1e-9)
    assert rotated(turned, -degrees).pos == pytest.approx(SIDE.pos, abs=1e-12)


def test_the_film_is_what_a_scene_with_that_camera_shows(tmp_path: Path) -> None:
    cell = replace(CELLS[0], named=True, wrist=True)
    for wanted in plays(cell, 1):
        perform(tmp_path, wanted)
    rng = np.random.default_rng(0)
    episodes = list(film(cell, tmp_path, 1, 32, rng))
    assert [episode.provenance["island"] for episode in episodes] == [0, 1]
    for episode, tasks in zip(episodes, cell.islands, strict=True):
        with SimRobot(scene(tasks[0], True, cameras(cell, episode.provenance["angle"]), 32)) as robot:
            robot.set_state(episode.state[20])
            seen = robot.observe()
        for name in ("side", WRIST.name):
            assert np.array_equal(seen.images[name], episode.images[name][20])
            assert np.array_equal(seen.masks[name], episode.masks[name][20])
        there = {body: robot.data.body(body).xpos[1] for body in ("object", "distractor0")}
        side = np.sign(tasks[0].place[1])
        assert side * there["object"] > 0 > side * there["distractor0"]
        assert there["distractor0"] == pytest.approx(-side * ASIDE, abs=0.025)


def record(job: Job, degree: float, success: float) -> dict[str, Any]:
    def attempt(pairing: str, island: int, k: int) -> dict[str, Any]:
        tempted = pairing == "out" and k < 10 * degree
        return asdict(Attempt(pairing, island, pairing == "in" or k < 10 * success, 0.24 if tempted else 0.01, 0.01 if tempted else 0.24))

    tried = [attempt(pairing, island, k) for pairing in ("in", "out") for island in (0, 1) for k in range(10)]
    return {"seed": job.seed, "code": "abc", "seconds": {"data": 1.0, "training": 2.0, "trials": 3.0}, "attempts": tried}


def finding(name: str, of: Mapping[float, tuple[float, float]]) -> Finding:
    return Finding.of(part(name), CPU, lambda job: record(job, *of.get(job.cell.x, (0.5, 0.5))))


def test_targets_are_met_or_missed_by_the_numbers() -> None:
    good = finding("diversity", {0.0: (1.0, 0.0), 0.75: (0.0, 0.8)})
    bad = finding("diversity", {0.0: (0.6, 0.2), 0.75: (0.5, 0.1)})
    assert [line.split(", ")[-1] for line in targets([good])] == ["met.", "met."]
    assert [line.split(", ")[-1] for line in targets([bad])] == ["MISSED.", "MISSED."]


def test_a_curve_that_turns_is_said_to() -> None:
    falls = finding("disparity", {1.0: (1.0, 0.0), 0.667: (0.8, 0.1), 0.333: (0.3, 0.5), 0.167: (0.0, 0.9)}).answer()[0]
    turns = finding("diversity", {0.0: (1.0, 0.0), 0.25: (0.0, 0.5), 0.5: (1.0, 0.0), 0.75: (0.0, 0.9)}).answer()[0]
    assert "it rises within the intervals at every step" in falls  # from the nearest cameras to the furthest
    assert "goes the other way" in turns


def test_intervals_are_over_policies_not_rollouts() -> None:
    agree = Estimate.of({(seed, island): [1.0, 0.0] * 8 for seed in range(3) for island in range(2)})
    differ = Estimate.of({(seed, island): [float(seed == 0)] * 16 for seed in range(3) for island in range(2)})
    assert agree.value == 0.5
    assert agree.high - agree.low < 0.4 < differ.high - differ.low
    assert differ.by_seed == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("name", ["diversity", "cures"])
def test_figures_are_the_same_for_the_same_numbers(name: str, tmp_path: Path) -> None:
    found = finding(name, {})
    pages = [draw(found, tmp_path / f"{k}.svg").read_bytes() for k in range(2)]
    assert pages[0] == pages[1]


def test_a_job_keeps_its_record(tmp_path: Path) -> None:
    cell = next(cell for cell in CELLS if cell.encoder == "detection" and cell.cure == "viewpoint" and not cell.named)
    job = Job(cell, 0, TINY)
    for wanted in plays(cell, TINY.demonstrations):
        perform(tmp_path / "play", wanted)
    made = Workshop(tmp_path, 1)()(job)
    assert made["episodes"] == 8
    assert [(a["pairing"], a["island"]) for a in made["attempts"]] == [("in", 0), ("in", 1), ("out", 0), ("out", 1)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jobs", "play"]
    assert (tmp_path / "jobs" / f"{job.key}.json").exists()


@pytest.mark.parametrize(("key", "value"), [("checkpoint", "runs/x"), ("suite", "toys"), ("seed", 3)])
def test_keys_that_say_nothing_are_refused(key: str, value: object) -> None:
    with pytest.raises(EvalError, match=key):
        StudyConfig(**{"name": "shortcuts", key: value})
    with pytest.raises(EvalError, match="part"):
        StudyConfig(name="pooling", part="cures")


@pytest.mark.parametrize("encoder", ENCODERS)
def test_encoders_are_configurations_of_training(encoder: str) -> None:
    from policies.config import TrainConfig

    compose("train", TrainConfig, list(ENCODERS[encoder]))
