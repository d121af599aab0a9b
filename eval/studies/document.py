"""The section of a study in a Markdown document of results."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from eval.studies.study import Result, Study

_SHOWN = ("checkpoint", "assets", "config", "code", "mujoco", "gl", "torch", "machine")


def section(study: Study, results: Sequence[Result], answer: Sequence[str], figure: Path, command: str) -> str:
    """Question, figure, table with intervals, answer, command and fingerprint."""
    paper = any(result.arm.paper is not None for result in results)
    heads = [
        study.x if all(r.arm.x is None for r in results) else "arm",
        "success",
        "95 % interval",
        "trials",
        *(["paper"] if paper else []),
    ]
    rows = []
    for result in results:
        successes, trials = result.report.count()
        missing = max(result.report.planned - len(result.report.rows), 0)
        cells = [
            result.arm.label,
            f"{100 * result.rate:.1f} %",
            f"{round(100 * result.interval.low)} to {round(100 * result.interval.high)}",
        ]
        cells.append(f"{successes}/{trials}" + (f" ({missing} missing)" if missing else ""))
        rows.append(cells + ([f"{result.arm.paper:g} %" if result.arm.paper is not None else ""] if paper else []))
    table = ["| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows)]
    trained = {result.checkpoint: result.seconds for result in results}
    minutes = (sum(trained.values()) + sum(result.report.seconds for result in results)) / 60
    prints = results[0].report.fingerprint
    said = ", ".join(f"{key} {prints[key]}" for key in _SHOWN if prints.get(key) and (key != "checkpoint" or len(trained) == 1))
    lines = [
        f"## {study.question}",
        "",
        f"![{study.question}](images/{figure.name})",
        "",
        *table,
        *(["", *study.more(results)] if study.more else []),
        "",
        *(f"- {sentence}" for sentence in answer),
        *([f"- The paper's numbers: {study.paper}."] if paper else []),
        "",
        f"Suite {results[0].report.suite}; one training seed; {minutes:.0f} min. `{command}`",
        "",
        f"Fingerprint: {said}.",
        "",
    ]
    return "\n".join(lines)


def place(document: Path, name: str, text: str, figure: Path, *, title: str = "Results") -> None:
    """Writes the section of a study into a document, in the place of its earlier version or at the end, and its figure beside it.

    title: of a document that is not there yet.
    """
    begin, end = f"<!-- study: {name} -->", f"<!-- end of {name} -->"
    block = f"{begin}\n{text}{end}\n"
    old = document.read_text() if document.exists() else f"# {title}\n"
    pattern = re.compile(re.escape(begin) + r".*?" + re.escape(end) + r"\n?", re.DOTALL)
    new = pattern.sub(lambda _: block, old) if pattern.search(old) else f"{old.rstrip()}\n\n{block}"
    images = document.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(figure, images / figure.name)
    part = document.with_name(f"{document.name}.{os.getpid()}.tmp")
    part.write_text(new)
    part.replace(document)
