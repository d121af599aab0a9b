"""The ceiling: the scripted expert, who knows the simulation's state and may try its grasps before it moves."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import mujoco
import numpy as np

from eval.errors import EvalError
from eval.references.course import CHUNK, Course
from hardware.api import ActionChunk, Observation
from sim.disturbed import Disturbed
from sim.expert import Expert, ExpertConfig
from sim.path import Path
from sim.simrobot import SimRobot

LIFT = 0.17
"""How far a grasp is lifted [m]: well above what counts as a success."""
CANDIDATES = 24
"""Grasps tried before the best of them is carried out nevertheless."""


class ExpertPolicy:
    """Plans at the first observation of a trial, follows the plan, and plans again where the object is not in the hand at its end."""

    execute = CHUNK

    def __init__(self) -> None:
        self._robot: SimRobot | None = None
        self._course: Course | None = None

    def attach(self, robot: SimRobot | Disturbed) -> None:
        """Takes the connected simulation that the next trials run on; what disturbs its sensing and acting is not looked through."""
        inner = robot.robot if isinstance(robot, Disturbed) else robot
        if not isinstance(inner, SimRobot):
            raise EvalError(f"the scripted expert reads the state of a simulation; {type(inner).__name__} is none: try reference heuristic")
        if self._robot is not inner or self._model is not inner.model:
            self._expert = Expert(inner, ExpertConfig(candidates=CANDIDATES, lift=LIFT))
        self._robot, self._model = inner, inner.model
        self._course = None

    def reset(self, instruction: str) -> None:
        """Starts a new trial."""
        self._course = None

    def predict(self, observation: Observation) -> ActionChunk:
        """The next commands of the plan."""
        robot = self._robot
        if robot is None:
            raise EvalError("the scripted expert has no simulation to plan in; attach(robot) comes before a trial")
        now = float(robot.data.time)  # the observation may be of the past
        if self._course is None:
            self._course = Course(self._plan(robot, again=False), now, robot.dt, len(robot.qpos))
        elif self._course.over(now) and not robot.held:
            self._course = Course(self._plan(robot, again=True), now, robot.dt, len(robot.qpos))
        return self._course.chunk(now)

    def _plan(self, robot: SimRobot, *, again: bool) -> np.ndarray:
        """Targets (T, n + m) from here; those that stay here where nothing can be reached."""
        with unchanged(robot):
            chosen = self._expert.choose(rise=again)
            path = chosen[1] if chosen else self._best(robot, rise=again)
        return np.append(robot.qpos, robot.gripper)[None] if path is None else path.targets

    def _best(self, robot: SimRobot, *, rise: bool) -> Path | None:
        """To the best grasp that can be reached, though none was seen to hold."""
        paths = (self._expert.path(grasp, robot.qpos, rise=rise) for grasp in self._expert.grasps())
        return next((path for path in paths if path is not None), None)


@contextmanager
def unchanged(robot: SimRobot) -> Iterator[None]:
    """Puts everything in the simulation back as it was, bit for bit, at the end of the block."""
    before = copy.copy(robot.data)
    try:
        yield
    finally:
        mujoco.mj_copyData(robot.data, robot.model, before)
