"""Films of a few successes and failures, for people who want to see before they believe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from episodes.picture import filmstrip, write_video
from eval.bench import Bench, Job
from eval.evaluate import Cell, Crew, Opener, parts_folder
from eval.film import Film
from eval.kept import write_jpeg
from eval.outcome import Outcome
from eval.results import Report
from eval.suite import Suite
from eval.trial import Rules

_PICTURES = 6
"""In a strip."""


@dataclass(frozen=True)
class Clip:
    """A recorded trial on disk."""

    outcome: Outcome
    video: Path
    strip: Path


def record(
    policy: Opener,
    suite: Suite,
    report: Report,
    *,
    each: int,
    wins: bool = True,
    out: Path,
    rules: Rules | None = None,
    crew: Crew | None = None,
    robot: Callable[..., Any] | None = None,
) -> tuple[Clip, ...]:
    """Runs `each` successes, unless `wins` is False, and as many failures once more and records them; what is recorded already is kept."""
    cell = Cell(policy, suite, rules or Rules(), robot)
    folder = parts_folder(out, report) / "films"
    chosen = [*(choose(report.rows, True, each) if wins else ()), *choose(report.rows, False, each)]
    todo = {row.key[1:] for row in chosen if not clip_of(folder, row).video.exists()}
    jobs = [Job(0, suite.objects[trial.object], trial, film=True) for trial in suite.trials if trial.key in todo]
    with tqdm(total=len(jobs), desc=f"film {suite.name}", unit="trial", disable=not jobs) as bar:
        for done in (crew or Crew()).share(Bench((cell.stand(cell.open()),)), jobs):
            if done.value is not None and done.value.film is not None:
                save(folder, done.value.film)
            bar.update()
    return tuple(clip for clip in (clip_of(folder, row) for row in chosen) if clip.video.exists())


def choose(rows: Sequence[Outcome], success: bool, count: int) -> list[Outcome]:
    """`count` of the successes or failures, spread over the suite; each object once before any twice."""
    seen: dict[str, int] = {}
    turns: list[tuple[int, int, Outcome]] = []
    for k, row in enumerate(rows):
        if row.success is success:
            turns.append((seen.get(row.object, 0), k, row))
            seen[row.object] = seen.get(row.object, 0) + 1
    first = [row for turn, _, row in turns if turn == 0]
    if len(first) >= count:
        return [first[k * len(first) // count] for k in range(count)]
    return [row for _, _, row in sorted(turns, key=lambda item: item[:2])][:count]


def clip_of(folder: Path, row: Outcome) -> Clip:
    """Where the film of a trial is, or would be."""
    name = f"{row.object}-{row.pose:02d}" + ("" if row.axis == "none" else f"-{row.axis}-{row.strength:.2f}")
    return Clip(row, folder / f"{name}.mp4", folder / f"{name}.jpg")


def save(folder: Path, film: Film) -> Clip:
    """Writes the video and the strip of a film, the object outlined."""
    clip = clip_of(folder, film.outcome)
    folder.mkdir(parents=True, exist_ok=True)
    moments = np.linspace(0, len(film.frames) - 1, _PICTURES).round().astype(int)
    labels = [f"{k / film.fps:.1f} s" for k in moments]
    write_jpeg(clip.strip, filmstrip(film.frames[moments], film.masks[moments], labels))
    part = clip.video.with_name(f".{clip.video.name}")
    write_video(part, film.frames, film.fps)
    part.replace(clip.video)
    return clip
