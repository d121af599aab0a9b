"""What a fault is injected into: the whole stack in real time, on an arm and cameras in memory."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from deploy.faults.audit import beyond, lasts, settled
from deploy.faults.fault import End, Outcome
from deploy.faults.memory import MemoryArm, MemoryCamera, Plant
from deploy.faults.wave import LENGTH, Wave
from hardware.arm import Driver
from hardware.blackbox import BlackBox, BoxPlan
from hardware.camera import Camera
from hardware.camera_watch import CameraWatch
from hardware.clock import Clock, MonotonicClock
from hardware.limits import Limits
from hardware.model import load_arm
from hardware.opening import make_token
from hardware.remote import PolicyAddress
from hardware.segmenter import Click
from hardware.serve import PolicyServer, Serving
from hardware.session import Session, session
from hardware.station import Station
from hardware.stream import AskedPolicy, Ending, Pace, Streamed, stream
from policies.segmenters.truth import Truth

CALM = 0.35
"""How long all is well before a fault [s]."""
LONGEST = 8.0
"""Of a run [s]."""
BUSY: Mapping[str, float] = {"heartbeat": 1.0, "action_age": 0.5, "blocked_time": 0.5}
"""Limits of the bench that differ from the plain ones: a busy machine is no fault, and nobody wants to wait for two seconds."""


class ServedPolicy(AskedPolicy, Protocol):
    """A policy behind the protocol of `hardware.remote`."""

    def reset(self, instruction: str) -> None:
        """A new trial."""
        ...


@dataclass
class Stage:
    """What a fault can reach."""

    plant: Plant
    cameras: tuple[MemoryCamera, ...]
    arm: Session
    policy: ServedPolicy
    wave: Wave
    """The policy itself, where it runs in this process."""
    box: BlackBox
    folder: Path
    """Empty."""
    locks: Path
    """Where the session's lock and stop socket are."""
    driver: Driver
    at: float | None = None
    """When the fault was injected [s]."""
    notes: list[str] = field(default_factory=list)
    """What else was said."""
    broken: list[str] = field(default_factory=list)
    """What else must not be, and was."""
    beside: list[threading.Thread] = field(default_factory=list)
    """What goes on beside the loop; waited for in the end."""

    def now(self) -> None:
        """The fault is injected at this moment."""
        self.at = time.monotonic()


Opened = Callable[[Wave], contextlib.AbstractContextManager[ServedPolicy]]


@contextlib.contextmanager
def served(wave: Wave, *, guess_s: float = 0.05) -> Iterator[tuple[PolicyServer, str]]:
    """A policy server in a thread of this process, and its token."""
    token = make_token()
    with PolicyServer(wave, Serving(token, guess_s=guess_s), {}, {}) as server:
        thread = threading.Thread(target=server.run, name="served", daemon=True)
        thread.start()
        try:
            yield server, token
        finally:
            server.stop()
            thread.join(5)


@contextlib.contextmanager
def direct(wave: Wave) -> Iterator[ServedPolicy]:
    """The policy through its server, over the loopback address."""
    with served(wave) as (server, token), PolicyAddress(server.port, token).connect("bench") as policy:
        yield policy


@dataclass(frozen=True)
class Bench:
    """How the stack is set up; `run` breaks it."""

    limits: Mapping[str, object] = field(default_factory=dict)
    """Fields of Limits that differ from the plain ones."""
    speed: float = 1.0
    pace: Mapping[str, float] = field(default_factory=dict)
    """Fields of Pace."""
    policy: Opened = direct
    clock: Callable[[], Clock] = MonotonicClock
    calm: float = CALM
    seconds: float = LONGEST
    """Longest run where nothing stops it [s]."""

    def limits_of(self) -> Limits:
        """What the arm is held to."""
        return replace(Limits(load_arm("panda"), speed=self.speed), **{**BUSY, **self.limits})  # pyright: ignore[reportArgumentType]

    @contextlib.contextmanager
    def open(self, folder: Path, driver: Driver | None = None, cameras: Sequence[Camera] = ()) -> Iterator[tuple[Stage, Station, Pace]]:
        """The stack, connected and aimed, the arm at rest; an arm and cameras in memory where no others are given."""
        clock, limits = self.clock(), self.limits_of()
        locks = folder / "locks"
        locks.mkdir()
        pace = replace(Pace(0.05, 8, self.speed), **self.pace)  # pyright: ignore[reportArgumentType]
        plant = Plant(limits.arm, clock)
        driver = driver or MemoryArm(f"in memory of {folder.name}", plant)
        wave = Wave(np.array(limits.arm.home), pace.period)
        ours = MemoryCamera("side", clock), MemoryCamera("wrist", clock)
        cameras = cameras or ours
        width, height = cameras[0].size
        plan = BoxPlan(
            tuple(joint.name for joint in limits.arm.joints),
            {camera.name: (height, width) for camera in cameras},
            driver.servo_hz,
            1 / pace.dt,
            LENGTH,
            seconds=5,
        )
        box = BlackBox(plan)
        with self.policy(wave) as policy, session(driver, limits=limits, clock=clock, recorder=box, folder=locks) as arm:
            watch = CameraWatch(max_age=0.5) if cameras is ours else CameraWatch(max_age=2.0, repeats=None)  # as a deployment in a world
            station = Station(arm, cameras, Truth(), watch)
            with contextlib.closing(station):
                station.connect()
                station.aim({camera.name: Click(12, 12) for camera in cameras})
                policy.reset("the object")
                yield Stage(plant, ours, arm, policy, wave, box, folder / "out", locks, driver), station, pace

    def run(self, folder: Path, inject: Callable[[Stage], object]) -> Outcome:
        """Runs the policy for a while, breaks something, and says what happened."""
        with self.open(folder) as (stage, station, pace):
            ran = stream(
                station,
                stage.arm,
                stage.policy,
                pace,
                stage.arm.clock,
                seconds=self.seconds,
                until=_after(self.calm, inject, stage, stage.arm.clock),
                say=stage.notes.append,
                recorder=stage.box,
            )
            return outcome(stage, ran)


def outcome(stage: Stage, ran: Streamed | None) -> Outcome:
    """What a fault did to a stage, whose loop has ended: `ran`, or None where an error ended it."""
    for thread in stage.beside:
        thread.join(LONGEST)
    arm, plant, at = stage.arm, stage.plant, stage.at or time.monotonic()
    stop = arm.stopped
    arm.rest()
    time.sleep(0.15)  # for the joints themselves
    still = plant.qpos
    broken = [*stage.broken, *(lasts(arm) if stop else ())]
    if np.abs(plant.qpos - still).max() > 1e-3:
        broken.append("the arm does not rest")
    rested = settled(plant.motion, at)
    broken += beyond(arm.limits, plant.taken, 1 / stage.driver.servo_hz)
    if stage.at is None:
        broken.append("the fault was never injected")
    if stop:
        return Outcome(stop.reason, " ".join([stop.detail, *stage.notes]), max(0.0, stop.time - at), rested, tuple(broken))
    if ran and ran.ending is Ending.LOST:
        return Outcome(End.PAUSES, " ".join(stage.notes), 0.0, rested, tuple(broken))
    moved = np.ptp(np.array(plant.taken), axis=0).max()
    return Outcome(End.GOES_ON, f"went on for {ran.seconds if ran else 0:.1f} s, {moved:.2f} rad of motion", 0.0, 0.0, tuple(broken))


def _after(calm: float, inject: Callable[[Stage], object], stage: Stage, clock: Clock) -> Callable[[float], bool]:
    begun = clock.now()

    def look(now: float) -> bool:
        if stage.at is None and now - begun > calm:
            stage.now()
            inject(stage)
        return False

    return look
