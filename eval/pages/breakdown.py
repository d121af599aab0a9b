"""One evaluation taken apart: by object, by start pose, by how trials ended, and what did not take place."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.outcome import Outcome, Reason
from eval.pages.words import SAYS, plain, says
from eval.results import Report
from eval.statistics import by_object
from eval.suite import CELLS

_NAMED = 6
"""Objects that are named where something is missing; the rest are counted."""


@dataclass(frozen=True)
class Tile:
    """One object, or one start pose."""

    name: str
    successes: int
    trials: int
    """That took place."""
    picture: Path | None = None

    @property
    def rate(self) -> float | None:
        """None where no trial took place."""
        return self.successes / self.trials if self.trials else None


@dataclass(frozen=True)
class Ending:
    """One way in which trials ended."""

    style: str
    says: str
    count: int


def object_tiles(rows: Sequence[Outcome], folders: Sequence[Path]) -> list[Tile]:
    """One for each object, the best first; without any trial last. `folders` hold NAME.jpg of each."""
    tiles = [Tile(plain(name), k, n, picture_of(name, folders)) for name, (k, n) in by_object(rows).items()]
    return sorted(tiles, key=lambda tile: (-(tile.rate if tile.rate is not None else -1), _counted(tile.name)))


def _counted(name: str) -> list[tuple[int, str]]:
    """For sorting as people do: toy 9 before toy 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def picture_of(name: str, folders: Sequence[Path]) -> Path | None:
    """The picture of an object from the first folder that has one."""
    return next((path for folder in folders if (path := folder / f"{name}.jpg").exists()), None)


def pose_tiles(rows: Sequence[Outcome]) -> list[Tile]:
    """One for each of the 16 cells of the start grid, in order."""
    tried = {cell: [row for row in rows if row.pose == cell and row.success is not None] for cell in range(CELLS)}
    return [Tile(f"cell {cell}", sum(row.success is True for row in kept), len(kept)) for cell, kept in tried.items()]


def endings(rows: Sequence[Outcome]) -> list[Ending]:
    """How the trials that took place ended, success first, then what was most frequent."""
    counts = Counter(row.reason.value for row in rows if row.success is not None)
    found = sorted(counts.items(), key=lambda item: (item[0] != Reason.SUCCESS, -item[1]))
    return [Ending(reason if reason in SAYS else "other", says(reason), count) for reason, count in found]


def absent(report: Report) -> list[str]:
    """Sentences about trials that did not take place: how many, of which objects, and why. They count neither way."""
    lines = []
    unplaced = Counter(plain(row.object) for row in report.rows if row.success is None)
    if unplaced:
        of = _named([f"{name} ({count})" for name, count in unplaced.most_common()])
        lines.append(
            f"{_trials(unplaced.total())} did not take place, since the object would not lie still, and counted neither way: {of}."
        )
    short = max(report.planned - len(report.rows), 0)
    if short:
        lines.append(f"{_trials(short)} of {report.planned} missing: not run, and counted neither way.")
    causes: dict[str, list[str]] = defaultdict(list)
    for name, why in report.missing.items():
        causes[why].append(plain(name))
    for why, names in causes.items():
        lines.append(f"Missing: {_named(names)}. {why[:1].upper()}{why[1:].rstrip('.')}.")
    return lines


def _trials(count: int) -> str:
    return f"{count} trial" if count == 1 else f"{count} trials"


def _named(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= _NAMED else f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
