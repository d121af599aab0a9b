"""The loop that runs a policy on an arm that does not wait for it: inference beside motion, both on one absolute schedule.

`hardware.rollout` is the loop of a world that stands still while the policy thinks. Here the world goes on: an action belongs to a moment,
counted from when the picture was taken that it answers to, and what comes too late for its moment is never carried out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np

from hardware.api import Action, ActionChunk, ActionError, Observation, RobotError
from hardware.clock import Clock
from hardware.reason import Reason, Stop
from hardware.remote import PolicyLost, PolicyRefused
from hardware.timeline import Timeline


class AskedPolicy(Protocol):
    """A policy that is asked now and answers later; `hardware.remote.RemotePolicy` is one."""

    def ask(self, observation: Observation, number: int) -> None:
        """Begins to think about an observation; returns at once."""
        ...

    def answer(self) -> tuple[int, ActionChunk] | None:
        """Number and actions of what was asked last, once; None while it thinks."""
        ...


class StreamRobot(Protocol):
    """What the loop needs of a robot; `hardware.station.Station` on a `hardware.session.Session`."""

    @property
    def lost(self) -> bool:
        """The target is not seen."""
        ...

    def observe(self) -> Observation:
        """What is sensed now."""
        ...

    def newest(self) -> float:
        """When the newest pictures were taken [s]."""
        ...


class StreamArm(Protocol):
    """What the loop needs of an arm; `hardware.session.Session`."""

    @property
    def stopped(self) -> Stop | None:
        """Why it was stopped."""
        ...

    def offer(self, action: Action, observed: float) -> Action:
        """The next action."""
        ...

    def hold(self) -> None:
        """A pause."""
        ...

    def beat(self) -> None:
        """The loop lives."""
        ...

    def stop(self, reason: Reason, detail: str) -> None:
        """Brakes and holds."""
        ...


class LoopRecorder(Protocol):
    """Is told what the loop does; must neither wait nor raise."""

    def asked(self, number: int, observation: Observation, now: float) -> None:
        """An observation went to the policy."""
        ...

    def answered(self, number: int, chunk: ActionChunk, now: float) -> None:
        """Its actions came back."""
        ...


class NoLoopRecorder:
    """Forgets everything."""

    def asked(self, number: int, observation: Observation, now: float) -> None:
        """Does nothing."""

    def answered(self, number: int, chunk: ActionChunk, now: float) -> None:
        """Does nothing."""


@dataclass(frozen=True)
class Pace:
    """How a policy is run in time."""

    dt: float
    """Between its actions, as it was trained [s]."""
    execute: int
    """Actions between two observations, as it was trained."""
    speed: float = 1.0
    """Share of the speed that it was trained at: its time is stretched by this."""
    blend: float = 1.0
    """Length of a seam, in actions."""
    poll: float = 0.002
    """How often the loop looks for pictures and answers [s]."""
    patience: float = 10.0
    """Longest that a lost target is waited for [s]."""
    thinking: float = 1.0
    """Longest that the policy may take to answer [s]."""

    def __post_init__(self) -> None:
        if not (0.001 <= self.dt <= 1 and self.execute >= 1 and 0 < self.speed <= 1 and 0 <= self.blend <= self.execute):
            raise RobotError(f"a pace of dt={self.dt} s, execute={self.execute}, speed={self.speed}, blend={self.blend} makes no sense")

    @property
    def period(self) -> float:
        """Between actions as they are carried out [s]."""
        return self.dt / self.speed


class Ending(Enum):
    """Why a stream ended."""

    DONE = "done"
    TIMEOUT = "timeout"
    STOPPED = "stopped"
    """The arm was stopped: `Streamed.stop` says why."""
    LOST = "lost"
    """The target was out of sight for too long."""


@dataclass
class Timing:
    """What was measured, each a list of seconds."""

    age: list[float] = field(default_factory=list)
    """Of the observation behind each command, at the command."""
    latency: list[float] = field(default_factory=list)
    """From the capture of the pictures to the first command that answers to them."""
    jitter: list[float] = field(default_factory=list)
    """By how much commands came after their time."""
    missed: int = 0
    """Commands more than half a period late."""
    cut: list[int] = field(default_factory=list)
    """Actions of each chunk whose time was over when it came."""

    def summary(self) -> dict[str, float]:
        """Percentiles in ms, and the share of missed deadlines."""
        found: dict[str, float] = {}
        for name in ("age", "latency", "jitter"):
            values = getattr(self, name)
            for p in (50, 95, 99):
                found[f"{name}_p{p}_ms"] = round(float(np.percentile(values, p)) * 1e3, 2) if values else float("nan")
        found["commands"] = len(self.jitter)
        found["missed_share"] = self.missed / len(self.jitter) if self.jitter else 0.0
        found["cut_mean"] = round(float(np.mean(self.cut)), 2) if self.cut else 0.0
        return found


@dataclass(frozen=True)
class Streamed:
    """What happened."""

    ending: Ending
    seconds: float
    timing: Timing
    stop: Stop | None = None
    pauses: int = 0
    """Times that the target was lost."""


def stream(
    robot: StreamRobot,
    arm: StreamArm,
    policy: AskedPolicy,
    pace: Pace,
    clock: Clock,
    *,
    seconds: float,
    until: Callable[[float], bool] = lambda now: False,
    say: Callable[[str], None] = lambda text: None,
    recorder: LoopRecorder | None = None,
    shadow: bool = False,
) -> Streamed:
    """Runs until `until` says so, time is over, the arm stops, or the target stays lost.

    Args:
        robot: is connected and follows its target.
        arm: its arm.
        policy: was reset.
        pace: of the actions.
        clock: of all of it.
        seconds: longest run.
        until: called with the time at each command; True ends the run.
        say: is told when the target is lost and found.
        recorder: is told of questions and answers.
        shadow: predicts and commands nothing.
    """
    loop = _Loop(robot, arm, policy, pace, clock.now(), say, recorder or NoLoopRecorder(), shadow)
    ending = Ending.TIMEOUT
    arm.hold()
    while (now := clock.now()) - loop.begun < seconds:
        arm.beat()
        try:
            loop.answer(now)
            if loop.wants(now) and not loop.ask(now):
                ending = Ending.LOST
                break
            commanded = loop.command(now)
        except ActionError as error:
            arm.stop(Reason.ACTION_NOT_FINITE, str(error))
        except PolicyLost as error:
            arm.stop(Reason.POLICY_DEAD, str(error))
        except PolicyRefused as error:
            arm.stop(Reason.POLICY_REFUSED, str(error))
        except RobotError as error:
            arm.stop(Reason.CRASH, str(error))  # whoever raised it for a better reason has stopped the arm already
        else:
            if commanded and until(now):
                ending = Ending.DONE
                break
        if arm.stopped:
            break
        clock.sleep_until(loop.wake(now))
    arm.hold()
    return Streamed(Ending.STOPPED if arm.stopped else ending, clock.now() - loop.begun, loop.timing, arm.stopped, loop.pauses)


@dataclass
class _Loop:
    robot: StreamRobot
    arm: StreamArm
    policy: AskedPolicy
    pace: Pace
    begun: float
    say: Callable[[str], None]
    recorder: LoopRecorder
    shadow: bool
    timing: Timing = field(default_factory=Timing)
    pauses: int = 0
    timeline: Timeline | None = None
    number: int = 0
    pending: tuple[float, float] | None = None
    """When the question under way was asked, and when its pictures were taken [s]."""
    delay: float = 0.0
    """From the pictures to their answer, as it was lately [s]."""
    due: float = 0.0
    """Of the next command [s]."""
    fresh: bool = False
    """The next command is the first that answers to its pictures."""
    seen: float = -np.inf
    """When the newest pictures were taken that the loop knows of [s]."""
    lost: float | None = None
    """Since when the target is not seen [s]."""

    def answer(self, now: float) -> None:
        """Takes in what the policy has answered. Raises RobotError."""
        if self.pending is None:
            return
        asked, observed = self.pending
        answer = self.policy.answer()
        if answer is None or answer[0] != self.number:
            if now - asked > self.pace.thinking:
                raise PolicyLost(f"the policy has not answered for {now - asked:.2f} s, the limit is {self.pace.thinking} s")
            return
        chunk, period = answer[1], self.pace.period
        self.recorder.answered(self.number, chunk, now)
        self.timing.cut.append(int((now - observed) / period))
        self.delay = max(now - observed, 0.8 * self.delay)
        if self.timeline is None or not self.timeline.covers(now):
            self.timeline = Timeline(chunk, observed, period)
        else:
            self.timeline = self.timeline.merged(chunk, observed, now, self.pace.blend * period)
        self.pending, self.fresh = None, True
        self.due = min(self.due, now) if self.timing.jitter else now  # the newest answer is not kept waiting

    def wants(self, now: float) -> bool:
        """Whether it is time for the next question, and the pictures have just come: older ones are not worth an answer."""
        newest = self.robot.newest()
        fresh, self.seen = newest > self.seen, newest
        if self.pending is not None or not fresh:
            return False
        return self.timeline is None or now >= self.timeline.start + self.pace.execute * self.pace.period - self.delay

    def ask(self, now: float) -> bool:
        """Asks the policy, or pauses where the target is out of sight; False when it has been so for too long. Raises RobotError."""
        observation = self.robot.observe()
        if not self.robot.lost:
            if self.lost is not None:
                self.say(f"the target is found again after {now - self.lost:.1f} s")
            self.lost = None
            self.number, self.pending = self.number + 1, (now, observation.time)
            self.policy.ask(observation, self.number)
            self.recorder.asked(self.number, observation, now)
        elif self.lost is None:
            self.lost, self.timeline, self.pauses = now, None, self.pauses + 1
            self.arm.hold()
            self.say("the target is lost: pausing")
        return self.lost is None or now - self.lost <= self.pace.patience

    def command(self, now: float) -> bool:
        """Commands what is due; whether anything was. Raises ActionError."""
        if self.timeline is None or now < self.due:
            return False
        action = self.timeline.at(now)
        if action is not None:
            if not self.shadow:
                self.arm.offer(action, self.timeline.start)
            age, late = now - self.timeline.start, now - self.due
            self.timing.age.append(age)
            self.timing.jitter.append(late)
            self.timing.missed += late > self.pace.period / 2
            if self.fresh:
                self.timing.latency.append(age)
                self.fresh = False
        self.due += self.pace.period
        if self.due <= now:
            self.due = now + self.pace.period
        return action is not None

    def wake(self, now: float) -> float:
        """When to look again [s]."""
        soon = now + self.pace.poll
        return min(soon, self.due) if self.timeline is not None and self.due > now else soon
