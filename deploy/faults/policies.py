"""Policies that fail: what they answer is broken behind the protocol, or their process is."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np

from deploy.faults.bench import Bench, ServedPolicy, Stage
from deploy.faults.fault import Fault
from deploy.faults.wave import Wave
from hardware.api import ActionChunk
from hardware.child import PolicyChild, PolicyProcess
from hardware.reason import Reason

ANSWERS = "the policy, behind its server"
PROCESS = "the policy's process"


def _row(
    name: str,
    breaks: str,
    expected: Reason,
    within: float,
    bend: Callable[[ActionChunk], ActionChunk],
    bench: Bench | None = None,
    slow: bool = False,
) -> Fault:
    def inject(stage: Stage) -> None:
        stage.wave.bend = bend

    return Fault(name, breaks, ANSWERS, expected, within, lambda folder: (bench or Bench()).run(folder, inject), slow)


def _nan(chunk: ActionChunk) -> ActionChunk:
    qpos = chunk.qpos.copy()
    qpos[3:, 2] = np.nan
    return ActionChunk(qpos, chunk.gripper)


def _infinite(chunk: ActionChunk) -> ActionChunk:
    return ActionChunk(chunk.qpos, np.full_like(chunk.gripper, np.inf))


def _short(chunk: ActionChunk) -> ActionChunk:
    return ActionChunk(chunk.qpos[:1], chunk.gripper[:1])


def _slow(chunk: ActionChunk) -> ActionChunk:
    time.sleep(1.5)
    return chunk


def _raises(chunk: ActionChunk) -> ActionChunk:
    raise ValueError("the network has a hole")


@contextlib.contextmanager
def child(wave: Wave) -> Iterator[ServedPolicy]:
    """The same policy in a process of its own."""
    command = (sys.executable, "-P", "-m", "deploy.faults.wave", "--period", str(wave.period))
    with PolicyChild(command, start_s=60).start() as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.process, signal.SIGCONT)


def _signal(number: signal.Signals) -> Callable[[Stage], None]:
    def inject(stage: Stage) -> None:
        if isinstance(stage.policy, PolicyProcess):
            os.kill(stage.policy.process, number)

    return inject


ROWS = (
    _row("policy NaN", "a joint of its actions is NaN", Reason.ACTION_NOT_FINITE, 2.0, _nan),
    _row("policy infinite", "the gripper's values are infinite", Reason.ACTION_NOT_FINITE, 2.0, _infinite),
    _row("policy jumps", "its actions are a radian away", Reason.ACTION_JUMP, 2.0, lambda c: ActionChunk(c.qpos + 1.0, c.gripper)),
    _row(
        "policy in degrees",
        "its statistics are another program's",
        Reason.ACTION_JUMP,
        2.0,
        lambda c: ActionChunk(c.qpos * 57.3, c.gripper),
    ),
    _row("policy of another arm", "it answers with six joints", Reason.ACTION_SHAPE, 2.0, lambda c: ActionChunk(c.qpos[:, :6], c.gripper)),
    _row("policy raises", "an error in the network", Reason.POLICY_REFUSED, 2.0, _raises),
    _row("policy slow", "an answer takes 1.5 s", Reason.ACTION_STALE, 3.0, _slow, slow=True),
    _row("no more actions", "answers are a single action", Reason.ACTION_STALE, 3.0, _short, Bench(limits={"action_age": 0.25})),
    Fault(
        "policy killed",
        "SIGKILL",
        PROCESS,
        Reason.POLICY_DEAD,
        3.0,
        lambda folder: Bench(policy=child).run(folder, _signal(signal.SIGKILL)),
    ),
    Fault(
        "policy hangs",
        "SIGSTOP; at a quarter of the speed, where actions last longer than patience",
        PROCESS,
        Reason.POLICY_DEAD,
        6.0,
        lambda folder: Bench(speed=0.25, policy=child).run(folder, _signal(signal.SIGSTOP)),
        slow=True,
    ),
)
