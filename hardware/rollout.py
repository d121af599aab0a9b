"""The one loop that runs a policy on a robot, simulated or physical."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from hardware.api import Action, ActionError, Observation, Policy, Robot


class Ending(Enum):
    """Why a rollout ended."""

    DONE = "done"
    """`until` said so."""
    TIMEOUT = "timeout"
    """The steps ran out."""
    REFUSED = "refused"
    """The policy gave an action that must not reach a robot, such as NaN; the robot was stopped."""


@dataclass(frozen=True)
class Rollout:
    """What happened in one run of a policy."""

    ending: Ending
    steps: int
    """Control steps that were commanded."""
    detail: str = ""
    """For REFUSED: what was refused."""


def rollout(
    robot: Robot,
    policy: Policy,
    *,
    steps: int,
    execute: int,
    instruction: str = "pick up the object",
    until: Callable[[int, Action], bool] = lambda t, sent: False,
    watch: Callable[[int, Observation], None] = lambda t, observation: None,
) -> Rollout:
    """Observes, predicts a chunk, executes its first `execute` actions, and again.

    The robot's `command` keeps the rate: a physical robot waits for its period, a simulated one does not.

    Args:
        robot: a connected robot.
        policy: is reset once, then asked every `execute` steps.
        steps: longest run [control steps].
        execute: actions of each chunk that are carried out before the next observation.
        instruction: what to do, in words.
        until: called after each step with its number and the action sent; True ends the run.
        watch: called with each observation, for recording.

    Raises:
        RobotError: from the robot. An action that is not finite is no error: it ends the run as REFUSED.
    """
    if execute < 1:
        raise ValueError(f"execute={execute} must be at least 1")
    policy.reset(instruction)
    chunk, offset = None, 0
    for t in range(steps):
        if chunk is None or offset == min(execute, len(chunk)):
            observation = robot.observe()
            watch(t, observation)
            chunk, offset = policy.predict(observation), 0
        try:
            action = chunk[offset]
        except ActionError as error:
            robot.stop()
            return Rollout(Ending.REFUSED, t, str(error))
        sent = robot.command(action)
        offset += 1
        if until(t, sent):
            return Rollout(Ending.DONE, t + 1)
    return Rollout(Ending.TIMEOUT, steps)
