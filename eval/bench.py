"""What one worker does: all trials of one object on one compiled scene, with a policy that is loaded once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
from sim.scene import SceneConfig
from sim.simrobot import SimRobot


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

    def __call__(self, item: Graspable) -> SimRobot:
        """Unconnected; a context manager."""
        return SimRobot(SceneConfig(item, size=self.size))


@dataclass(frozen=True)
class Job:
    """One object and what to do with it."""

    item: Graspable
    trials: tuple[Trial, ...]
    film: bool = False
    """Record the trials instead of counting them."""


@dataclass(frozen=True)
class Tried:
    """What came of a job."""

    rows: tuple[Outcome, ...]
    portrait: np.ndarray | None
    """A picture of the object, (H, W, 3) uint8."""
    films: tuple[Film, ...] = ()


@dataclass(frozen=True)
class Bench:
    """Everything but the job. Called once in each worker; picklable."""

    policy: Callable[[], Policy]
    robot: Callable[[Graspable], Any]
    rules: Rules
    suite: str

    def __call__(self) -> Callable[[Job], Tried]:
        """Loads the policy."""
        policy = self.policy()
        execute = execute_of(policy, self.rules)
        return lambda job: self._try(job, policy, execute)

    def _try(self, job: Job, policy: Policy, execute: int) -> Tried:
        with self.robot(job.item) as robot:
            if job.film:
                films = tuple(film(robot, policy, trial, self.rules, suite=self.suite, execute=execute) for trial in job.trials)
                return Tried((), None, films)
            rows = tuple(run_trial(robot, policy, trial, self.rules, suite=self.suite, execute=execute) for trial in job.trials)
            return Tried(rows, portrait(robot))


def execute_of(policy: Policy, rules: Rules) -> int:
    """Actions of each chunk that are carried out: as the rules say, else as the policy was trained."""
    contract = getattr(policy, "contract", None)
    execute = rules.execute or getattr(contract, "execute", None)
    if execute is None:
        raise EvalError("the policy does not say how much of a chunk to carry out; give execute=N")
    chunk = getattr(contract, "chunk", execute)
    if execute > chunk:
        raise EvalError(f"execute={execute} is more than the {chunk} actions of a chunk")
    return execute
