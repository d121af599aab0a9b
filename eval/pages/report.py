"""`report.html`: one file that holds everything it shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from eval.gallery import Clip
from eval.pages.arm import finite
from eval.pages.breakdown import absent, endings, object_tiles, pose_tiles
from eval.pages.chart import Series, curves, interval_row, legend
from eval.pages.reel import reel
from eval.pages.tables import suites_table, write_tables
from eval.pages.template import anchor, fingerprint_rows, write_page
from eval.pages.words import plain, suite_title
from eval.results import Report
from eval.statistics import Paired

__all__ = ["Chart", "Comparison", "Page", "Picture", "Section", "Stage", "plain", "write_report"]


@dataclass(frozen=True)
class Section:
    """One suite in the report."""

    report: Report
    clips: tuple[Clip, ...] = ()
    pictures: Path | None = None
    """Folder of NAME.jpg, a picture of each object."""


@dataclass(frozen=True)
class Comparison:
    """Another policy on the trials of a suite."""

    suite: str
    other: str
    """What the other policy is."""
    paired: Paired


@dataclass(frozen=True)
class Picture:
    """A picture that stands on its own."""

    title: str
    path: Path
    says: str = ""


@dataclass(frozen=True)
class Chart:
    """Success against anything."""

    title: str
    series: tuple[Series, ...]
    x: str
    """Label of the horizontal axis, with its unit."""
    says: str = ""
    log: bool = False
    """Horizontal axis by powers."""


@dataclass(frozen=True)
class Stage:
    """How one step of the way went."""

    name: str
    seconds: float
    says: str


@dataclass(frozen=True)
class Page:
    """All that a report shows."""

    title: str
    sections: tuple[Section, ...]
    lead: str = ""
    comparisons: tuple[Comparison, ...] = ()
    pictures: tuple[Picture, ...] = ()
    charts: tuple[Chart, ...] = ()
    stages: tuple[Stage, ...] = ()
    commands: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """More lines for the fingerprint."""


def write_report(path: Path, page: Page) -> Path:
    """Writes the page, and `table.md` and `table.tex` beside it; returns where the page is."""
    prints = fingerprint_rows({section.report.suite: section.report.fingerprint for section in page.sections})
    if page.sections:
        write_tables(path.parent, [suites_table([section.report for section in page.sections])])
    return write_page(
        path,
        "report.html.j2",
        page=page,
        sections=[_section(section) for section in page.sections],
        comparisons=[_comparison(comparison) for comparison in page.comparisons],
        charts=[_chart(chart) for chart in page.charts],
        prints=[*prints, *((key, [value]) for key, value in page.facts.items())],
    )


def _section(section: Section) -> dict[str, Any]:
    report, summary = section.report, section.report.summary()
    rows = [row for row in report.rows if row.axis == "none"] or report.rows  # what the summary counts
    interval = summary["interval_over_objects"] or summary["interval"]
    return {
        "id": anchor(report.suite),
        "title": suite_title(report.suite),
        "summary": summary,
        "interval": interval,
        "scale": interval_row(summary["success_rate"], *interval, reach=(0, 1)),
        "tiles": object_tiles(rows, [section.pictures] if section.pictures else []),
        "bars": endings(rows),
        "poses": pose_tiles(rows),
        "absent": absent(report),
        "wins": [reel(clip) for clip in section.clips if clip.outcome.success],
        "losses": [reel(clip) for clip in section.clips if not clip.outcome.success],
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    paired = comparison.paired
    low, high = (paired.interval.low, paired.interval.high) if paired.interval else (None, None)
    return {
        "suite": suite_title(comparison.suite),
        "other": comparison.other,
        "paired": paired,
        "row": interval_row(paired.difference, low, high, reach=(-1, 1), zero=0.0),
        "detectable": finite(paired.detectable()),
    }


def _chart(chart: Chart) -> dict[str, str | Markup]:
    drawn = curves(chart.series, x=chart.x, title=chart.title, log=chart.log)
    return {"title": chart.title, "says": chart.says, "legend": legend(chart.series), "svg": drawn}
