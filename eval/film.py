"""Pictures of trials: the object on the table, and trials recorded as they are run once more."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from eval.outcome import Outcome
from eval.suite import Trial
from eval.trial import Rules, run_trial
from hardware.api import Policy
from sim.camera import FILM, SIDE
from sim.errors import PlacementError

SIZE = 320
"""Pictures of films are square, this many pixels a side."""
EVERY = 2
"""Control steps from one picture of a film to the next."""
_PORTRAIT, _DETAIL = 200, 800


@dataclass(frozen=True)
class Film:
    """A recorded trial."""

    outcome: Outcome
    frames: np.ndarray
    """(T, H, W, 3) uint8."""
    masks: np.ndarray
    """Where the object is seen, (T, H, W) bool."""
    fps: float


def film(robot, policy: Policy, trial: Trial, rules: Rules, *, suite: str, execute: int) -> Film:
    """Runs a trial as it was run before, and records it."""
    recorder = Recorder(robot)
    outcome = run_trial(robot, policy, trial, rules, suite=suite, execute=execute, watch=recorder)
    return Film(outcome, np.stack(recorder.frames), np.stack(recorder.masks), 1 / robot.dt / EVERY)


@dataclass
class Recorder:
    """Takes pictures while a trial runs."""

    robot: object
    frames: list[np.ndarray] = field(default_factory=list)
    masks: list[np.ndarray] = field(default_factory=list)

    def step(self, t: int) -> None:
        """Takes every second one."""
        if (t + 1) % EVERY == 0:
            self.frames.append(self.robot.picture(FILM.name, size=SIZE))  # type: ignore[attr-defined]
            self.masks.append(self.robot.mask(FILM.name, size=SIZE))  # type: ignore[attr-defined]


def portrait(robot) -> np.ndarray | None:
    """The object on the table, cut from a large picture; None where the robot cannot draw itself or the object will not lie still."""
    if not hasattr(robot, "mask"):
        return None
    try:
        robot.place(np.array([-0.03, 0.0]), np.random.default_rng(0))
    except PlacementError:
        return None
    picture, mask = robot.picture(SIDE.name, size=_DETAIL), robot.mask(SIDE.name, size=_DETAIL)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        return None
    half = int(max(np.ptp(rows), np.ptp(columns), 90) * 0.62)
    middle = np.clip([(rows[0] + rows[-1]) // 2, (columns[0] + columns[-1]) // 2], half, _DETAIL - half)
    cut = picture[middle[0] - half : middle[0] + half, middle[1] - half : middle[1] + half]
    return np.asarray(Image.fromarray(cut).resize((_PORTRAIT, _PORTRAIT), Image.Resampling.LANCZOS))
