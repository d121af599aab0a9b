"""Arms that fail: what the arm measures of itself, and what it does with setpoints."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from deploy.faults.bench import Bench, Stage
from deploy.faults.fault import Fault
from hardware.api import ArmLost, RobotError
from hardware.arm import ArmState
from hardware.reason import Reason

WHERE = "the arm's link"


def _row(name: str, breaks: str, expected: Reason, inject: Callable[[Stage], None], within: float = 1.5, slow: bool = False) -> Fault:
    return Fault(name, breaks, WHERE, expected, within, lambda folder: Bench().run(folder, inject), slow)


def _says(change: Callable[[ArmState], ArmState]) -> Callable[[Stage], None]:
    def inject(stage: Stage) -> None:
        stage.plant.bend = change

    return inject


def _refuses(stage: Stage) -> None:
    stage.plant.refuses = RobotError("setpoint refused: the arm is in a protective stop")


def _gone(stage: Stage) -> None:
    stage.plant.gone = ArmLost("the connection was closed by the arm")


def _stuck(stage: Stage) -> None:
    stage.plant.stuck = True


def _deaf(stage: Stage) -> None:
    stage.plant.deaf = time.monotonic() + 2.5


def _frozen(stage: Stage) -> None:
    last = stage.plant.measure()
    stage.plant.bend = lambda state: replace(last, time=state.time)


def _stale(stage: Stage) -> None:
    last = stage.plant.measure()
    stage.plant.bend = lambda state: last


def _beyond(stage: Stage) -> None:
    limit = stage.plant.model.upper[6] + 0.02
    stage.plant.bend = lambda state: replace(state, qpos=np.append(state.qpos[:6], limit))


def _pushed(state: ArmState) -> ArmState:
    effort = state.effort.copy()
    effort[1] = 60.0
    return replace(state, effort=effort)


ROWS = (
    _row("arm refuses", "it refuses a setpoint", Reason.ARM_FAULT, _refuses),
    _row("arm loses power", "the link is gone, the brakes fall in", Reason.ARM_LOST, _gone),
    _row("arm does not follow", "it takes setpoints and stands", Reason.FOLLOWING_ERROR, _stuck, 3.0),
    _row("arm hangs", "its link does not return for 2.5 s", Reason.STATE_STALE, _deaf, 3.0, slow=True),
    _row("measurement frozen", "new time stamps, the joints of before", Reason.FOLLOWING_ERROR, _frozen, 3.0, slow=True),
    _row("measurement stale", "nothing new is measured", Reason.STATE_STALE, _stale),
    _row("measurement NaN", "positions are NaN", Reason.STATE_NOT_FINITE, _says(lambda s: replace(s, qpos=s.qpos * np.nan))),
    _row("joint beyond its limit", "measured 0.02 rad beyond", Reason.JOINT_LIMIT, _beyond),
    _row("joint too fast", "measured at 4 rad/s", Reason.OVERSPEED, _says(lambda s: replace(s, qvel=s.qvel + 4.0))),
    _row("contact", "60 N m from outside on joint 2", Reason.CONTACT, _says(_pushed)),
)
