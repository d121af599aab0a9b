"""What came of a part of the study: rates with intervals, and sentences that the numbers bear out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from augment.diagnose import normalized_mutual_information
from augment.diagnose.information import bins, joint_counts
from eval.shortcuts.cell import CURES, Cell, Part
from eval.shortcuts.footage import takes
from eval.shortcuts.job import Job, Scale
from eval.shortcuts.trial import Attempt
from eval.statistics.interval import rate_bounds

HIGH, LOW = 0.8, 0.2
"""Degrees of shortcut learning that the published curves begin above and end below."""


@dataclass(frozen=True)
class Estimate:
    """A mean over rollouts; rollouts of one policy on one island are a cluster, not independent."""

    value: float
    low: float
    high: float
    trials: int
    by_seed: tuple[float, ...]

    @staticmethod
    def of(values: Mapping[tuple[int, int], Sequence[float]]) -> Estimate:
        """From values in [0, 1] by (seed, island); at least two of those."""
        total, count = (np.array([f(v) for v in values.values()], float) for f in (sum, len))
        low, high = rate_bounds(total, count)
        seeds = sorted({seed for seed, _ in values})
        means = tuple(float(np.mean([x for (s, _), v in values.items() if s == seed for x in v])) for seed in seeds)
        return Estimate(float(total.sum() / count.sum()), float(low), float(high), int(count.sum()), means)

    def __str__(self) -> str:
        return f"{100 * self.value:.0f} ({100 * self.low:.0f} to {100 * self.high:.0f})"


@dataclass(frozen=True)
class Point:
    """A cell and what came of it."""

    cell: Cell
    degree: Estimate
    """Of shortcut learning, out of distribution: a proxy, see `eval/shortcuts/trial.py`."""
    outside: Estimate
    """Success out of distribution."""
    inside: Estimate
    """Success in distribution."""
    shared: float | None
    """Normalised mutual information of the object's place and the camera angle in the data; None where a cure changes more than angles."""
    codes: frozenset[str]
    """Hashes of the code that ran its jobs."""


@dataclass(frozen=True)
class Finding:
    """A part and its points."""

    part: Part
    points: tuple[Point, ...]
    seconds: float
    """Of all its jobs, as if one after the other [s]."""

    @staticmethod
    def of(part: Part, scale: Scale, read: Callable[[Job], Mapping[str, Any]]) -> Finding:
        """Reads the records of all jobs of a part."""
        points, seconds = [], 0.0
        for cell in part.cells:
            records = [read(Job(cell, seed, scale)) for seed in range(scale.seeds)]
            points.append(_point(cell, records, scale))
            seconds += sum(sum(record["seconds"].values()) for record in records)
        return Finding(part, tuple(points), seconds)

    def curves(self) -> dict[str, list[Point]]:
        """Points by encoder, from left to right."""
        names = dict.fromkeys(_name(point.cell) for point in self.points)
        return {name: sorted((p for p in self.points if _name(p.cell) == name), key=lambda p: p.cell.x) for name in names}

    def summary(self) -> dict[str, Any]:
        """By cell, for scripts."""
        return {
            point.cell.label: {
                key: [round(v, 4) for v in (estimate.value, estimate.low, estimate.high)]
                for key, estimate in (("degree", point.degree), ("outside", point.outside), ("inside", point.inside))
            }
            | {"shared": None if point.shared is None else round(point.shared, 4)}
            for point in self.points
        }

    def answer(self) -> list[str]:
        """Sentences, from the numbers."""
        return [
            sentence for name, mine in self.curves().items() for sentence in (_bars if self.part.bars else _curve)(self.part, name, mine)
        ]


def _name(cell: Cell) -> str:
    return cell.encoder + (" + wrist camera" if cell.wrist else "")


def shared_information(cell: Cell, scale: Scale, seed: int) -> float | None:
    """What the data of a job lets a policy know of the place from the camera angle alone, as `cezanne diagnose` finds it."""
    if cell.cure not in ("", "bridge", "viewpoint"):
        return None
    seen = takes(cell, scale.demonstrations, np.random.default_rng([seed, 0]))
    places = [str((take.task.place, take.task.blue)) for take in seen for _ in take.angles]
    angles = [angle for take in seen for angle in take.angles]
    if cell.cure == "viewpoint":  # every demonstration is there once more, from an angle of the other island
        angles += [(cell.islands[1 - take.island][0].edge) for take in seen for _ in take.angles]
        places *= 2
    return normalized_mutual_information(joint_counts(places, bins(angles, 1.0))[0])


def _point(cell: Cell, records: Sequence[Mapping[str, Any]], scale: Scale) -> Point:
    tried = [(record["seed"], Attempt(**attempt)) for record in records for attempt in record["attempts"]]

    def estimate(pairing: str, value: Callable[[Attempt], float]) -> Estimate:
        by: dict[tuple[int, int], list[float]] = {}
        for seed, attempt in tried:
            if attempt.pairing == pairing:
                by.setdefault((seed, attempt.island), []).append(float(value(attempt)))
        return Estimate.of(by)

    success: Callable[[Attempt], float] = lambda attempt: attempt.success  # noqa: E731
    codes = frozenset(str(record["code"]) for record in records)
    told = [shared_information(cell, scale, record["seed"]) for record in records]
    shared = None if None in told else float(np.mean([value for value in told if value is not None]))
    return Point(cell, estimate("out", lambda a: a.degree), estimate("out", success), estimate("in", success), shared, codes)


def _curve(part: Part, name: str, mine: Sequence[Point]) -> list[str]:
    first, last = mine[0], mine[-1]
    moved = (
        f"{name}: degree of shortcut learning {first.degree.value:.2f} at {first.cell.x:g} and {last.degree.value:.2f} at {last.cell.x:g}, "
        f"success out of distribution {100 * first.outside.value:.0f} and {100 * last.outside.value:.0f} %; "
        f"in distribution {100 * first.inside.value:.0f} and {100 * last.inside.value:.0f} %"
    )
    return [f"{moved}{_trend(mine)}."]


def _trend(mine: Sequence[Point]) -> str:
    """Whether the degree goes one way along the axis, as far as the intervals can tell."""
    values = [p.degree for p in mine]
    falls = values[-1].value < values[0].value
    if abs(values[-1].value - values[0].value) < 0.05:
        return ""
    against = [(a, b) for a, b in pairwise(mine) if ((b.degree.low > a.degree.high) if falls else (b.degree.high < a.degree.low))]
    way = "falls" if falls else "rises"
    if not against:
        return f"; it {way} within the intervals at every step"
    return f"; it does not {way[:-1]} everywhere: from {against[0][0].cell.x:g} to {against[0][1].cell.x:g} it goes the other way"


def _bars(part: Part, name: str, mine: Sequence[Point]) -> list[str]:
    base = mine[0]
    said = [
        f"{name}, untreated: degree {base.degree.value:.2f}, success out of distribution {100 * base.outside.value:.0f} % "
        f"({100 * base.inside.value:.0f} % in distribution)."
    ]
    for point in mine[1:]:
        apart = point.degree.high < base.degree.low or point.degree.low > base.degree.high
        told = "" if apart else " (no difference in the degree can be told)"
        said.append(
            f"{name}, {CURES[point.cell.cure]}: degree {point.degree.value:.2f}{told}, "
            f"success out of distribution {100 * point.outside.value:.0f} %."
        )
    return said
