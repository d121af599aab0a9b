"""Validation in closed loop: the averaged weights are tried every so many steps, and the best of them are kept beside the newest."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from policies.config import TrainConfig
from policies.runlog import read_log

Trial = Callable[[TrainConfig, Path], dict[str, float]]
"""Tries a checkpoint: `rollout_success` and the bounds of its interval, `rollout_low` and `rollout_high`. This room has no world to do
it in; who has one hands it to `policies.train.run`."""
SUCCESS = "rollout_success"


def tried(out: Path, step: int) -> bool:
    """Whether the log has the trials of a step."""
    return any(entry["step"] == step and SUCCESS in entry for entry in read_log(out / "log.jsonl"))


def best_entry(out: Path) -> dict[str, float] | None:
    """The entry of the most successful trials, the later of equals; None where none were made."""
    found = [entry for entry in read_log(out / "log.jsonl") if SUCCESS in entry]
    return max(found, key=lambda entry: (entry[SUCCESS], entry["step"])) if found else None


def keep_best(out: Path, checkpoint: Path) -> None:
    """Copies a checkpoint to `best` of the run's folder if its trials are the best so far: what a policy needs, not what training does."""
    entry = best_entry(out)
    if entry is None or int(entry["step"]) != int(checkpoint.name):
        return
    temporary, best = out / f".best.{os.getpid()}", out / "best"
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(checkpoint, temporary, ignore=shutil.ignore_patterns("train_state.safetensors"))
    shutil.rmtree(best, ignore_errors=True)
    os.rename(temporary, best)


def best(out: Path) -> dict[str, Any]:
    """For the summary of a run: which weights did best, and where they are. The newest are the result all the same."""
    entry = best_entry(out)
    if entry is None:
        return {}
    bounds = {name: value for name, value in entry.items() if name.startswith("rollout_")}
    return {"best": {"step": int(entry["step"]), **bounds, "checkpoint": str(out / "best")}}
