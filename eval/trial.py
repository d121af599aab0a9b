"""One trial: place the object, run the policy, judge what happened."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from eval.errors import EvalError
from eval.outcome import Outcome, Reason
from eval.suite import Trial
from hardware.api import Action, ActionChunk, Observation, Policy, Robot
from hardware.rollout import Ending, rollout
from sim.errors import PlacementError

LIFTED = 0.03
"""Above this an object counts as picked up, though not yet as a success [m]."""
TIPPED = math.cos(math.radians(45))
FALLEN = -0.05
"""An object this far below its rest height lies beside the table [m]."""
CLOSED = 0.5
"""A command below this opening closes the gripper."""


def told_to_close(values: np.ndarray) -> bool:
    """Whether a command for the hand, (m,), closes it: all motors of a hand but one, since its thumb may stand while the fingers close."""
    return bool((np.sort(values)[: max(1, len(values) - 1)] < CLOSED).all())


class TrialRobot(Robot, Protocol):
    """A robot whose world can be set up and measured: what a judge needs beyond the robot contract."""

    dt: float

    def place(self, xy: np.ndarray, rng: np.random.Generator) -> None:
        """Arm to its start, object at rest near `xy` (2,) [m]. Raises PlacementError."""
        ...

    @property
    def object_pose(self) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) [m] and quaternion (4,) of the object."""
        ...

    @property
    def held(self) -> bool:
        """Whether the hand touches the object from both of its sides."""
        ...

    @property
    def grip_pose(self) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) [m] and rotation (3, 3) of the point between the finger pads."""
        ...

    @property
    def force(self) -> float:
        """Total normal force between the robot and what it touches [N]."""
        ...


@dataclass(frozen=True)
class Rules:
    """What counts as success and how long a policy has for it."""

    lift: float = 0.10
    """How far above its rest height the object must be [m]."""
    hold: float = 0.5
    """How long it must stay there, at the end of which it is still held [s]."""
    horizon: float = 8.0
    """Longest trial [s]."""
    execute: int | None = None
    """Actions of each chunk that are carried out before the next observation; None: as the policy was trained."""
    ensemble: float | None = None
    """Half-life of the weights of a mean over all chunks that foresaw the present [control steps]; None: the newest chunk alone."""

    def __post_init__(self) -> None:
        if not 0 < self.lift <= 0.5:
            raise EvalError(f"lift={self.lift} m; a success is a lift of more than 0 and at most 0.5 m")
        if not 0 <= self.hold < self.horizon <= 120:
            raise EvalError(f"hold={self.hold} s, horizon={self.horizon} s; 0 <= hold < horizon <= 120 is needed")
        if self.execute is not None and self.execute < 1:
            raise EvalError(f"execute={self.execute}; at least one action of a chunk is carried out")
        if self.ensemble is not None and not self.ensemble > 0:
            raise EvalError(f"ensemble={self.ensemble}; a half-life is above 0 control steps")


def run_trial(
    robot: TrialRobot, policy: Policy, trial: Trial, rules: Rules, *, suite: str, execute: int, watch: Watch | None = None
) -> Outcome:
    """Runs one trial from placement to verdict.

    Args:
        robot: connected.
        policy: is reset first.
        trial: what lies where.
        rules: of success.
        suite: name for the row.
        execute: actions of each chunk that are carried out.
        watch: called with each step's number, for recording.
    """
    where = {"axis": trial.axis, "strength": trial.strength}
    try:
        robot.place(trial.xy, np.random.default_rng(trial.seed))
    except PlacementError:
        return Outcome(suite, trial.name, trial.pose, trial.seed, None, Reason.UNPLACED, 0, 0.0, None, 0.0, None, **where)
    judge, effort = Judge(robot, rules), Effort(robot)
    timed = Timed(policy)

    def until(t: int, sent: Action) -> bool:
        done = judge.step(t, sent)
        effort.step()
        if watch is not None:
            watch.step(t)
        return done

    if watch is not None:
        watch.step(-1)
    ran = rollout(robot, timed, steps=round(rules.horizon / robot.dt), execute=execute, until=until)
    reason = Reason.REFUSED if ran.ending is Ending.REFUSED else judge.reason()
    success = reason is Reason.SUCCESS
    return Outcome(
        suite,
        trial.name,
        trial.pose,
        trial.seed,
        success,
        reason,
        ran.steps,
        round(ran.steps * robot.dt, 6),
        round((judge.since + 1) * robot.dt, 6) if success and judge.since is not None else None,
        round(judge.max_lift, 6),
        round(float(np.median(timed.times)) * 1e3, 3) if timed.times else None,
        peak_force=round(effort.peak_force, 6),
        path_length=round(effort.path_length, 6),
        theirs=getattr(robot, "theirs", None),
        **where,
    )


class Watch(Protocol):
    """Looks on while a trial runs."""

    def step(self, t: int) -> None:
        """Called before the first step with -1 and after each step with its number."""
        ...


@dataclass
class Judge:
    """Follows one trial, step by step, by the pose of the object and nothing else but who touches it."""

    robot: TrialRobot
    rules: Rules
    max_lift: float = 0.0
    since: int | None = None
    """The step from which the object has been high enough without a break."""
    done: bool = False
    toppled: bool = False
    closed: bool = False
    _rest: tuple[float, np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        pos, quat = self.robot.object_pose
        self._rest = float(pos[2]), _up(quat)

    def step(self, t: int, sent: Action) -> bool:
        """Takes note of what step `t` led to; True once the trial is a success."""
        pos, quat = self.robot.object_pose
        lift = float(pos[2]) - self._rest[0]
        self.max_lift = max(self.max_lift, lift)
        self.closed |= told_to_close(sent.gripper)
        if self.max_lift <= LIFTED:
            self.toppled |= bool(_up(quat) @ self._rest[1] < TIPPED) or lift < FALLEN
        if lift < self.rules.lift:
            self.since = None
        elif self.since is None:
            self.since = t
        if self.since is not None and (t - self.since) * self.robot.dt >= self.rules.hold - 1e-9:
            self.done = self.robot.held
        return self.done

    def reason(self) -> Reason:
        """The verdict at the end."""
        if self.done:
            return Reason.SUCCESS
        if self.max_lift > LIFTED:
            lift = float(self.robot.object_pose[0][2]) - self._rest[0]
            return Reason.UNFINISHED if self.robot.held and lift > LIFTED else Reason.SLIPPED
        if self.toppled:
            return Reason.TOPPLED
        return Reason.MISSED if self.closed else Reason.NEVER_CLOSED


@dataclass
class Effort:
    """What a trial costs the robot: how far the hand went and how hard it pressed."""

    robot: TrialRobot
    peak_force: float = 0.0
    """[N]"""
    path_length: float = 0.0
    """[m]"""
    _at: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self._at = self.robot.grip_pose[0]

    def step(self) -> None:
        """Takes note of one control step."""
        at = self.robot.grip_pose[0]
        self.path_length += float(np.linalg.norm(at - self._at))
        self.peak_force = max(self.peak_force, self.robot.force)
        self._at = at


@dataclass
class Timed:
    """A policy, and how long each of its predictions took [s]."""

    policy: Policy
    times: list[float] = field(default_factory=list)

    def reset(self, instruction: str) -> None:
        """Starts a new trial."""
        self.policy.reset(instruction)

    def predict(self, observation: Observation) -> ActionChunk:
        """As the policy does, against the clock."""
        start = time.perf_counter()
        chunk = self.policy.predict(observation)
        self.times.append(time.perf_counter() - start)
        return chunk


def _up(quat: np.ndarray) -> np.ndarray:
    """The table's upward direction in the frame of the object, (3,): turning about the vertical leaves it alone."""
    w, x, y, z = quat
    return np.array([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)])
