"""One rollout of the study, and an automatic proxy of the degree of shortcut learning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.shortcuts.cell import Cell
from eval.shortcuts.footage import cameras, scene
from eval.shortcuts.island import SPREAD, Task
from hardware.api import Action, Policy
from hardware.rollout import Ending, rollout
from sim.scene import WORKSPACE
from sim.simrobot import SimRobot

STEPS = 130
"""Longest rollout [control steps]: twice a demonstration."""


@dataclass(frozen=True)
class Attempt:
    """What came of a rollout."""

    pairing: str
    """`in` distribution, or `out`: a task seen from where only the other island is seen."""
    island: int
    """Of the task."""
    success: bool
    wanted: float | None
    """Distance of the fingers to the object that is meant, when they first closed [m]; None: they never did."""
    tempting: float | None
    """Distance to the nearest place of the other island, which out of distribution is where the camera angle leads [m]."""

    @property
    def degree(self) -> float:
        """1: went for what the camera is tied to, 0: for the object that is meant, 0.5: neither, or never closed.

        A proxy of the paper's degree of shortcut learning (appendix H), which people scored from videos.
        """
        if self.wanted is None or self.tempting is None:
            return 0.5
        return 1.0 if self.tempting < self.wanted / 2 else 0.0 if self.wanted < self.tempting / 2 else 0.5


def attempts(cell: Cell, policy: Policy, size: int, count: int, pairing: str, seed: int, *, execute: int) -> list[Attempt]:
    """`count` rollouts on the tasks of each island in turn, from their own camera angles or from the other island's.

    Args:
        cell: what it was trained on.
        policy: under test.
        size: of the pictures [px].
        count: rollouts for each island.
        pairing: `in` or `out`.
        seed: of the objects' places.
        execute: actions of each chunk that are carried out.
    """
    done = list[Attempt]()
    for number, tasks in enumerate(cell.islands):
        others = cell.islands[1 - number]
        for k, task in enumerate(tasks):
            angle = task.edge if pairing == "in" else others[k % len(others)].edge
            tied = [other.place for other in others]
            repeats = range(k, count, len(tasks))
            with SimRobot(scene(task, cell.named, cameras(cell, angle), size)) as robot:
                for i in repeats:
                    rng = np.random.default_rng([seed, number, i])
                    done.append(_attempt(robot, policy, task, tied, pairing, number, rng, execute))
    return done


def _attempt(
    robot: SimRobot,
    policy: Policy,
    task: Task,
    tied: Sequence[tuple[float, float]],
    pairing: str,
    number: int,
    rng: np.random.Generator,
    execute: int,
) -> Attempt:
    robot.place(np.add(task.place, rng.uniform(-SPREAD, SPREAD, 2)), rng, upright=True)
    there = robot.object_pose[0].copy()
    closed = list[np.ndarray]()

    def until(_: int, sent: Action) -> bool:
        if not closed and float(sent.gripper[0]) < 0.5 and float(robot.gripper[0]) < 0.9:
            closed.append(robot.grip_pose[0][:2])
        return bool(robot.held and robot.object_pose[0][2] > there[2] + 0.1)

    ended = rollout(robot, policy, steps=STEPS, execute=execute, until=until)
    if not closed:
        return Attempt(pairing, number, False, None, None)
    tempting = min(float(np.linalg.norm(closed[0] - np.add(WORKSPACE, place))) for place in tied)
    return Attempt(pairing, number, ended.ending is Ending.DONE, float(np.linalg.norm(closed[0] - there[:2])), tempting)
