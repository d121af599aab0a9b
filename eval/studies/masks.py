"""What is done with the mask inside detection pooling, and how fine its patches are: which objects does that help?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes

from eval.results import Report
from eval.shapes import OTHER, by_kind
from eval.sources import open_source
from eval.statistics import Paired, by_object, paired
from eval.statistics.pairing import holm
from eval.studies.figure import COLOURS, MARKS
from eval.studies.study import Arm, Profile, Result, Study, against

BASE = "8 px, pixel"
"""The policy that is used elsewhere, all others are compared with."""
_ARMS = {
    BASE: (8, "pixel", "any"),
    "8 px, patch": (8, "patch", "any"),
    "8 px, edge": (8, "edge", "any"),
    "8 px, distance": (8, "distance", "any"),
    "8 px, pixel, majority": (8, "pixel", "majority"),
    "8 px, pixel, soft": (8, "pixel", "soft"),
    "4 px, pixel": (4, "pixel", "any"),
    "16 px, patch": (16, "patch", "any"),
    "16 px, pixel": (16, "pixel", "any"),
}
"""Side of a patch, masking, rule."""


def _arms(profile: Profile) -> list[Arm]:
    return [Arm(label, train=_train(*how)) for label, how in _ARMS.items()]


def _train(patch: int, masking: str, rule: str) -> tuple[str, ...]:
    area = (8 / patch) ** 2  # as many pixels for all, in training and in use
    encoder = {"patch": patch, "cap": int(48 * area), "masking": masking, "rule": rule}
    return ("policy=det", *(f"policy.encoder.{key}={value}" for key, value in encoder.items()), f"patches={int(12 * area)}")


def kinds_of(report: Report) -> dict[str, tuple[str, ...]]:
    """The objects of a report by kind of shape, the others last."""
    tried = by_object(report.rows)
    items = {item.name: item for source in report.setup["sources"].values() for item in open_source(source)}
    return by_kind(items[name] for name in tried)


def only(report: Report, names: Sequence[str]) -> Report:
    """The trials of some objects."""
    return replace(report, rows=tuple(row for row in report.rows if row.object in names))


def table(results: Sequence[Result], kinds: Mapping[str, Sequence[str]]) -> list[str]:
    """Markdown: success of each arm by kind of object, then its paired difference to the first arm, in points."""
    base, *others = results
    pairs = {(kind, other.arm.label): _pair(other, base, names) for kind, names in kinds.items() for other in others}
    chances = dict(zip(pairs, holm([both.p for both in pairs.values()]), strict=True))
    heads = "| arm | " + " | ".join(f"{kind} ({len(names)})" for kind, names in kinds.items()) + " |"
    lines = [heads, "| --- " * (len(kinds) + 1) + "|"]
    for result in results:
        counts = [only(result.report, names).count() for names in kinds.values()]
        lines.append(f"| {result.arm.label} | " + " | ".join(f"{100 * k / n:.0f} % ({k}/{n})" if n else "" for k, n in counts) + " |")
    lines += [
        "",
        "Differences to the first arm in points, with 95 % intervals over objects; bold where that is no accident, after Holm:",
        "",
    ]
    lines += [heads, "| --- " * (len(kinds) + 1) + "|"]
    for other in others:
        cells = [_cell(pairs[kind, other.arm.label], chances[kind, other.arm.label] < 0.05) for kind in kinds]
        lines.append(f"| {other.arm.label} | " + " | ".join(cells) + " |")
    return lines


def _pair(one: Result, two: Result, names: Sequence[str]) -> Paired:
    return paired(only(one.report, names).rows, only(two.report, names).rows)


def _cell(both: Paired, told: bool) -> str:
    said = f"{round(100 * both.difference):+d}"
    said = f"**{said}**" if told else said
    return said if both.interval is None else f"{said} ({round(100 * both.interval.low):+d} to {round(100 * both.interval.high):+d})"


def _more(results: Sequence[Result]) -> list[str]:
    kinds = kinds_of(results[0].report)
    named = [f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if kind != OTHER]
    return [
        *table(results, kinds),
        "",
        f"Kinds by what was measured of the objects at rest (eval/shapes.py); some are of two. {'. '.join(named)}.",
    ]


def _answer(results: Sequence[Result]) -> list[str]:
    return against(results, BASE)


def _draw(results: Sequence[Result], axes: Axes) -> None:
    kinds = kinds_of(results[0].report)
    at = np.arange(len(results))
    for x, result in zip(at, results, strict=True):
        axes.plot([x, x], [100 * result.interval.low, 100 * result.interval.high], color="#bbb", lw=7, solid_capstyle="butt", zorder=1)
    axes.plot(at, [100 * result.rate for result in results], color="#222", marker="_", ms=16, mew=2, ls="", label="all", zorder=2)
    for k, (kind, names) in enumerate(kinds.items()):
        counts = np.array([only(result.report, names).count() for result in results], float)
        places = at + 0.13 * (k - (len(kinds) - 1) / 2)
        axes.plot(places, 100 * counts[:, 0] / counts[:, 1], color=COLOURS[k], marker=MARKS[k], ms=5, ls="", label=kind, zorder=3)
    axes.set_xticks(at, [result.arm.label for result in results], rotation=35, ha="right", fontsize=9)
    axes.set_ylim(-4, 104)
    axes.legend(frameon=False, fontsize=9, ncols=len(kinds) + 1, loc="lower center", bbox_to_anchor=(0.5, 1.0))


STUDY = Study(
    "masks",
    "Which masks help with thin, flat and tall objects?",
    "patches, masking, rule",
    _arms,
    _answer,
    draw=_draw,
    more=_more,
)
