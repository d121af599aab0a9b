"""`report.html`: one file that holds everything it shows."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from eval.gallery import Clip
from eval.results import Report
from eval.statistics import Paired, by_object, detectable_paired

TITLES = {"toys": "Unseen toys", "household": "Household objects", "ycb": "YCB objects"}
SAYS = {
    "success": "lifted and held",
    "slipped": "lifted, then lost",
    "unfinished": "in the hand when time ran out",
    "toppled": "toppled or pushed away",
    "never_closed": "gripper never closed",
    "missed": "closed beside it",
    "refused": "policy gave no valid action",
}


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
    stages: tuple[Stage, ...] = ()
    commands: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """More lines for the fingerprint."""


def write_report(path: Path, page: Page) -> Path:
    """Writes the page and returns where."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"plain": plain, "percent": _percent, "minutes": _minutes, "data": _data}
    html = environment.get_template("report.html.j2").render(
        page=page,
        sections=[_section(section) for section in page.sections],
        comparisons=[_comparison(comparison) for comparison in page.comparisons],
        prints=_prints(page),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        rules=page.sections[0].report.summary() if page.sections else {},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    part.write_text(html)
    part.replace(path)
    return path


def _section(section: Section) -> dict[str, Any]:
    summary = section.report.summary()
    tiles = []
    for name, (k, n) in by_object(section.report.rows).items():
        picture = None if section.pictures is None else section.pictures / f"{name}.jpg"
        tiles.append(
            {
                "name": plain(name),
                "k": k,
                "n": n,
                "hue": round(120 * k / n) if n else None,
                "picture": picture if picture and picture.exists() else None,
            }
        )
    total = summary["trials"]
    bars = [(reason, SAYS[reason], count, 100 * count / total) for reason, count in summary["reasons"].items() if count]
    return {
        "title": TITLES.get(section.report.suite, section.report.suite),
        "suite": section.report.suite,
        "summary": summary,
        "tiles": sorted(tiles, key=lambda tile: (-(tile["k"] / tile["n"]) if tile["n"] else 1, tile["name"])),
        "bars": bars,
        "wins": [clip for clip in section.clips if clip.outcome.success],
        "losses": [clip for clip in section.clips if not clip.outcome.success],
        "says": SAYS,
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    paired = comparison.paired
    gain = detectable_paired(paired.trials, (paired.first_only + paired.second_only) / paired.trials)
    return {
        "suite": TITLES.get(comparison.suite, comparison.suite),
        "other": comparison.other,
        "paired": paired,
        "detectable": gain if gain < 1 else None,
    }


def _prints(page: Page) -> list[tuple[str, list[str]]]:
    """Each line of the fingerprints once for all suites, or once for each where they differ."""
    keys = list(dict.fromkeys(key for section in page.sections for key in section.report.fingerprint))
    rows = []
    for key in keys:
        values = {section.report.suite: section.report.fingerprint.get(key, "") for section in page.sections}
        same = len(set(values.values())) == 1
        rows.append((key, list(values.values())[:1] if same else [f"{suite}: {value}" for suite, value in values.items()]))
    return [*rows, *((key, [value]) for key, value in page.facts.items())]


def plain(name: str) -> str:
    """The name of an object for people: `toy-7-00012` is toy 12, `005_tomato_soup_can` tomato soup can."""
    toy = re.fullmatch(r"toy-\d+-(\d+)", name)
    if toy:
        return f"toy {int(toy[1])}"
    ycb = re.fullmatch(r"\d{3}(?:-(\w))?_(.+)", name)  # one number may stand for several things, told apart by a letter
    return (f"{ycb[2]} {ycb[1] or ''}".strip() if ycb else name).replace("_", " ")


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 99 else f"{seconds / 60:.1f} min"


def _data(path: Path) -> str:
    """A file as the address of itself."""
    kind = {".jpg": "image/jpeg", ".png": "image/png", ".mp4": "video/mp4"}[path.suffix]
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
