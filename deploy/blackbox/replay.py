"""Runs a policy on what a black box recorded: would it have done the same?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from deploy.blackbox.page import draw_replay
from deploy.errors import DeployError
from hardware.api import Policy
from hardware.blackbox_file import Tape, open_blackbox


def replay_blackbox(
    path: Path | str, policy: Policy, *, history: int = 1, tolerance: float = 1e-3, out: Path | str | None = None
) -> dict[str, Any]:
    """Asks a policy about the recorded observations, in order, with the recorded instructions, and compares its answers.

    Args:
        path: of the black box.
        policy: the recorded one, or another for the same robot and cameras.
        history: observations that an answer rests on, as in the policy's contract: the first calls of which pictures were kept are
            asked about and not compared where what came before them is gone.
        tolerance: what counts as different [rad].
        out: folder for a picture; none is drawn by default.

    Returns:
        Calls and how many of them were compared; `max_rad` and `median_rad` by joint; `gripper_max`; `first`, the first call that
        differs: its number, time [s], joint and difference [rad], None where none does; and the `picture`.

    Raises:
        RobotError: the file is no black box.
        DeployError: it holds nothing to compare, or the policy answers with other joints.
    """
    tape = open_blackbox(path)
    compared = _pairs(tape, policy, history)
    if not compared:
        raise DeployError(f"{path} holds no whole pictures of a call that was answered: nothing to replay")
    joints = tape.plan.joints
    away = np.array([np.abs(mine[:, : len(joints)] - theirs[:, : len(joints)]).max(axis=0) for _, theirs, mine in compared])  # (C, n)
    every = np.concatenate([np.abs(mine - theirs) for _, theirs, mine in compared])  # (sum of T, n + m)
    summary: dict[str, Any] = {
        "calls": len(tape.arrays["calls"]),
        "compared": len(compared),
        "max_rad": dict(zip(joints, away.max(axis=0).tolist(), strict=True)),
        "median_rad": dict(zip(joints, np.median(every[:, : len(joints)], axis=0).tolist(), strict=True)),
        "gripper_max": float(every[:, len(joints) :].max(initial=0)),
        "first": _first(tape, [call for call, _, _ in compared], away, tolerance),
    }
    if out is not None:
        numbers = np.array([tape.call("number")[call] for call, _, _ in compared])
        worst = compared[int(np.nan_to_num(away.max(axis=1), nan=np.inf).argmax())]
        pair = worst[1][:, : len(joints)], worst[2][:, : len(joints)]
        summary["picture"] = str(draw_replay(Path(out) / f"{Path(path).name}-replay.png", joints, numbers, away, pair, tolerance))
    return summary


def _pairs(tape: Tape, policy: Policy, history: int) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Call, recorded and replayed actions (T, n + m) each, of every call that can be compared."""
    found = []
    trial, since = None, 0
    for call in tape.pictured:
        began = call == 0 or tape.call("trial")[call - 1] != tape.call("trial")[call]
        if trial != tape.call("trial")[call]:
            trial, since = tape.call("trial")[call], history if began and tape.call("number")[call] == 1 else 0
            policy.reset(tape.trials.get(int(trial), ""))
        answer = policy.predict(tape.observation(call))
        since += 1
        recorded = tape.chunk(call)
        if recorded is None or since < history:
            continue
        theirs, mine = (np.concatenate([chunk.qpos, chunk.gripper], axis=1) for chunk in (recorded, answer))
        if theirs.shape != mine.shape:
            raise DeployError(
                f"the recorded answer to call {call} is {theirs.shape}, the policy's {mine.shape}: another robot, or another chunk"
            )
        found.append((call, theirs, mine))
    return found


def _first(tape: Tape, calls: list[int], away: np.ndarray, tolerance: float) -> dict[str, Any] | None:
    """The first call that differs. What is not a number differs."""
    differ = ~(away <= tolerance)  # (C, n)
    if not differ.any():
        return None
    row = int(differ.any(axis=1).argmax())
    joint = int(np.nan_to_num(away[row], nan=np.inf).argmax())
    call = calls[row]
    return {
        "number": int(tape.call("number")[call]),
        "time": float(tape.call("asked")[call]),
        "joint": tape.plan.joints[joint],
        "rad": float(away[row, joint]),
    }
