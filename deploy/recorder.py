"""The loop that turns a person's motion into episodes: at the control rate, on an absolute schedule, for any robot and any device."""

from __future__ import annotations

import math
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from deploy.errors import DeployError
from episodes import DatasetWriter, Episode
from hardware.api import Action, Observation, Robot, RobotError, SegmenterError
from hardware.clock import Clock
from hardware.jog import Aim, Button, Control, Hand, JointTargets, Rates, advance, aim_at, apart
from hardware.model import ArmModel
from hardware.reason import Stop

_STILL, _JAW_STILL = 2e-3, 5e-3
"""A step in which nothing moves more than this is at rest [rad], [opening]."""


@dataclass(frozen=True)
class Manner:
    """How episodes are recorded."""

    instruction: str
    """What is done, in words."""
    seconds: float = 60.0
    """Longest episode [s]."""
    pause: float = 0.5
    """Longest rest that is kept [s]: a policy that learned to wait as long as a person thinks would wait for ever."""
    episodes: int = 0
    """How many to store; 0: until the person ends it."""
    rates: Rates = field(default_factory=Rates)
    about: Mapping[str, Any] = field(default_factory=dict)
    """Goes into the provenance of every episode: JSON values."""

    def __post_init__(self) -> None:
        if not 1 <= self.seconds <= 3600 or not 0 <= self.pause <= 60 or self.episodes < 0:
            raise DeployError(f"seconds={self.seconds}, pause={self.pause}, episodes={self.episodes}; 1 to 3600 s, 0 to 60 s, 0 or more")


def record_episodes(
    robot: Robot,
    control: Control,
    writer: DatasetWriter,
    clock: Clock,
    arm: ArmModel,
    manner: Manner,
    *,
    prepare: Callable[[int], Mapping[str, Any]] = lambda number: {},
    stopped: Callable[[], Stop | None] = lambda: None,
    clear: Callable[[], None] = lambda: None,
    forbidden: Callable[[np.ndarray], str] = lambda qpos: "",
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Records until the person ends it. An episode is on the disk before the next one begins: a killed recorder loses one at most.

    Args:
        robot: is connected; its observations hold what the data set's contract names.
        control: the person's hands.
        writer: of the data set, whose rate is that of the loop.
        clock: of the loop.
        arm: the robot's kinematics.
        manner: how.
        prepare: is called with an episode's number when the person starts it, while the arm rests; lays the object, finds the target, and
            returns what goes into the provenance. Raises RobotError or SegmenterError where it cannot begin.
        stopped: why the arm was stopped; an episode in which that happens is dropped.
        clear: is called once the person has looked and presses start; raises RobotError where the arm must not go on.
        forbidden: what forbids joint positions (n,) [rad], empty where nothing does: a target does not go there, and a hand that pushes
            against the table comes to no stop.
        say: is told what happens.

    Returns:
        Episodes stored, successes among them, discarded, undone, and control periods that were missed in them.

    Raises:
        RobotError: from robot and device; the robot is told to stop, as it is for any other error.
        StoreError: an episode cannot be written.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="episodes") as disk:
        loop = _Recorder(robot, control, writer, arm, manner, prepare, stopped, clear, forbidden, say, disk)
        dt = 1 / writer.info.fps
        due, missed = clock.now(), 0
        try:
            while not loop.ended:
                clock.sleep_until(due)
                loop.step(clock.now(), missed)
                missed = max(0, math.ceil((clock.now() - due) / dt) - 1)
                due += (1 + missed) * dt  # what was missed is not made up for
            loop.settle()
        except BaseException:
            robot.stop()
            raise
    return {
        "episodes": len(loop.stored),
        "successes": sum(success for _, success in loop.stored),
        "discarded": loop.discarded,
        "undone": loop.undone,
        "missed_steps": loop.missed,
    }


@dataclass
class _Take:
    """An episode that is being recorded."""

    number: int
    about: dict[str, Any]
    steps: list[tuple[Observation, Action, Action]] = field(default_factory=list)
    """Seen, asked for, sent."""
    still: int = 0
    """Steps at rest until now."""
    cut: int = 0
    """Steps at rest that were left out."""
    missed: int = 0
    """Control periods without a step, since the machine was busy."""

    def add(self, seen: Observation, asked: Action, sent: Action, missed: int, longest_rest: int) -> None:
        """Keeps one step, unless all has been at rest for too long, or nothing has moved yet."""
        self.still = self.still + 1 if self._rests(seen, asked) else 0
        if self.still > longest_rest:
            self.cut += 1
            return
        self.missed += missed
        self.steps.append((seen, asked, sent))

    def _rests(self, seen: Observation, asked: Action) -> bool:
        if not self.steps:
            return False
        before, wanted, _ = self.steps[-1]
        joints = np.abs(seen.qpos - before.qpos).max() < _STILL and np.array_equal(asked.qpos, wanted.qpos)
        return bool(
            joints and np.abs(seen.gripper - before.gripper).max(initial=0) < _JAW_STILL and np.array_equal(asked.gripper, wanted.gripper)
        )

    def episode(self, manner: Manner, dt: float, success: bool) -> Episode:
        """What is stored. No simulator's state: an arm has none."""
        seen = [step[0] for step in self.steps]
        asked, sent = (np.stack([np.concatenate([s[k].qpos, s[k].gripper]) for s in self.steps]).astype(np.float32) for k in (1, 2))
        steps = {"missed_steps": self.missed, "cut_steps": self.cut}
        return Episode(
            images={name: np.stack([o.images[name] for o in seen]) for name in seen[0].images},
            masks={name: np.stack([o.masks[name] for o in seen]) for name in seen[0].masks},
            qpos=np.stack([o.qpos for o in seen]).astype(np.float32),
            gripper=np.stack([o.gripper for o in seen]).astype(np.float32),
            actions=asked,
            sent=sent,
            labelled=np.full(len(seen), success),  # what failed is no answer to learn from
            state=np.zeros((len(seen) + 1, 0)),
            instruction=manner.instruction,
            dt=dt,
            success=success,
            provenance={"source": "teleoperation", **manner.about, **self.about, **steps},
        )


@dataclass
class _Recorder:
    robot: Robot
    control: Control
    writer: DatasetWriter
    arm: ArmModel
    manner: Manner
    prepare: Callable[[int], Mapping[str, Any]]
    stopped: Callable[[], Stop | None]
    clear: Callable[[], None]
    forbidden: Callable[[np.ndarray], str]
    say: Callable[[str], None]
    disk: ThreadPoolExecutor
    ended: bool = False
    discarded: int = 0
    undone: int = 0
    missed: int = 0
    stored: list[tuple[str, bool]] = field(default_factory=list)
    """Names of shards written now, and whether they are successes."""
    aim: Aim | None = None
    take: _Take | None = None
    saving: tuple[str, bool, Future[None]] | None = None
    halted: bool = False
    hindered: bool = False
    full: bool = False

    @property
    def dt(self) -> float:
        return 1 / self.writer.info.fps

    def step(self, now: float, missed: int) -> None:
        """One control period, after some that were missed. Raises RobotError, StoreError."""
        if self.saving is not None and self.saving[2].done():
            self.settle()
        if stop := self.stopped():
            return self._halt(stop, self.control.read(now))
        seen = self.robot.observe()
        hand = self.control.read(now)
        before = self.aim or aim_at(self.arm, seen.qpos, seen.gripper)
        self.aim = self._allowed(before, advance(self.arm, before, hand, seen.qpos, self.dt, self.manner.rates), hand)
        asked = Action(*(v.astype(np.float32).astype(float) for v in (self.aim.qpos, self.aim.gripper)))  # bit by bit what is stored
        sent = self.robot.command(asked)
        if self.take is not None:
            self._keep(seen, asked, sent, missed, moved=_differ(self.aim, before))
        for button in hand.buttons:
            self._decide(button)
        return None

    def settle(self) -> None:
        """Waits until what was recorded is on the disk. Raises StoreError."""
        if self.saving is None:
            return
        name, success, future = self.saving
        self.saving = None
        future.result()
        self.stored.append((name, success))
        self.say(f"stored {name}: {'success' if success else 'failure'}; {len(self.stored)} episodes")
        self.ended = self.ended or len(self.stored) == self.manner.episodes

    def _keep(self, seen: Observation, asked: Action, sent: Action, missed: int, moved: bool) -> None:
        take = self.take
        if take is None or not (take.steps or moved):
            return  # an episode begins with the first motion, not with the key
        if len(take.steps) < round(self.manner.seconds / self.dt):
            take.add(seen, asked, sent, missed, round(self.manner.pause / self.dt))
        elif not self.full:
            self.full = True
            self.say(f"{self.manner.seconds:g} s are full, nothing more is recorded: success, failure or discard?")

    def _allowed(self, before: Aim, new: Aim, hand: Hand) -> Aim:
        """The new aim, or the old one with the new gripper where it must not go; says so once."""
        said = apart(self.arm, before, hand, self.manner.rates) if isinstance(hand, JointTargets) else ""
        if not np.array_equal(new.qpos, before.qpos) and (place := self.forbidden(new.qpos)):
            said, new = f"no further: {place}", replace(before, gripper=new.gripper)
        if said and not self.hindered:
            self.say(said)
        self.hindered = bool(said)
        return new

    def _halt(self, stop: Stop, hand: Hand) -> None:
        """The arm was stopped: a person must look, and say so."""
        if not self.halted:
            dropped = "; the episode is dropped" if self.take else ""
            self.say(f"STOPPED {stop.reason}: {stop.detail}{dropped}. Look at the arm; start clears it, quit ends")
            self.halted, self.take = True, None
        if Button.QUIT in hand.buttons:
            self.ended = True
        elif Button.START in hand.buttons:
            try:
                self.clear()
            except RobotError as error:
                self.say(f"it cannot go on: {error}")
                return
            self.halted, self.aim = False, None
            self.say("cleared")

    def _decide(self, button: Button) -> None:
        doing = {
            Button.START: self._start,
            Button.SUCCESS: lambda: self._finish(True),
            Button.FAILURE: lambda: self._finish(False),
            Button.DISCARD: self._discard,
            Button.UNDO: self._undo,
            Button.QUIT: self._quit,
        }
        doing[button]()

    def _start(self) -> None:
        if self.take is not None:
            return self.say("an episode is running: success, failure or discard it first")
        if self.saving is not None:
            return self.say("the last episode is being written; start again in a moment")
        number = self._number()
        try:
            about = dict(self.prepare(number))
        except (RobotError, SegmenterError, DeployError) as error:
            return self.say(f"not started: {error}")
        self.take, self.aim, self.full = _Take(number, about), None, False
        self.say(f"recording {number:06d}; it begins with the first motion")

    def _finish(self, success: bool) -> None:
        take, self.take = self.take, None
        if take is None or not take.steps:
            return self.say("nothing was recorded" if take else "no episode is running; start one first")
        name = f"{take.number:06d}"
        self.missed += take.missed
        self.say(
            f"writing {name}: {len(take.steps)} steps"
            + (f", {take.missed} more were missed: the machine is too slow for this rate" if take.missed else "")
        )
        self.saving = name, success, self.disk.submit(self._write, name, take, success)

    def _write(self, name: str, take: _Take, success: bool) -> None:
        self.writer.write(name, [take.episode(self.manner, self.dt, success)])

    def _discard(self) -> None:
        if self.take is None:
            return self.say("no episode is running; undo removes the last one that was stored")
        self.take, self.discarded = None, self.discarded + 1
        self.say("discarded")

    def _undo(self) -> None:
        if self.take is not None or self.saving is not None:
            return self.say("an episode is running or being written; discard it, or wait")
        if not self.stored:
            return self.say("nothing was stored since the start: older episodes are not undone")
        name, _ = self.stored.pop()
        shards = self.writer.path / "shards"
        away = shards / f".undone-{secrets.token_hex(4)}.{name}"
        try:
            os.rename(shards / f"{name}.zarr", away)  # gone at once, for whoever reads meanwhile
        except OSError as error:
            raise DeployError(f"cannot remove {shards / name}.zarr: {error.strerror}") from error
        shutil.rmtree(away, ignore_errors=True)
        self.undone += 1
        self.say(f"removed {name}")

    def _quit(self) -> None:
        if self.take is not None and self.take.steps:
            return self.say("an episode is running: success, failure or discard it first")
        self.ended = True

    def _number(self) -> int:
        """After all that is there."""
        there = [path.name.removesuffix(".zarr") for path in (self.writer.path / "shards").glob("[!.]*.zarr")]
        return max((int(name) + 1 for name in there if name.isdecimal()), default=0)


def _differ(aim: Aim, before: Aim) -> bool:
    return not (np.array_equal(aim.qpos, before.qpos) and np.array_equal(aim.gripper, before.gripper))
