"""A heuristic top-down grasp: carve the object out of the masks, grasp what was carved. No state of the simulation, no learning.

It has what a calibrated robot has: the masks of its two cameras, where the cameras stand, its joints and the opening of its jaw.
"""

from __future__ import annotations

from dataclasses import dataclass

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
EMPTY = 0.01
"""A jaw that was told to close and is open less than this holds nothing."""
REACH = 0.22
"""Objects are looked for within this distance of the middle of the workspace, in x and in y [m]."""
TALL = 0.30
"""Objects are not higher than this [m]."""
COARSE, FINE = 0.008, 0.0025
"""Cells of the first look and of the shape that is grasped [m]."""


@dataclass(frozen=True)
class Settings:
    """How it looks and grasps."""

    dt: float = 0.05
    """One control step [s]."""
    turn: float = 1.0
    """The hand is turned this far to either side to look at the object from beside [rad]."""
    above: float = 0.14
    """How far over the object's top the hand looks from [m]."""
    aside: float = 0.03
    """How far beside the object the hand looks from [m]."""


class Heuristic:
    """Looks, carves, grasps; looks again where the jaw closed on nothing."""

    execute = 4

    def __init__(self, settings: Settings | None = None, rig: Rig | None = None) -> None:
        self._settings, self._rig = settings or Settings(), rig or Rig(lift=LIFT)
        self.reset("")

    def reset(self, instruction: str) -> None:
        """Starts a new trial: nothing has been seen."""
        self._views: list[View] = []
        self._course: Course | None = None
        self._path: Path | None = None
        self.hull: Hull | None = None

    def predict(self, observation: Observation) -> ActionChunk:
        """The next commands: of looking, of a grasp, or of looking again."""
        now = observation.time
        if self._course is None:
            self._see(observation)
            self._start(now, self._look(observation, again=False))
        elif self._path is None:
            self._see(observation)
            if self._course.over(now):
                self._plan(observation)
        elif self._course.step(now) >= self._path.lift and observation.gripper.max() < EMPTY:
            self._views, self._path = [], None
            self._start(now, self._look(observation, again=True))
        assert self._course is not None
        return self._course.chunk(now)

    def _start(self, now: float, targets: np.ndarray) -> None:
        self._course = Course(targets, now, self._settings.dt)

    def _see(self, observation: Observation) -> None:
        """Keeps what the cameras show of the object now."""
        for name in self._rig.cameras:
            if name not in observation.masks:
                raise EvalError(f"reference heuristic needs the masks of cameras {', '.join(self._rig.cameras)}; there is none of {name!r}")
            self._views.append(self._rig.view(name, observation.masks[name], observation.qpos))

    def _look(self, observation: Observation, *, again: bool) -> np.ndarray:
        """Targets (T, n + 1) of a way around the object, or up from it, jaw open."""
        rig, settings = self._rig, self._settings
        here, _ = rig.grip_pose(observation.qpos)
        hull = self.hull if again else self._coarse()
        if hull is None:
            stops = [(np.array([*WORKSPACE, 0.3]), 0.0)]
        else:
            low, high = hull.bounds()
            middle = np.array([*(low + high)[:2] / 2, max(high[2] + settings.above, 0.2)])
            stops = []
            if again:
                stops.append((np.array([*here[:2], max(here[2], high[2] + 0.08)]), self._yaw))
            for yaw in (-settings.turn, settings.turn) if not again else (-np.sign(self._yaw) * settings.turn,):
                stops.append((middle + settings.aside * front(yaw), yaw))
        joints = rig.router.tour(observation.qpos, stops)
        return np.column_stack([joints, np.ones(len(joints))])

    def _coarse(self) -> Hull | None:
        x, y = WORKSPACE
        return carve(self._views, np.array([x - REACH, y - REACH, 0]), np.array([x + REACH, y + REACH, TALL]), COARSE)

    def _fine(self) -> Hull | None:
        """The shape that all views since the last look enclose."""
        coarse = self._coarse()
        if coarse is None:
            return None
        low, high = coarse.bounds()
        margin = np.array([2 * COARSE, 2 * COARSE, 0])
        return carve(self._views, low - margin, high + margin + [0, 0, COARSE], FINE)

    def _plan(self, observation: Observation) -> None:
        """Sets out for the best grasp of what was seen; stays where nothing can be done."""
        now, qpos = observation.time, observation.qpos
        self.hull = self._fine()
        if self.hull is not None:
            for grasp in [*propose_grasps(self.hull), narrowest(self.hull)]:
                path = self._rig.router.path(grasp, qpos)
                if path is not None:
                    self._path, self._yaw = path, grasp.yaw
                    self._start(now, path.targets)
                    return
        self._views = []
        self._start(now, self._look(observation, again=False))


def front(yaw: float) -> np.ndarray:
    """The side of the hand on which its camera is, (3,)."""
    return np.array([np.cos(yaw), np.sin(yaw), 0.0])


def narrowest(hull: Hull) -> Grasp:
    """Across the narrowest extent of a shape, through its middle, as deep as fingers and table allow: where nothing better is found."""
    cells = np.argwhere(hull.filled.any(axis=2)) * FINE  # (N, 2)
    yaws = np.linspace(-np.pi / 2, np.pi / 2, 36, endpoint=False)
    extent = [np.ptp(cells @ closing(yaw)[:2]) for yaw in yaws]
    best = int(np.argmin(extent))
    low, high = hull.bounds()
    deep = max(0.0115, high[2] - 0.029)
    return Grasp(np.array([*(low + high)[:2] / 2, deep]), float(yaws[best]), float(extent[best]), 0.0)
