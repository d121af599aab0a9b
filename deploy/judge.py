"""Whether a trial succeeded: by the object's pose where a simulator knows it, else by the gripper, else by a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from eval.trial import Judge, Rules
from hardware.session import Session
from sim.live import LiveWorld

STEP = 0.02
"""Of the judges' time [s]."""


class TrialJudge(Protocol):
    """Follows one trial."""

    def step(self, now: float) -> bool:
        """Looks at a moment [s]; True once the trial is a success."""
        ...

    def reason(self) -> str:
        """The verdict at the end: "success", or what went wrong."""
        ...


@dataclass
class WorldJudge:
    """By the pose of the simulated object: the rules of `cezanne eval`."""

    world: LiveWorld
    arm: Session
    rules: Rules
    speed: float
    """Of the arm: slow trials hold the object for longer."""
    dt: float = STEP
    _judge: Judge = field(init=False)
    _begun: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._judge = Judge(self, self.rules)  # pyright: ignore[reportArgumentType]

    @property
    def object_pose(self) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) [m] and quaternion (4,) of the object."""
        truth = self.world.truth()
        return truth.position, truth.quaternion

    @property
    def held(self) -> bool:
        """Whether both fingers touch the object."""
        return self.world.truth().held

    def step(self, now: float) -> bool:
        """Looks at the object."""
        if self._begun is None:
            self._begun = now
        return self._judge.step(int((now - self._begun) * self.speed / STEP), self.arm.setpoint)

    def reason(self) -> str:
        """As `cezanne eval` says it."""
        return self._judge.reason().value


@dataclass
class GripJudge:
    """By the arm alone: the gripper was told to close, something keeps it open, and the tool is higher than where it closed."""

    arm: Session
    lift: float = 0.10
    """[m]"""
    hold: float = 0.5
    """[s]"""
    empty: float = 0.04
    """A gripper that closed further than this holds nothing."""
    _closed_at: float | None = field(default=None, init=False)
    _since: float | None = field(default=None, init=False)
    _done: bool = field(default=False, init=False)
    _closed: bool = field(default=False, init=False)

    def step(self, now: float) -> bool:
        """Looks at the arm."""
        state, asked = self.arm.state(), self.arm.setpoint
        height = float(self.arm.limits.arm.tool(state.qpos)[2, 3])
        if asked.gripper.min() >= 0.5:
            self._closed_at = self._since = None
            return False
        self._closed = True
        self._closed_at = height if self._closed_at is None else min(self._closed_at, height)
        if height - self._closed_at < self.lift or state.gripper.min() <= self.empty:
            self._since = None
        elif self._since is None:
            self._since = now
        self._done = self._since is not None and now - self._since >= self.hold
        return self._done

    def reason(self) -> str:
        """The verdict."""
        if self._done:
            return "success"
        return "missed" if self._closed else "never_closed"
