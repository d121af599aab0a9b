"""A heuristic top-down grasp: carve the object out of the masks, grasp what was carved. No state of the simulation, no learning.

It has what a calibrated robot has: the masks of its two cameras, where the cameras stand, its joints and the opening of its jaw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from eval.errors import EvalError
from eval.references.course import Course
from eval.references.hull import Hull, carve
from eval.references.rig import Rig, View
from hardware.api import ActionChunk, Observation
from sim.grasp import Grasp, closing, propose_grasps
from sim.path import Path
from sim.scene import WORKSPACE

LIFT = 0.17
"""How far a grasp is lifted [m]."""
EMPTY, STUCK = 0.016, 0.97
"""A jaw that was told to close and is open less than the one holds nothing; open more than the other it stands on something."""
REACH = 0.22
"""Objects are looked for within this distance of the middle of the workspace, in x and in y [m]."""
TALL = 0.30
"""Objects are not higher than this [m]."""
COARSE, FINE = 0.008, 0.002
"""Cells of the first look and of the shape that is grasped [m]."""
DOUBT = (0.1, 0.3, 0.5)
"""Share of the views that may be wrong about a place; more where they agree on none."""
ABOVE = 0.14
"""How far over the object's top the hand looks from [m]."""
AHEAD = 0.07
"""How far the wrist camera is in front of the hand [m]."""
TURN = -1.1
"""How the hand is turned when its camera looks from the side away from the fixed camera [rad]."""
ROOM = (0.004, 0.002, 0.0)
"""What is left free beside the fingers, since the shape is known to a few millimetres; less where there is no such grasp [m]."""
OPEN = 0.95
"""A jaw that is open less than this hides what the robot does not expect it to hide."""
DT = 0.05
"""One control step [s]."""


class Heuristic:
    """Looks, carves, grasps; looks again where the jaw closed on nothing."""

    execute = 4

    def __init__(self, rig: Rig | None = None) -> None:
        self._rig = rig or Rig(lift=LIFT)
        self.reset("")

    def reset(self, instruction: str) -> None:
        """Starts a new trial: nothing has been seen."""
        self._views: dict[str, list[View]] = {name: [] for name in self._rig.cameras}
        self._course: Course | None = None
        self._path: Path | None = None
        self._tried: list[Grasp] = []
        self.hull: Hull | None = None

    def predict(self, observation: Observation) -> ActionChunk:
        """The next commands: of looking, of a grasp, or of looking again."""
        now = observation.time
        if self._course is None:
            self._see(observation)
            self._start(now, self._look(observation))
        elif self._path is None:
            self._see(observation)
            if self._course.over(now):
                self._plan(observation)
        elif self._course.step(now) >= self._path.lift and not EMPTY < observation.gripper.max() < STUCK:
            self._path = None
            self._start(now, self._look(observation))
        assert self._course is not None
        return self._course.chunk(now)

    def _start(self, now: float, targets: np.ndarray) -> None:
        self._course = Course(targets, now, DT, targets.shape[1] - 1)

    def _see(self, observation: Observation) -> None:
        """Keeps what the cameras show of the object now."""
        for name, views in self._views.items():
            if name not in observation.masks:
                raise EvalError(f"reference heuristic needs the masks of cameras {', '.join(self._views)}; there is none of {name!r}")
            if observation.masks[name].any() and observation.gripper.max() >= OPEN:
                views.append(self._rig.view(name, observation.masks[name], observation.qpos))

    def _look(self, observation: Observation) -> np.ndarray:
        """Targets (T, n + 1), jaw open, of a way to where the wrist camera sees what the fixed one does not; after a failure up first."""
        rig, hull = self._rig, self.hull if self._tried else self._carve(COARSE)
        if hull is None:
            stops = [(np.array([*WORKSPACE, 0.3]), 0.0)]
        else:
            low, high = hull.bounds()
            height = max(high[2] + ABOVE, 0.2)
            corner, middle = np.array([*low[:2] - 0.02, height]), np.array([*(low + high)[:2] / 2, height])
            if self._tried:  # there is no time to turn
                here, yaw = rig.grip_pose(observation.qpos)[0], self._tried[-1].yaw
                stops = [(np.array([*here[:2], max(here[2], high[2] + 0.06)]), yaw), (corner - AHEAD * front(yaw), yaw)]
            else:
                stops = [(corner - AHEAD * front(TURN), TURN), (middle, 0.0)]
        if self._tried:  # it may have been pushed
            self._views = {name: [] for name in self._views}
        joints = rig.router.tour(observation.qpos, stops)
        return np.column_stack([joints, np.ones(len(joints))])

    def _carve(self, cell: float) -> Hull | None:
        """The shape that everything seen since the last look encloses."""
        fixed = [steady(views) for name, views in self._views.items() if views and self._rig.cameras[name].body == "world"]
        moving = [view for name, views in self._views.items() if self._rig.cameras[name].body != "world" for view in views]
        x, y = WORKSPACE
        low, high = np.array([x - REACH, y - REACH, 0]), np.array([x + REACH, y + REACH, TALL])
        if not fixed + moving:
            return None
        for doubt in DOUBT:
            hull = carve(fixed + moving, low, high, COARSE, doubt=doubt)
            if hull is not None and cell != COARSE:
                low, high = hull.bounds()
                margin = np.array([2 * COARSE, 2 * COARSE, 0])
                return carve(fixed + moving, low - margin, high + margin + [0, 0, COARSE], cell, doubt=doubt)
            if hull is not None:
                return hull
        return None

    def _plan(self, observation: Observation) -> None:
        """Sets out for the best grasp of what was seen; looks on where there is none."""
        self.hull = self._carve(FINE)
        for grasp in [] if self.hull is None else self._grasps(self.hull):
            path = self._rig.router.path(grasp, observation.qpos)
            if path is not None:
                self._path = path
                self._tried.append(grasp)
                self._start(observation.time, path.targets)
                return
        self._tried = []
        self._start(observation.time, self._look(observation))

    def _grasps(self, hull: Hull) -> list[Grasp]:
        """Best first: with room for the fingers, and none again that failed while there are others."""
        found = next(filter(None, (propose_grasps(hull.widened(room)) for room in ROOM)), [])
        new = [grasp for grasp in found if not any(alike(grasp, other) for other in self._tried)]
        return [*new, narrowest(hull), *found]


def alike(a: Grasp, b: Grasp) -> bool:
    """Whether two grasps would go the same way."""
    turn = abs((a.yaw - b.yaw + np.pi / 2) % np.pi - np.pi / 2)
    return bool(np.linalg.norm(a.pos - b.pos) < 0.01 and turn < 0.3)


def steady(views: Sequence[View]) -> View:
    """What most of the pictures of a fixed camera agree on; a pixel is known if the robot left it free once."""
    known = np.sum([view.known for view in views], axis=0)
    seen = np.sum([view.mask & view.known for view in views], axis=0)
    return replace(views[0], mask=seen * 2 > known, known=known > 0)


def front(yaw: float) -> np.ndarray:
    """The side of the hand on which its camera is, (3,)."""
    return np.array([np.cos(yaw), np.sin(yaw), 0.0])


def narrowest(hull: Hull) -> Grasp:
    """Across the narrowest extent of a shape, through its middle, as deep as fingers and table allow: where nothing better is found."""
    cells = np.argwhere(hull.filled.any(axis=2)) * hull.cell  # (N, 2)
    yaws = np.linspace(-np.pi / 2, np.pi / 2, 36, endpoint=False)
    extent = [np.ptp(cells @ closing(yaw)[:2]) for yaw in yaws]
    best = int(np.argmin(extent))
    low, high = hull.bounds()
    deep = max(0.0115, high[2] - 0.029)
    return Grasp(np.array([*(low + high)[:2] / 2, deep]), float(yaws[best]), float(extent[best]), 0.0)
