"""Policies that ask for forbidden places: nothing is broken but what they want."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deploy.faults.bench import Bench, Stage
from deploy.faults.fault import Fault
from hardware.api import ActionChunk
from hardware.limits import Workspace
from hardware.model import load_arm
from hardware.reason import Reason

WHERE = "what the policy wants"
_STEP = 0.5
"""By which it is ahead of the arm, any joint: below the limit of a jump [rad]."""
_HOME = np.array(load_arm("panda").home)
_WIDE = Workspace((-2, -2, -2), (2, 2, 2))


@dataclass(frozen=True)
class _Towards:
    """As far towards a place as an action may ask for at once, whatever the arm does."""

    stage: Stage
    place: np.ndarray
    """(n,) [rad]"""

    def __call__(self, chunk: ActionChunk) -> ActionChunk:
        here = self.stage.arm.setpoint.qpos
        left = self.place - here
        step = left * min(1.0, _STEP / max(float(np.abs(left).max()), 1e-6))
        return ActionChunk(np.tile(here + step, (len(chunk), 1)), chunk.gripper)


def _row(name: str, breaks: str, place: np.ndarray, workspace: Workspace) -> Fault:
    def inject(stage: Stage) -> None:
        stage.wave.bend = _Towards(stage, place)

    bench = Bench(limits={"workspace": workspace}, calm=0.2, seconds=20.0)
    return Fault(name, breaks, WHERE, Reason.BLOCKED, 15.0, lambda folder: bench.run(folder, inject))


_BELOW = _HOME + np.array([0, 1.3, 0, -0.3, 0, 0, 0])
_ASIDE = _HOME + np.array([1.3, 0, 0, 0, 0, 0, 0])
_FOLDED = np.array([0, -0.4, 0, -3.0, 0, 0.2, 0])

ROWS = (
    _row("below the table", "the hand is to go through the table", _BELOW, Workspace()),
    _row("outside the workspace", "the arm is to turn out of its box", _ASIDE, Workspace(upper=(0.9, 0.25, 1.2))),
    _row("into itself", "the hand is to go into the shoulder", _FOLDED, _WIDE),
)
