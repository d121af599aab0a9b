"""Processes that are told to end, or are ended: the control process drives an arm that outlives it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

from deploy.faults.audit import beyond, settled
from deploy.faults.bench import CALM, Bench, Stage
from deploy.faults.fault import End, Fault, Outcome
from deploy.faults.shared import Body, shared_arm
from hardware.arm import Driver
from hardware.reason import Reason
from hardware.stream import stream

CONTROL = "the control process"
_START = 60.0
"""Longest that a process may take to begin or to end [s]."""
_STOPPED = 130
"""Exit code of a program that Ctrl-C or SIGTERM ended, as `cezanne` gives it."""


def ride(driver: Driver, folder: Path, pipe: Connection) -> None:
    """A small deployment, as the main function of a process; says when the arm moves, and why it was stopped."""
    said: list[tuple[str, str, float]] = []
    try:
        with Bench().open(folder, driver) as (stage, station, pace):
            begun = time.monotonic()

            def tell(now: float) -> bool:
                if not said and now - begun > CALM:
                    said.append(("moving", "", now))
                    pipe.send(said[0])
                return False

            try:
                stream(station, stage.arm, stage.policy, pace, stage.arm.clock, seconds=_START, until=tell)
            finally:
                kept = stage.arm
    except KeyboardInterrupt:
        stop = kept.stopped
        pipe.send((stop.reason.value, stop.detail, stop.time) if stop else ("", "not stopped", 0.0))
        sys.exit(_STOPPED)


def _ended(number: signal.Signals) -> Callable[[Path], Outcome]:
    """The control process is sent a signal while the arm moves."""

    def run(folder: Path) -> Outcome:
        with shared_arm(str(folder)) as body:
            ours, theirs = multiprocessing.Pipe()
            process = multiprocessing.get_context("spawn").Process(target=ride, args=(body.driver, folder, theirs), daemon=True)
            process.start()
            theirs.close()
            try:
                return _watch(body, process.pid or 0, process, ours, number)
            finally:
                process.kill()
                process.join()
                ours.close()

    return run


def _watch(body: Body, pid: int, process: BaseProcess, pipe: Connection, number: signal.Signals) -> Outcome:
    if not pipe.poll(_START) or pipe.recv()[0] != "moving":
        return Outcome(End.GOES_ON, "the control process did not begin", 0.0, 0.0)
    at = time.monotonic()
    os.kill(pid, number)
    process.join(_START)
    time.sleep(0.3)
    still = body.plant.qpos
    time.sleep(0.1)
    broken = [] if np.abs(body.plant.qpos - still).max() < 1e-4 else ["the arm does not rest"]
    # the arm sees the newest setpoint at its own rate: positions and places can be told, steps cannot
    broken += [said for said in beyond(Bench().limits_of(), body.plant.taken, 1e3) if "position" in said or "place" in said]
    rested = settled(body.plant.motion, at)
    if number is signal.SIGKILL:
        if process.exitcode != -signal.SIGKILL:
            broken.append(f"exit code {process.exitcode}")
        return Outcome(End.HOLDS, f"exit code {process.exitcode}, the arm holds its last setpoint", 0.0, rested, tuple(broken))
    if process.exitcode != _STOPPED:
        broken.append(f"exit code {process.exitcode}, not {_STOPPED}")
    try:
        code, said, then = pipe.recv()
    except EOFError:
        return Outcome(End.GOES_ON, "the control process did not say why it ended", 0.0, rested, tuple(broken))
    return Outcome(Reason(code), f"{said}; exit code {process.exitcode}", max(0.0, then - at), rested, tuple(broken))


_STOP_ALL = """
import sys, time
from pathlib import Path
from hardware.session import stop_all
print(time.monotonic(), flush=True)
print(stop_all(Path(sys.argv[1])))
"""


def _from_outside(stage: Stage) -> None:
    """`stop_all` in a process of its own."""

    def stop() -> None:
        done = subprocess.run(
            [sys.executable, "-c", _STOP_ALL, str(stage.locks)], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False
        )
        lines = done.stdout.splitlines()
        if len(lines) != 2 or "at rest" not in lines[1]:
            stage.broken.append(f"the other process was told {done.stdout} {done.stderr}")
        else:
            stage.at = float(lines[0])

    stage.beside.append(threading.Thread(target=stop, daemon=True))
    stage.beside[0].start()


ROWS = (
    Fault("Ctrl-C", "SIGINT", CONTROL, Reason.OPERATOR, 2.0, _ended(signal.SIGINT)),
    Fault("asked to end", "SIGTERM", CONTROL, Reason.OPERATOR, 2.0, _ended(signal.SIGTERM), slow=True),
    Fault("terminal closed", "SIGHUP", CONTROL, Reason.OPERATOR, 2.0, _ended(signal.SIGHUP), slow=True),
    Fault("control process killed", "SIGKILL", CONTROL, End.HOLDS, 2.0, _ended(signal.SIGKILL), slow=True),
    Fault(
        "stop from another process", "`cezanne stop`", CONTROL, Reason.OPERATOR, 2.0, lambda f: Bench(seconds=30.0).run(f, _from_outside)
    ),
)
