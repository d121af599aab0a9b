"""Demonstrations of both islands' places, made once, and what a cell makes of them: drawn from its camera angles, mended by its cure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from assets.toys import Toy
from episodes import DatasetInfo, DatasetWriter, Episode, open_dataset
from eval.errors import EvalError
from eval.shortcuts.cell import Cell
from eval.shortcuts.island import BLUE, CORNER, RED, SPREAD, Task, view
from sim.camera import WRIST, Camera, described, rotated
from sim.expert import Expert, ExpertConfig
from sim.rerender import Redrawer
from sim.scene import SceneConfig
from sim.simrobot import SimRobot
from sim.variation import PLAIN, Variation
from sim.variation.clutter import Distractor

EXPERT = ExpertConfig(retries=0.0, start_noise=0.02, path_noise=0.02)
"""The same short way every time: what is studied is where the policy goes, not how it recovers."""

BRIDGE = (Task((0.0, 0.0), 0, 0, 0),)
"""The place between the islands that is seen from both."""


@dataclass(frozen=True)
class Play:
    """Demonstrations at one place, without pictures."""

    place: tuple[float, float]
    blue: bool
    named: bool
    """Whether the other object lies on the table too."""
    demonstrations: int

    @property
    def name(self) -> str:
        """Of its shard."""
        x, y = (f"{'m' if v < 0 else 'p'}{abs(round(1000 * v))}" for v in self.place)
        return f"{'blue' if self.blue else 'red'}-{'named' if self.named else 'alone'}-{x}-{y}-{self.demonstrations}"


def scene(target: Task, named: bool, cameras: Sequence[Camera], size: int) -> SceneConfig:
    """The scene of a task."""
    return SceneConfig(BLUE if target.blue else RED, tuple(cameras), size, variation=_beside(target) if named else PLAIN)


def plays(cell: Cell, demonstrations: int) -> set[Play]:
    """What must have been played before a cell is filmed, `demonstrations` of each island."""
    wanted = {_play(cell, task, demonstrations // len(tasks)) for tasks in cell.islands for task in tasks}
    return wanted | {_play(cell, task, demonstrations // 2) for task in BRIDGE if cell.cure == "bridge"}


def perform(folder: Path, wanted: Play) -> None:
    """Makes demonstrations where they are not there yet. Raises EvalError where the expert fails at a place."""
    task = Task(wanted.place, 0, 0, 0, wanted.blue)
    with SimRobot(scene(task, wanted.named, (), 64)) as robot:
        writer = DatasetWriter(folder, DatasetInfo(1 / robot.dt, robot.arm.name, robot.arm.joints, {}))
        if writer.has(wanted.name):
            return
        expert, made, most = Expert(robot, EXPERT), list[Episode](), 3 * wanted.demonstrations
        for attempt in range(most):
            if len(made) == wanted.demonstrations:
                break
            rng = np.random.default_rng([attempt, *wanted.name.encode()])
            x, y = (float(v) for v in np.add(wanted.place, rng.uniform(-SPREAD, SPREAD, 2)))
            episode = expert.demonstrate(rng, {"place": list(wanted.place), "attempt": attempt}, at=(x, y), upright=True)
            made += [episode] if episode is not None else []
        if len(made) < wanted.demonstrations:
            raise EvalError(f"the expert lifts the can at {wanted.place} m in {len(made)} of {most} attempts only")
        writer.write(wanted.name, made)


def film(cell: Cell, folder: Path, demonstrations: int, size: int, rng: np.random.Generator) -> Iterator[Episode]:
    """The demonstrations of both islands, seen as the cell says, before its cure.

    Args:
        cell: says what lies where and is seen from where.
        folder: of the demonstrations without pictures.
        demonstrations: of each island.
        size: of the pictures [px].
        rng: of the camera angles.
    """
    for take in takes(cell, demonstrations, rng):
        with SimRobot(scene(take.task, cell.named, cameras(cell, 0.0), size)) as robot:
            redraw = Redrawer(robot)
            played = _played(folder, _play(cell, take.task, len(take.angles)))
            for episode, angle in zip(played, take.angles, strict=True):
                taken = cameras(cell, angle)
                placed = {camera.name: asdict(described(camera, size)) for camera in taken}
                said = {"toy": int(take.task.blue), "island": take.island, "angle": angle, "cameras": placed}
                seen = redraw(episode, taken)
                yield replace(seen, provenance={**seen.provenance, **said})


@dataclass(frozen=True)
class Take:
    """Demonstrations of one task, and the camera angle of each."""

    island: int
    task: Task
    angles: tuple[float, ...]
    """[deg]"""


def takes(cell: Cell, demonstrations: int, rng: np.random.Generator) -> list[Take]:
    """What is filmed for a cell from where, `demonstrations` of each island and as many in all of the bridge."""
    wanted = [(k, task, demonstrations // len(tasks)) for k, tasks in enumerate(cell.islands) for task in tasks]
    if cell.cure == "bridge":
        wanted += [
            (k, replace(task, low=tasks[0].low, high=tasks[0].high), demonstrations // 2)
            for k, tasks in enumerate(cell.islands)
            for task in BRIDGE
        ]
    return [Take(k, task, tuple(float(rng.uniform(task.low, task.high)) for _ in range(n))) for k, task, n in wanted]


def cameras(cell: Cell, angle: float) -> tuple[Camera, ...]:
    """The cameras of a cell, the first one turned about the robot's base [deg]."""
    return (rotated(view(cell.fovy), angle), *((WRIST,) if cell.wrist else ()))


def contract(cell: Cell, size: int) -> DatasetInfo:
    """What all episodes of a cell have in common."""
    with SimRobot(SceneConfig(RED, (), size)) as robot:
        joints, name, dt = robot.arm.joints, robot.arm.name, robot.dt
    return DatasetInfo(1 / dt, name, joints, {camera.name: described(camera, size) for camera in cameras(cell, 0.0)})


def _play(cell: Cell, task: Task, demonstrations: int) -> Play:
    return Play(task.place, task.blue, cell.named, demonstrations)


def _played(folder: Path, wanted: Play) -> list[Episode]:
    """What `perform` made."""
    return [episode for shard in open_dataset(folder).shards if shard.name == wanted.name for episode in shard.read(0, len(shard.lengths))]


def _beside(target: Task) -> Variation:
    """The other can where it always lies, seen from the target."""
    other: Toy = RED if target.blue else BLUE
    side = np.sign(target.place[1])
    gap = 2 * abs(target.place[1]) - 2 * CORNER
    return Variation(distractors=(Distractor(other, (1.0, 0.0, 0.0, 0.0), float(-side * np.pi / 2), gap),))
