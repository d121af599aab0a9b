"""`cezanne train`: training, whose policies are tried in simulation now and then: `policies/` has no world, so the two meet here."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from eval.errors import EvalError
from eval.evaluate import Cell, Crew, evaluate_all
from eval.sources import TOYS, open_suite
from eval.suite import CELLS, Suite
from policies.config import TrainConfig

APART = 500_000
"""Added to the seed: the toys that choose the best weights are not those that `cezanne eval` reports on."""


def run(cfg: TrainConfig) -> dict[str, Any]:
    """Trains, or continues, and says where the checkpoint is."""
    from policies.train import run as train  # imports torch

    if cfg.rollout_every:
        suite_of(cfg)  # what cannot be tried is to be known now, not after an hour of training
    return train(cfg, try_policy)


def try_policy(cfg: TrainConfig, checkpoint: Path) -> dict[str, float]:
    """Tries a checkpoint of a run: its success rate and the interval of that. Trials of a run that was killed are kept in its folder.

    Raises:
        EvalError: the policy does not fit the simulation, or was trained on the suite's toys.
    """
    folder = Path(cfg.out) / "rollouts" / checkpoint.name
    cell, crew = Cell(checkpoint, suite_of(cfg, checkpoint)), Crew(cfg.rollout_workers)
    (report,) = evaluate_all([cell], crew=crew, out=folder, progress=cfg.progress)
    found = report.summary()
    low, high = found["interval"]
    return {"rollout_success": found["success_rate"], "rollout_low": low, "rollout_high": high, "rollout_trials": found["trials"]}


def suite_of(cfg: TrainConfig, checkpoint: Path | None = None) -> Suite:
    """`rollouts` trials or a few more, the same number for each object, of as many as there are. Raises EvalError, ObjectError."""
    seed = APART + cfg.seed
    most = TOYS if cfg.rollout_suite == "toys" else cfg.rollouts
    objects = len(open_suite(cfg.rollout_suite, trials=1, seed=seed, limit=min(cfg.rollouts, most), checkpoint=checkpoint).objects)
    each = math.ceil(cfg.rollouts / objects)
    if each > CELLS:
        raise EvalError(f"rollouts={cfg.rollouts}; {objects} objects of {cfg.rollout_suite} have {objects * CELLS} trials")
    return open_suite(cfg.rollout_suite, trials=each, seed=seed, limit=math.ceil(cfg.rollouts / each), checkpoint=checkpoint)
