"""The simulated world fails under a running arm: the same stack, on physics in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from assets.toys import Toy, sample_toy
from deploy.faults.audit import lasts
from deploy.faults.bench import CALM, Bench
from deploy.faults.fault import End, Fault, Outcome
from hardware.reason import Reason
from hardware.stream import stream
from sim import gl
from sim.live import LiveWorld
from sim.scene import SceneConfig

WHERE = "the process of the simulated world"


@contextlib.contextmanager
def _placed(world: LiveWorld, toy: Toy) -> Iterator[LiveWorld]:
    with world:
        world.place(toy, np.array([0.02, -0.03]), 0)
        yield world


def _signalled(number: signal.Signals, state_age: float) -> Callable[[Path], Outcome]:
    def run(folder: Path) -> Outcome:
        gl.setup()
        toy = sample_toy(np.random.default_rng(0))
        limits = {"contact": 1.0, "state_age": state_age, "following": 0.3}
        with (
            _placed(LiveWorld(SceneConfig(toy, size=64)), toy) as world,
            Bench(limits=limits).open(folder, world, world.cameras()) as (stage, station, pace),
        ):
            arm, begun = stage.arm, time.monotonic()

            def look(now: float) -> bool:
                if stage.at is None and now - begun > CALM:
                    stage.now()
                    os.kill(world.pid or 0, number)
                return False

            stream(station, arm, stage.policy, pace, arm.clock, seconds=10.0, until=look)
            stop, at = arm.stopped, stage.at or time.monotonic()
            broken = [] if arm.rest() else ["the setpoint does not rest"]
            rested = time.monotonic() - at
            broken += lasts(arm)
            if number is signal.SIGSTOP:
                os.kill(world.pid or 0, signal.SIGCONT)
        if stop is None:
            return Outcome(End.GOES_ON, "not stopped", 0.0, rested, tuple(broken))
        return Outcome(stop.reason, stop.detail, max(0.0, stop.time - at), rested, tuple(broken))

    return run


ROWS = (
    Fault("world killed", "SIGKILL", WHERE, Reason.ARM_LOST, 4.0, _signalled(signal.SIGKILL, 1.0), slow=True),
    Fault("world hangs", "SIGSTOP", WHERE, Reason.STATE_STALE, 4.0, _signalled(signal.SIGSTOP, 0.3), slow=True),
)
