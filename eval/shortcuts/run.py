"""`cezanne study shortcuts`: every cell with every seed, then the figures, the tables and the answer."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from conf import nearest
from eval.errors import EvalError
from eval.results import write_json
from eval.shortcuts.cell import Part, parts
from eval.shortcuts.document import write_document
from eval.shortcuts.finding import Finding
from eval.shortcuts.footage import Play, perform, plays
from eval.shortcuts.job import SCALES, Job, Scale, Workshop
from sim.workers import share

NAME = "shortcuts"
QUESTION = "Does a policy read the camera instead of the object, what makes it, and what mends it?"


@dataclass(frozen=True)
class Stagehand:
    """Makes demonstrations without pictures. Called once in each worker."""

    folder: Path

    def __call__(self) -> Callable[[Play], None]:
        return lambda wanted: perform(self.folder / "play", wanted)


def run(
    *,
    profile: str,
    part: str,
    steps: int,
    trials: int,
    limit: int,
    workers: int,
    executor: str,
    address: str,
    out: Path,
    document: str,
) -> dict[str, Any]:
    """Does what is left of the study and returns its summary. Raises EvalError.

    Args:
        profile: `cpu` or `gpu`.
        part: which figures, comma-separated; empty: all.
        steps: of each training; 0: as the profile says.
        trials: rollouts out of distribution for each island; 0: as the profile says.
        limit: at most so many seeds; 0: as the profile says.
        workers, executor, address: see sim.workers.share.
        out: folder of all studies; this one has a folder of its own there.
        document: Markdown file to write; empty: none.
    """
    began = time.monotonic()
    scale = SCALES[profile]
    scale = replace(scale, steps=steps or scale.steps, out=trials or scale.out, seeds=limit or scale.seeds)
    chosen = _chosen(part)
    folder = out / NAME
    (folder / "jobs").mkdir(parents=True, exist_ok=True)
    jobs = {job.key: job for job in _jobs(chosen, scale)}
    todo = [job for job in jobs.values() if not _record(folder, job).exists()]
    if todo:
        crew = {"executor": executor, "address": address}
        _play(folder, todo, workers, crew)
        _work(folder, todo, workers, crew)
    findings = {cell_part.name: Finding.of(cell_part, scale, lambda job: _read(_record(folder, job))) for cell_part in chosen}
    command = " ".join(["cezanne study", NAME, *([f"profile={profile}"] if profile != "cpu" else []), *([f"part={part}"] if part else [])])
    answer = write_document(folder, list(findings.values()), scale, command, Path(document) if document else None)
    for sentence in answer:
        print(sentence, file=sys.stderr)
    summary = {
        "study": NAME,
        "cells": {name: finding.summary() for name, finding in findings.items()},
        "answer": answer,
        "jobs": len(jobs),
        "job_seconds": round(sum(finding.seconds for finding in findings.values()), 1),
        "seconds": round(time.monotonic() - began, 1),
        "report": str(folder / "shortcuts.md"),
    }
    write_json(folder / "summary.json", summary)
    return summary


def _chosen(part: str) -> list[Part]:
    known = {p.name: p for p in parts()}
    names = [name.strip() for name in part.split(",") if name.strip()] or list(known)
    for name in names:
        if name not in known:
            raise EvalError(f"unknown part {name!r} of the study" + nearest(name, list(known)) + f"; known: {', '.join(known)}")
    return [known[name] for name in names]


def _jobs(chosen: Sequence[Part], scale: Scale) -> list[Job]:
    """One seed after the other, so that a study that was stopped has something to say about every cell."""
    return [Job(cell, seed, scale) for seed in range(scale.seeds) for part in chosen for cell in part.cells]


def _record(folder: Path, job: Job) -> Path:
    return folder / "jobs" / f"{job.key}.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EvalError(f"{path} cannot be read ({error}); remove it and run the study again") from None


def _play(folder: Path, todo: Sequence[Job], workers: int, crew: dict[str, Any]) -> None:
    wanted = sorted({play for job in todo for play in plays(job.cell, job.scale.demonstrations)}, key=lambda play: play.name)
    for done in tqdm(share(Stagehand(folder), wanted, workers or None, **crew), desc="play", unit="place", total=len(wanted)):
        if done.error:
            raise EvalError(f"demonstrations of {wanted[done.index].name}: {done.error}")


def _work(folder: Path, todo: Sequence[Job], workers: int, crew: dict[str, Any]) -> None:
    threads = max(1, (os.cpu_count() or 1) // (workers or os.cpu_count() or 1))
    failed = []
    with tqdm(total=len(todo), desc="cells", unit="job") as bar:
        for done in share(Workshop(folder, threads), todo, workers or None, **crew):
            job = todo[done.index]
            if done.error:
                failed.append(f"{job.cell.label}, seed {job.seed}: {done.error}")
                bar.write(failed[-1], file=sys.stderr)
            else:
                attempts = [a for a in done.value["attempts"] if a["pairing"] == "out"]
                won = sum(a["success"] for a in attempts)
                bar.write(f"{job.cell.label}, seed {job.seed}: {won} of {len(attempts)} out of distribution", file=sys.stderr)
            bar.update()
    if failed:
        raise EvalError(f"{len(failed)} of {len(todo)} jobs failed, the first: {failed[0]}; the rest is kept, run again to continue")
