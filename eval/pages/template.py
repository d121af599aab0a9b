"""Pages from templates: one file each, with everything that it shows inside."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from eval.pages import words

_KINDS = {".jpg": "image/jpeg", ".png": "image/png", ".mp4": "video/mp4"}


def write_page(path: Path, template: str, *, folder: Path | None = None, **content: Any) -> Path:
    """Fills a template of this folder, or of another that builds on it, in and writes the page, whole or not at all."""
    here = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, here] if folder else [here]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "plain": words.plain,
        "says": words.says,
        "suite_title": words.suite_title,
        "percent": words.percent,
        "points": words.points,
        "chance": words.chance,
        "minutes": words.minutes,
        "tint": tint,
        "data": data,
    }
    return write_whole(path, environment.get_template(template).render(made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), **content))


def anchor(name: str) -> str:
    """A name as part of an address."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "suite"


def write_whole(path: Path, text: str) -> Path:
    """Writes a text under a temporary name, then renames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    part.write_text(text)
    part.replace(path)
    return path


def data(file: Path | bytes, kind: str = "image/jpeg") -> Markup:
    """A file as the address of itself; `kind` says what bytes are."""
    if isinstance(file, Path):
        kind, file = _KINDS[file.suffix], file.read_bytes()
    return Markup(f"data:{kind};base64,{base64.b64encode(file).decode()}")


def tint(rate: float) -> Markup:
    """The colour of a success rate, from red (0) over yellow to a blueish green (1)."""
    end, share = ("good", 2 * rate - 1) if rate >= 0.5 else ("bad", 1 - 2 * rate)
    return Markup(f"color-mix(in oklab,var(--{end}) {100 * share:.0f}%,var(--middling))")


def fingerprint_rows(prints: Mapping[str, Mapping[str, str]]) -> list[tuple[str, list[str]]]:
    """Each line of the fingerprints (by the name of the run) once for all runs, or once for each where they differ."""
    rows = []
    for key in dict.fromkeys(key for fingerprint in prints.values() for key in fingerprint):
        values = {name: fingerprint.get(key, "") for name, fingerprint in prints.items()}
        rows.append((key, _shared(values)))
    return rows


def _shared(values: Mapping[str, str]) -> list[str]:
    """One value where all agree, else each distinct value with the runs that have it."""
    runs: dict[str, list[str]] = {}
    for name, value in values.items():
        runs.setdefault(value, []).append(name)
    return list(runs) if len(runs) == 1 else [f"{_some(names)}: {value or 'not said'}" for value, names in runs.items()]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more"
