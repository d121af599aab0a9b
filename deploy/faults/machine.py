"""The machine and our own program fail: clocks, the disk, a loop that hangs, a bug."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.faults.bench import Bench, Stage, outcome
from deploy.faults.fault import End, Fault, Outcome
from hardware.api import RobotError
from hardware.blackbox_file import dump
from hardware.reason import Reason

LOOP = "the control loop"
_FULL = 4096
"""Bytes that still fit into a file of the full disk."""


@dataclass
class SteppedClock:
    """The monotonic clock, until it is stepped; a wait that is under way does not notice."""

    step: float = 0.0
    """[s]"""

    def now(self) -> float:
        """The present [s]."""
        return time.monotonic() + self.step

    def sleep_until(self, then: float) -> None:
        """Waits, but never for long."""
        time.sleep(min(max(0.0, then - self.now()), 0.05))


def _clock_back(stage: Stage) -> None:
    if isinstance(stage.arm.clock, SteppedClock):
        stage.arm.clock.step = -5.0


def _wall_clock(folder: Path) -> Outcome:
    told = time.time

    def inject(stage: Stage) -> None:
        time.time = lambda: told() + 3600.0

    try:
        return Bench(seconds=1.5).run(folder, inject)
    finally:
        time.time = told


def _hangs(stage: Stage) -> None:
    time.sleep(1.0)


def _old_picture(stage: Stage) -> None:
    stage.arm.offer(stage.arm.setpoint, stage.arm.clock.now() - 1.5)


def _bug(folder: Path) -> Outcome:
    stages: list[Stage] = []

    def inject(stage: Stage) -> None:
        stages.append(stage)
        raise ZeroDivisionError("a bug of ours")

    with contextlib.suppress(ZeroDivisionError):
        Bench().run(folder, inject)
    return outcome(stages[0], None)


@contextlib.contextmanager
def _full_disk() -> Iterator[None]:
    """No file of this process can grow: writing fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FULL, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _disk_full(stage: Stage) -> None:
    stage.arm.stop(Reason.OPERATOR, "a person stops the arm;")
    try:
        with _full_disk():
            dump(stage.box, stage.folder, stage.arm.stopped, {})
        stage.broken.append("the black box was written to a full disk")
    except RobotError as error:
        stage.notes.append(str(error).replace(str(stage.folder), "its folder"))
    left = [path for path in stage.folder.rglob("*") if path.is_file()] if stage.folder.exists() else []
    if left:
        stage.broken.append(f"half of a black box was left: {left[0].name}")


ROWS = (
    Fault("loop hangs", "for a second", LOOP, Reason.HEARTBEAT, 2.0, lambda f: Bench(limits={"heartbeat": 0.3}).run(f, _hangs)),
    Fault("bug in the loop", "an exception nobody expected", LOOP, Reason.CRASH, 1.5, _bug),
    Fault(
        "old picture",
        "an action answers to a picture of 1.5 s ago",
        LOOP,
        Reason.OBSERVATION_STALE,
        1.5,
        lambda f: Bench().run(f, _old_picture),
    ),
    Fault("wall clock stepped", "by an hour", "the machine", End.GOES_ON, 0.1, _wall_clock),
    Fault(
        "time runs backwards",
        "the monotonic clock, by 5 s",
        "the machine",
        Reason.CLOCK,
        1.5,
        lambda f: Bench(clock=SteppedClock).run(f, _clock_back),
    ),
    Fault("disk full", "while the black box is written", "the machine", Reason.OPERATOR, 3.0, lambda f: Bench().run(f, _disk_full)),
)
