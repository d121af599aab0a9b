"""One cell with one seed: its data, its training, its rollouts. The unit of work and of resuming."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from augment.errors import AugmentError
from episodes import DatasetWriter, Episode
from eval.errors import EvalError
from eval.fingerprint import code, digest
from eval.results import write_json
from eval.shortcuts.cell import ENCODERS, Cell
from eval.shortcuts.cure import open_cure
from eval.shortcuts.footage import contract, film
from eval.shortcuts.trial import attempts

VERSION = 1
"""Raise it when a job would come out otherwise."""


@dataclass(frozen=True)
class Scale:
    """How large the study is made."""

    name: str
    demonstrations: int
    """Of each island."""
    size: int
    """Of the pictures [px]."""
    steps: int
    """Of each training."""
    batch: int
    out: int
    """Rollouts out of distribution for each island."""
    inside: int
    """Rollouts in distribution for each island."""
    seeds: int


CPU = Scale("cpu", demonstrations=60, size=96, steps=400, batch=64, out=16, inside=6, seeds=3)
GPU = Scale("gpu", demonstrations=200, size=128, steps=5000, batch=256, out=50, inside=25, seeds=5)
SCALES = {scale.name: scale for scale in (CPU, GPU)}


@dataclass(frozen=True)
class Job:
    """A cell, a seed and a scale."""

    cell: Cell
    seed: int
    scale: Scale

    @property
    def key(self) -> str:
        """The same for cells that differ in nothing but the figure that they are drawn in."""
        cell = {key: value for key, value in asdict(self.cell).items() if key not in ("part", "x")}
        scale = {key: value for key, value in asdict(self.scale).items() if key not in ("name", "seeds")}
        return digest([VERSION, cell, self.seed, scale])


@dataclass(frozen=True)
class Workshop:
    """What a worker needs to do jobs. Called once in each worker."""

    folder: Path
    threads: int
    """Of torch, in each worker."""

    def __call__(self) -> Callable[[Job], dict[str, Any]]:
        return self.work

    def work(self, job: Job) -> dict[str, Any]:
        """Does a job and keeps its record."""
        path = self.folder / "jobs" / f"{job.key}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{job.key}-", dir=self.folder) as scratch:
            record = _work(job, self.folder, Path(scratch), self.threads)
        write_json(path, record)
        return record


def _work(job: Job, folder: Path, scratch: Path, threads: int) -> dict[str, Any]:
    from policies import load_policy  # imports torch

    cell, scale = job.cell, job.scale
    began = time.monotonic()
    episodes = list(film(cell, folder / "play", scale.demonstrations, scale.size, np.random.default_rng([job.seed, 0])))
    info = contract(cell, scale.size)
    mended = _mended(episodes, job)
    DatasetWriter(scratch / "data", info).write("all", mended)
    drawn = time.monotonic()
    losses = _train(job, scratch, threads)
    trained = time.monotonic()
    policy = load_policy(scratch / "policy")
    execute = policy.contract.execute
    tried = [
        attempt
        for pairing, count in (("in", scale.inside), ("out", scale.out))
        for attempt in attempts(cell, policy, scale.size, count, pairing, job.seed, execute=execute)
    ]
    shutil.rmtree(scratch / "data")
    return {
        "label": cell.label,
        "seed": job.seed,
        "episodes": len(mended),
        "loss": losses,
        "seconds": {"data": round(drawn - began, 1), "training": round(trained - drawn, 1), "trials": round(time.monotonic() - trained, 1)},
        "code": code(),
        "attempts": [asdict(attempt) for attempt in tried],
    }


def _mended(episodes: list[Episode], job: Job) -> list[Episode]:
    """The episodes and what the cure adds to them; what it refuses is left out."""
    cell = job.cell
    if not cell.cure or cell.cure == "bridge":
        return episodes
    mended = list[Episode]()
    with open_cure(cell, job.scale.size, episodes) as cure:
        for k, episode in enumerate(episodes):
            with suppress(AugmentError):
                mended.append(cure(episode, np.random.default_rng([job.seed, 1, k])))
    if not mended:
        raise EvalError(f"{cell.cure}: no episode of {cell.label} could be mended")
    return [*episodes, *mended]


def _train(job: Job, scratch: Path, threads: int) -> float:
    """Trains the policy of a job and returns its last loss."""
    from omegaconf import OmegaConf

    from conf.compose import compose
    from policies.config import TrainConfig
    from policies.runlog import read_log
    from policies.train import run

    scale = job.scale
    said = [f"data={scratch / 'data'}", f"out={scratch / 'policy'}", f"steps={scale.steps}", f"batch={scale.batch}", f"seed={job.seed}"]
    plain = [
        "holdout=0",
        "colour=false",
        "grasp_weight=0",
        "policy.width=256",
        "progress=false",
        f"threads={threads}",
        f"log_every={min(50, scale.steps)}",
    ]
    cfg: Any = OmegaConf.to_object(compose("train", TrainConfig, [*said, *plain, *ENCODERS[job.cell.encoder]]))
    run(cfg)
    return float([entry["loss"] for entry in read_log(scratch / "policy" / "log.jsonl") if "loss" in entry][-1])
