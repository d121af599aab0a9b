"""What one worker does: one trial after the other, with policies and a compiled scene that stay loaded."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from assets.graspable import Graspable
from eval.errors import EvalError
from eval.film import Film, film, portrait
from eval.outcome import Outcome
from eval.suite import Trial
from eval.trial import Rules, run_trial
from hardware.api import Policy
from hardware.ensemble import Ensemble
from sim.disturbed import open_robot
from sim.scene import SceneConfig
from sim.variation import PLAIN, Variation, vary


@dataclass(frozen=True)
class Checkpoint:
    """Opens the policy of a checkpoint folder, on one thread: the processes share the cores among themselves."""

    path: Path

    def __call__(self) -> Policy:
        """Loads it."""
        import torch  # the parent process does without: it takes seconds to import

        from policies import load_policy

        torch.set_num_threads(1)
        return load_policy(self.path)


@dataclass(frozen=True)
class Simulation:
    """Makes the robot that faces one object."""

    size: int = 128
    robot: str = "panda"

    def __call__(self, item: Graspable, variation: Variation = PLAIN) -> Any:
        """Unconnected; a context manager."""
        return open_robot(SceneConfig(item, size=self.size, variation=variation, robot=self.robot))


@dataclass(frozen=True)
class Stand:
    """One policy and the rules that it is tried by."""

    policy: Callable[[], Policy]
    robot: Callable[..., Any]
    """Of an object, and of a variation where a trial has one."""
    rules: Rules
    suite: str


@dataclass(frozen=True)
class Job:
    """One trial."""

    stand: int
    """Which policy and rules: index into the bench's stands."""
    item: Graspable
    trial: Trial
    film: bool = False
    """Record the trial."""
    portrait: bool = False
    """Take a picture of the object too."""

    @property
    def key(self) -> tuple[int, str]:
        """Jobs of one key are quicker in one worker."""
        return self.stand, self.item.name


@dataclass(frozen=True)
class Tried:
    """What came of a job."""

    row: Outcome
    portrait: np.ndarray | None = None
    """A picture of the object, (H, W, 3) uint8."""
    film: Film | None = None


@dataclass(frozen=True)
class Bench:
    """Everything but the jobs. Called once in each worker; picklable."""

    stands: tuple[Stand, ...]

    def __call__(self) -> Worker:
        """A worker, with nothing loaded yet."""
        return Worker(self.stands)


@dataclass
class Worker:
    """Does jobs. Policies stay loaded, and the plain scene of the last object stays compiled."""

    stands: tuple[Stand, ...]
    _policies: dict[int, Policy] = field(default_factory=dict)
    _scene: tuple[tuple[int, str], Any] | None = None

    def __call__(self, job: Job) -> Tried:
        """Runs one trial."""
        stand = self.stands[job.stand]
        if job.stand not in self._policies:
            self._policies[job.stand] = stand.policy()
        policy = self._policies[job.stand]
        if job.trial.axis == "none":
            return self._try(job, stand, policy, self._plain(job, stand))
        with stand.robot(job.item, variation_of(job.trial)) as robot:
            return self._try(job, stand, policy, robot)

    def _plain(self, job: Job, stand: Stand) -> Any:
        if self._scene is None or self._scene[0] != job.key:
            if self._scene is not None:
                last, self._scene = self._scene[1], None
                last.__exit__(None, None, None)
            self._scene = job.key, stand.robot(job.item).__enter__()
        return self._scene[1]

    def _try(self, job: Job, stand: Stand, policy: Policy, robot: Any) -> Tried:
        attach = getattr(policy, "attach", None)
        if attach is not None:  # a reference that knows the robot it moves
            attach(robot)
        execute = execute_of(policy, stand.rules)
        if stand.rules.ensemble is not None:
            policy = Ensemble(policy, stand.rules.ensemble, robot.dt)
        if job.film:
            filmed = film(robot, policy, job.trial, stand.rules, suite=stand.suite, execute=execute)
            return Tried(filmed.outcome, film=filmed)
        row = run_trial(robot, policy, job.trial, stand.rules, suite=stand.suite, execute=execute)
        return Tried(row, portrait(robot) if job.portrait else None)


def variation_of(trial: Trial) -> Variation:
    """How the world of a trial differs from the plain one: depends on the trial alone. Raises SceneError for an unknown axis."""
    return vary(trial.axis, trial.strength, zlib.crc32(f"{trial.axis} {trial.name} {trial.pose} {trial.seed}".encode()))


def execute_of(policy: Policy, rules: Rules) -> int:
    """Actions of each chunk that are carried out: as the rules say, else as the policy was trained."""
    contract = getattr(policy, "contract", policy)
    execute = rules.execute or getattr(contract, "execute", None)
    if execute is None:
        raise EvalError("the policy does not say how much of a chunk to carry out; give execute=N")
    chunk = getattr(contract, "chunk", execute)
    if execute > chunk:
        raise EvalError(f"execute={execute} is more than the {chunk} actions of a chunk")
    return execute
