"""`cezanne replay`: one trial of an evaluation again, or a policy on what a black box recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import eval.replay
from deploy.blackbox.page import draw_page
from deploy.blackbox.replay import replay_blackbox
from deploy.errors import DeployError
from hardware.blackbox_file import HEAD, open_blackbox
from policies.model_policy import load_policy


@dataclass
class ReplayConfig(eval.replay.ReplayConfig):
    """A trial of an evaluation, or a black box."""

    checkpoint: str = ""
    """Of a black box: the policy that is asked about what was recorded; by default the one that ran."""
    tolerance: float = 1e-3
    """Of a black box: a difference beyond this counts [rad]."""


def run(cfg: ReplayConfig) -> dict[str, Any]:
    """Replays what the folder holds."""
    folder = Path(cfg.run)
    if not cfg.run or not (folder / HEAD).is_file():
        return eval.replay.run(cfg)
    tape = open_blackbox(folder)
    recorded = str(tape.context.get("checkpoint") or "")
    if not cfg.checkpoint and not recorded:
        raise DeployError(f"{folder} was recorded with a policy server; say which policy to ask: checkpoint=FOLDER")
    policy = load_policy(cfg.checkpoint or recorded)
    out = Path(cfg.out or folder)
    page = draw_page(tape, out / "report.png")
    summary = replay_blackbox(folder, policy, history=policy.contract.history, tolerance=cfg.tolerance, out=out)
    stop = {"reason": tape.stop.reason.value, "detail": tape.stop.detail} if tape.stop else None
    return {"ok": True, "same": summary["first"] is None, "stop": stop, **summary, "page": str(page)}
