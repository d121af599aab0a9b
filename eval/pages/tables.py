"""Tables for papers, as Markdown and as LaTeX (booktabs)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.comparison import Comparison
from eval.pages.arm import Arm, Drop, rate_of
from eval.pages.template import write_whole
from eval.pages.words import arm_title, chance, percent, points, suite_title
from eval.results import Report

_TEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "_": r"\_",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "\N{MINUS SIGN}": "$-$",
    "\N{EN DASH}": "--",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
}


@dataclass(frozen=True)
class Table:
    """Rows of text under heads. The first `texts` columns are aligned left, the others are numbers."""

    caption: str
    label: str
    """For references in LaTeX."""
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: int = 1


def suites_table(reports: Sequence[Report]) -> Table:
    """One row a suite."""
    rows = []
    for report in reports:
        summary = report.summary()
        cells = (f"{summary['successes']}/{summary['trials']}", percent(summary["success_rate"]), _span(summary["interval"]))
        over = _span(summary["interval_over_objects"])
        rows.append((suite_title(report.suite), *cells, over, _gain(summary["detectable_gain"]), _count(report)))
    return Table(
        "Success on each suite, with the Wilson 95 % interval, the 95 % interval over objects, and the minimum detectable "
        "difference (5 %, power 80 %) in points. Trials that did not take place are counted neither way.",
        "tab:suites",
        ("Suite", "Successes", "Rate [%]", "Wilson [%]", "Over objects [%]", "Detectable", "Not run"),
        tuple(rows),
    )


def sweep_table(arms: Sequence[Arm], dropped: Sequence[Drop]) -> Table:
    """One row an arm."""
    by_arm = {id(drop.arm): drop for drop in dropped}
    rows = []
    for arm in arms:
        rate, drop = rate_of(arm.report.rows), by_arm.get(id(arm))
        none = "\N{EN DASH}"
        cells = (
            (f"{rate.successes}/{rate.trials}", percent(rate.rate), f"{percent(rate.interval.low)}{none}{percent(rate.interval.high)}")
            if rate
            else (none,) * 3
        )
        tests = (none,) * 4
        if drop is not None:
            interval = drop.paired.interval
            span = f"{points(interval.low)} to {points(interval.high)}" if interval else none
            gain = percent(drop.detectable) if drop.detectable is not None else none
            tests = (points(drop.paired.difference), span, chance(drop.adjusted_p), gain)
        rows.append((suite_title(arm.report.suite), arm.policy, arm_title(arm.axis, arm.strength), *cells, *tests))
    return Table(
        "Success under perturbations, with the 95 % interval over objects, and the difference to the control arm on common "
        "trials in points, with its 95 % interval, p (the larger of the exact McNemar test and of the test over objects, "
        "corrected for all rows by Holm), and the minimum detectable "
        "difference (5 %, power 80 %).",
        "tab:sweep",
        ("Suite", "Policy", "Arm", "Successes", "Rate [%]", "95 % interval", "Difference", "its interval", "p", "Detectable"),
        tuple(rows),
        texts=3,
    )


def comparison_table(comparison: Comparison) -> Table:
    """One row a contest."""
    rows = []
    for contest in comparison.contests:
        paired = contest.paired
        arm = "control" if contest.axis == "none" else ", ".join(arm_title(contest.axis, strength) for strength in contest.strengths)
        span = f"{points(paired.interval.low)} to {points(paired.interval.high)}" if paired.interval else "\N{EN DASH}"
        rates = (f"{contest.new.successes}/{contest.new.trials}", f"{contest.old.successes}/{contest.old.trials}")
        tests = (points(paired.difference), span, chance(contest.adjusted_p), _gain(contest.detectable), contest.verdict.finding.value)
        rows.append((suite_title(contest.suite), arm, *rates, *tests))
    return Table(
        f"{comparison.new.name} against {comparison.old.name} on common trials: difference in points with its 95 % interval, "
        "p (the larger of the exact McNemar test and of the test over objects, "
        "corrected for all rows by Holm), minimum detectable difference in points (5 %, power 80 %).",
        "tab:comparison",
        ("Suite", "Arm", "New", "Old", "Difference", "95 % interval", "p", "Detectable", "Finding"),
        tuple(rows),
        texts=2,
    )


def markdown(table: Table) -> str:
    """With the caption in italics below."""
    rule = [":--" if k < table.texts else "--:" for k in range(len(table.heads))]
    lines = [[_plain_cell(text) for text in table.heads], rule, *([_plain_cell(text) for text in row] for row in table.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n*{_plain_cell(table.caption)}*\n"


def latex(table: Table) -> str:
    """A `table` for a document that uses booktabs."""
    columns = "".join("l" if k < table.texts else "r" for k in range(len(table.heads)))
    body = [" & ".join(_tex(text) for text in row) + r" \\" for row in table.rows]
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_tex(table.caption)}}}",
        rf"\label{{{table.label}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(_tex(text) for text in table.heads) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def write_tables(folder: Path, tables: Sequence[Table]) -> None:
    """Writes `table.md` and `table.tex`."""
    write_whole(folder / "table.md", "\n".join(markdown(table) for table in tables))
    write_whole(folder / "table.tex", "\n".join(latex(table) for table in tables))


def _plain_cell(text: str) -> str:
    """Markdown of one cell: what would be markup is escaped."""
    return re.sub(r"([\\`*_|<>\[\]#~$])", r"\\\1", " ".join(text.split()))


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in " ".join(text.split()))


def _span(interval: Sequence[float] | None) -> str:
    return f"{percent(interval[0])}\N{EN DASH}{percent(interval[1])}" if interval else "\N{EN DASH}"


def _gain(gain: float | None) -> str:
    return percent(gain) if gain is not None else "\N{EN DASH}"


def _count(report: Report) -> str:
    """Trials that did not take place, and objects that were not tried at all."""
    unplaced = sum(row.success is None for row in report.rows)
    objects = f"{len(report.missing)} objects" if len(report.missing) != 1 else "1 object"
    return f"{unplaced} + {objects}" if report.missing else str(unplaced)
