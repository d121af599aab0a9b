"""The page of a sweep: policies and suites under every perturbation, always beside the control arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from eval.comparison import Rate
from eval.errors import EvalError
from eval.pages.arm import Arm, Drop, drops, rate_of
from eval.pages.breakdown import absent, object_tiles
from eval.pages.chart import Point, Series, curves, interval_row, legend
from eval.pages.reel import reel
from eval.pages.tables import sweep_table, write_tables
from eval.pages.template import anchor, fingerprint_rows, write_page
from eval.pages.words import arm_title, percent, points, suite_title
from eval.statistics import Paired

_Rates = Mapping[tuple[str, str, float], Rate | None]
"""By policy, axis and strength."""


@dataclass(frozen=True)
class SweepPage:
    """All that the page shows."""

    title: str
    arms: tuple[Arm, ...]
    lead: str = ""
    pictures: tuple[Path, ...] = ()
    """Folders of NAME.jpg, a picture of each object."""
    command: str = ""
    """What was typed."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """More lines for the fingerprint."""


def write_sweep(path: Path, page: SweepPage) -> Path:
    """Writes the page, and `table.md` and `table.tex` beside it; returns where the page is. Raises EvalError for a sweep without arms."""
    if not page.arms:
        raise EvalError("a sweep without any arm has nothing to show")
    suites = list(dict.fromkeys(arm.report.suite for arm in page.arms))
    dropped = drops(page.arms)
    write_tables(path.parent, [sweep_table(page.arms, dropped)])
    prints = {f"{arm.policy} on {arm.report.suite}, {arm_title(arm.axis, arm.strength)}": arm.report.fingerprint for arm in page.arms}
    shown = [_suite(page, suite, dropped) for suite in suites]
    return write_page(
        path,
        "sweep.html.j2",
        page=page,
        suites=shown,
        heads=[head for suite in shown for head in suite["heads"]],
        prints=[*fingerprint_rows(prints), *((key, [value]) for key, value in page.facts.items())],
    )


def _suite(page: SweepPage, suite: str, dropped: Sequence[Drop]) -> dict[str, Any]:
    arms = [arm for arm in page.arms if arm.report.suite == suite]
    policies = list(dict.fromkeys(arm.policy for arm in arms))
    axes = list(dict.fromkeys(arm.axis for arm in arms if arm.axis != "none"))
    strengths = sorted({arm.strength for arm in arms if arm.axis != "none"})
    rates = {(arm.policy, arm.axis, arm.strength): rate_of(arm.report.rows) for arm in arms}
    control = {policy: next((rate for (p, axis, _), rate in rates.items() if p == policy and axis == "none"), None) for policy in policies}
    mine = [drop for drop in dropped if drop.arm.report.suite == suite]
    ends = [0.0, *(end for drop in mine for end in _reach(drop.paired))]
    return {
        "id": anchor(suite),
        "title": suite_title(suite),
        "policies": policies,
        "strengths": strengths,
        "control": control,
        "rows": [(axis, {p: [rates.get((p, axis, s)) for s in strengths] for p in policies}) for axis in axes],
        "heads": [_head(suite, policy, control[policy], mine) for policy in policies],
        "legend": legend([Series(policy, ()) for policy in policies]),
        "panels": [(axis.replace("_", " "), _panel(axis, policies, rates, control)) for axis in axes],
        "drops": [(policy, _dropped(policy, mine, ends)) for policy in policies],
        "ends": (points(min(ends)), points(max(ends))),
        "tiles": [(arm.policy, object_tiles(arm.report.rows, page.pictures)) for arm in arms if arm.axis == "none"],
        "reels": [reel(clip, arm.policy if len(policies) > 1 else "") for arm in arms for clip in arm.clips if not clip.outcome.success],
        "absent": _absent(arms),
    }


def _head(suite: str, policy: str, rate: Rate | None, dropped: Sequence[Drop]) -> dict[str, Any]:
    """The large number of a policy, and what hurts it most."""
    mine = [drop for drop in dropped if drop.arm.policy == policy]
    worst = min(mine, key=lambda drop: drop.paired.difference) if mine else None
    says = "the control arm did not run"
    if rate is not None:
        says = f"{rate.successes} of {rate.trials} trials; 95 % interval {percent(rate.interval.low)} to {percent(rate.interval.high)} %"
    if worst is not None and worst.paired.difference < 0:
        says += f". Worst under {arm_title(worst.arm.axis, worst.arm.strength)}: {points(worst.paired.difference)} points"
    scale = interval_row(rate.rate, rate.interval.low, rate.interval.high, reach=(0, 1)) if rate is not None else ""
    return {"id": anchor(suite), "title": f"{policy}, {suite_title(suite)}", "rate": rate, "scale": scale, "says": says}


def _panel(axis: str, policies: Sequence[str], rates: _Rates, control: Mapping[str, Rate | None]) -> Markup | None:
    """Success against strength; the control arm is strength 0."""
    series = []
    for policy in policies:
        found = {0.0: control[policy], **{arm[2]: rate for arm, rate in rates.items() if arm[:2] == (policy, axis)}}
        series.append(
            Series(
                policy,
                tuple(
                    _point(policy, strength, rate) for strength, rate in sorted(found.items(), key=lambda item: item[0]) if rate is not None
                ),
            )
        )
    if not any(one.points for one in series):
        return None
    return curves(series, x="strength", title=f"Success against {axis.replace('_', ' ')}")


def _point(policy: str, strength: float, rate: Rate) -> Point:
    says = f"{policy}: {rate.successes} of {rate.trials} at strength {strength:g}"
    return Point(strength, rate.rate, rate.interval.low, rate.interval.high, says)


def _dropped(policy: str, dropped: Sequence[Drop], ends: Sequence[float]) -> list[dict[str, Any]]:
    """The drops of one policy, the largest first."""
    mine = sorted((drop for drop in dropped if drop.arm.policy == policy), key=lambda drop: drop.paired.difference)
    reach = (min(ends), max(ends)) if max(ends) > min(ends) else (-1.0, 1.0)
    rows = []
    for drop in mine:
        interval = drop.paired.interval
        low, high = (interval.low, interval.high) if interval else (None, None)
        row = interval_row(drop.paired.difference, low, high, reach=reach, zero=0.0)
        rows.append({"arm": arm_title(drop.arm.axis, drop.arm.strength), "row": row, "drop": drop})
    return rows


def _absent(arms: Sequence[Arm]) -> list[str]:
    """What did not take place, said once where it is the same in several arms."""
    told: dict[str, list[Arm]] = {}
    for arm in arms:
        for line in absent(arm.report):
            told.setdefault(line, []).append(arm)
    return [f"{line.rstrip('.')} ({_where(some, len(arms))})." for line, some in told.items()]


def _where(some: Sequence[Arm], of: int) -> str:
    if len(some) == of:
        return "in every arm"
    first = f"{some[0].policy}, {arm_title(some[0].axis, some[0].strength)}"
    return first if len(some) == 1 else f"{first} and {len(some) - 1} more of {of} arms"


def _reach(both: Paired) -> tuple[float, ...]:
    return (both.difference, both.interval.low, both.interval.high) if both.interval else (both.difference,)
