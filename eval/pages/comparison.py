"""The page of a comparison: the verdict in words, then what it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from eval.comparison import Comparison, Contest, Early, Rate, Side
from eval.errors import EvalError
from eval.pages.breakdown import picture_of
from eval.pages.chart import Point, Series, curves, dumbbell, interval_row, legend
from eval.pages.tables import comparison_table, write_tables
from eval.pages.template import anchor, fingerprint_rows, write_page
from eval.pages.words import arm_title, plain, suite_title
from eval.statistics import Interval

_DECIDES = 20
"""Evidence that decides a sequential comparison at 5 %."""


def write_comparison(path: Path, comparison: Comparison, pictures: Sequence[Path] = ()) -> Path:
    """Writes the page, and `table.md` and `table.tex` beside it; returns where the page is. `pictures`: folders of NAME.jpg."""
    if not comparison.contests:
        raise EvalError(f"{comparison.new.name} and {comparison.old.name} share no contest: there is nothing to show")
    write_tables(path.parent, [comparison_table(comparison)])
    names = _names(comparison)
    ends = [0.0, *(end for contest in comparison.contests for end in _ends(contest))]
    reach = (min(ends), max(ends)) if max(ends) > min(ends) else (-1.0, 1.0)
    return write_page(
        path,
        "comparison.html.j2",
        comparison=comparison,
        names=names,
        verdicts=_verdicts(comparison),
        reach=reach,
        contests=[_contest(contest, reach, pictures) for contest in comparison.contests],
        early=_early(comparison.early) if comparison.early else None,
        unpaired=[line for contest in comparison.contests for line in _unpaired(contest, names)],
        missing=[line for side, name in ((comparison.new, names[0]), (comparison.old, names[1])) for line in _missing(side, name)],
        prints=fingerprint_rows(_prints(comparison, names)),
    )


def _names(comparison: Comparison) -> tuple[str, str]:
    """What the two are called: their names, or new and old where these are the same."""
    new, old = comparison.new.name, comparison.old.name
    return (new, old) if new != old else ("new", "old")


def _verdicts(comparison: Comparison) -> list[tuple[str, str]]:
    """Each finding with its words, those of the control arms alone where there are any."""
    control = [contest for contest in comparison.contests if contest.axis == "none"] or list(comparison.contests)
    return [(contest.verdict.finding.value, contest.verdict.words) for contest in control]


def _contest(contest: Contest, reach: tuple[float, float], pictures: Sequence[Path]) -> dict[str, Any]:
    interval = contest.paired.interval
    low, high = (interval.low, interval.high) if interval else (None, None)
    both = contest.paired
    return {
        "contest": contest,
        "id": anchor(f"{contest.suite}-{contest.axis}"),
        "title": suite_title(contest.suite) + ("" if contest.axis == "none" else f" under {arm_name(contest)}"),
        "row": interval_row(both.difference, low, high, reach=reach, zero=0.0),
        "rates": [(_scale(rate), rate) for rate in (contest.new, contest.old)],
        "cells": _cells(contest),
        "objects": [
            {
                "name": plain(tally.object),
                "tally": tally,
                "picture": picture_of(tally.object, pictures),
                "row": dumbbell(tally.new / tally.trials, tally.old / tally.trials),
            }
            for tally in contest.objects
        ],
    }


def arm_name(contest: Contest) -> str:
    """`camera 0.25, 0.5`."""
    first, *others = contest.strengths or (0.0,)
    return ", ".join([arm_title(contest.axis, first), *(f"{strength:g}" for strength in others)])


def _scale(rate: Rate) -> Markup:
    return interval_row(rate.rate, rate.interval.low, rate.interval.high, reach=(0, 1))


def _cells(contest: Contest) -> dict[str, int]:
    """How the pairs came out."""
    both = contest.new.successes - contest.paired.first_only
    lone = contest.paired.first_only, contest.paired.second_only
    return {"both": both, "new": lone[0], "old": lone[1], "neither": contest.paired.trials - both - sum(lone)}


def _ends(contest: Contest) -> tuple[float, ...]:
    interval: Interval | None = contest.paired.interval
    return (contest.paired.difference, interval.low, interval.high) if interval else (contest.paired.difference,)


def _early(early: Early) -> dict[str, Any]:
    """The evidence as it came in."""
    seen = Series("evidence", tuple(Point(float(pairs), max(evidence, 1e-3)) for pairs, evidence in early.path if pairs))
    top = max([_DECIDES, *(point.y for point in seen.points)])
    bound = Series("decides at 5 %", (Point(0.0, _DECIDES), Point(float(max(early.planned, early.used)), _DECIDES)), fitted=True)
    drawn = curves(
        [seen, bound],
        x="pairs of trials",
        y="evidence (e-value)",
        title="Evidence against no difference",
        reach=(0, 1.1 * top),
        percents=False,
    )
    return {"early": early, "svg": drawn if seen.points else "", "legend": legend([seen, bound])}


def _unpaired(contest: Contest, names: tuple[str, str]) -> list[str]:
    """Trials that only one of the two ran; they count for nothing."""
    found = zip((contest.unpaired_new, contest.unpaired_old), names, reversed(names), strict=True)
    where = suite_title(contest.suite) + ("" if contest.axis == "none" else f" under {arm_name(contest)}")
    return [f"{where}: {count} trials of {mine} that {other} did not run are left out." for count, mine, other in found if count]


def _missing(side: Side, name: str) -> list[str]:
    return [
        f"{name}, {suite_title(suite)}, missing: {plain(item)} ({why})."
        for suite, causes in side.missing.items()
        for item, why in causes.items()
    ]


def _prints(comparison: Comparison, names: tuple[str, str]) -> dict[str, Mapping[str, str]]:
    """Fingerprints by side, and by suite where there are several."""
    found: dict[str, Mapping[str, str]] = {}
    for side, name in zip((comparison.new, comparison.old), names, strict=True):
        for suite, lines in side.fingerprints.items():
            found[name if len(side.fingerprints) == 1 else f"{name} on {suite}"] = lines
    return found
