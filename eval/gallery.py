"""Films of a few successes and failures, for people who want to see before they believe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from episodes.picture import filmstrip, lacking, write_video
from eval.bench import Bench, Job, Stand
from eval.evaluate import Cell, Crew, Opened, Opener, parts_folder
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


@dataclass(frozen=True)
class Wanted:
    """Which trials of a result are to be recorded."""

    cell: Cell
    report: Report
    wins: int
    losses: int

    @property
    def rows(self) -> list[Outcome]:
        """Those trials."""
        return [*choose(self.report.rows, True, self.wins), *choose(self.report.rows, False, self.losses)]


def record(
    policy: Opener,
    suite: Suite,
    report: Report,
    *,
    each: int,
    out: Path,
    rules: Rules | None = None,
    crew: Crew | None = None,
    robot: Callable[..., Any] | None = None,
) -> tuple[Clip, ...]:
    """Runs `each` successes and as many failures once more and records them; what is recorded already is kept."""
    (clips,) = record_all([Wanted(Cell(policy, suite, rules or Rules(), robot), report, each, each)], out=out, crew=crew)
    return clips


def record_all(wanted: Sequence[Wanted], *, out: Path, crew: Crew | None = None) -> list[tuple[Clip, ...]]:
    """Records trials of several results with one set of workers; the clips of each. Where films cannot be written, one line says why, and
    what is there already is all."""
    if (lack := lacking()) and any(one.rows for one in wanted):
        print(f"no films: {lack}", file=sys.stderr)
    stands: list[Stand] = []
    opened: dict[tuple[Opener, Any], Opened] = {}
    jobs, folders = [], []
    for one in wanted:
        folder = parts_folder(out, one.report) / "films"
        todo = {row.key[1:] for row in one.rows if not lack and not clip_of(folder, row).video.exists()}
        trials = [trial for trial in one.cell.suite.trials if trial.key in todo]
        if trials and (one.cell.policy, one.cell.robot) not in opened:
            opened[one.cell.policy, one.cell.robot] = one.cell.open()
        for trial in trials:
            stand = one.cell.stand(opened[one.cell.policy, one.cell.robot])
            if stand not in stands:
                stands.append(stand)
            jobs.append(Job(stands.index(stand), one.cell.suite.objects[trial.object], trial, film=True))
            folders.append(folder)
    with tqdm(total=len(jobs), desc="film", unit="trial", disable=not jobs) as bar:
        for done in (crew or Crew()).share(Bench(tuple(stands)), jobs):
            if done.value is not None and done.value.film is not None:
                save(folders[done.index], done.value.film)
            bar.update()
    found = []
    for one in wanted:
        clips = (clip_of(parts_folder(out, one.report) / "films", row) for row in one.rows)
        found.append(tuple(clip for clip in clips if clip.video.exists()))
    return found


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
