"""The study as Markdown: one section a part, its figure, its table, its answer, and what an honest replication must state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eval.shortcuts.figure import draw, draw_islands
from eval.shortcuts.finding import HIGH, LOW, Finding, Point
from eval.shortcuts.job import Scale
from eval.studies.document import place


def write_document(folder: Path, findings: Sequence[Finding], scale: Scale, command: str, document: Path | None) -> list[str]:
    """Draws and writes everything into `folder`, and into `document` where one is named. Returns the answer's sentences."""
    said, texts = list[str](), list[str]()
    for finding in findings:
        figure = draw(finding, folder / f"shortcuts-{finding.part.name}.svg")
        answer = finding.answer()
        said += answer
        text = _section(finding, figure, answer, scale, command)
        texts.append(text)
        if document:
            place(document, f"shortcuts-{finding.part.name}", text, figure, title="Shortcuts")
    islands = draw_islands(findings[0], folder / "shortcuts-islands.png")
    verdict = targets(findings)
    text = "\n".join(
        ["## The published targets", "", f"![What the policy sees]({_image(islands)})", "", *(f"- {line}" for line in verdict), ""]
    )
    if document:
        place(document, "shortcuts-targets", text, islands, title="Shortcuts")
    (folder / "shortcuts.md").write_text("\n".join(["# Shortcuts", "", text, *texts]).replace("(images/", "("), encoding="utf-8")
    return [*verdict, *said]


def targets(findings: Sequence[Finding]) -> list[str]:
    """The targets that the study was given, each with what was measured: met or missed."""
    by = {finding.part.name: finding for finding in findings}
    said = []
    for name in ("diversity", "centres"):
        if name in by:
            mine = by[name].curves()["keypoints"]
            first, last = mine[0].degree, mine[-1].degree
            said += [
                _target(f"{name}: degree at least {HIGH} without diversity", f"{first.value:.2f}", first.value >= HIGH),
                _target(f"{name}: degree at most {LOW} with the widest", f"{last.value:.2f}", last.value <= LOW),
            ]
    if "cures" in by:
        mine = by["cures"].curves()["keypoints"]
        base, mended = mine[0], next(point for point in mine if point.cell.cure == "viewpoint")
        said += [
            _target("viewpoint augmentation: degree from at least 0.6", f"{base.degree.value:.2f}", base.degree.value >= 0.6),
            _target("to at most 0.15", f"{mended.degree.value:.2f}", mended.degree.value <= 0.15),
            _target("success out of distribution from at most 20 %", f"{100 * base.outside.value:.0f} %", base.outside.value <= 0.2),
            _target("to at least 55 %", f"{100 * mended.outside.value:.0f} %", mended.outside.value >= 0.55),
        ]
    return said


def _target(what: str, measured: str, met: bool) -> str:
    return f"{what}: {measured}, {'met' if met else 'MISSED'}."


def _section(finding: Finding, figure: Path, answer: Sequence[str], scale: Scale, command: str) -> str:
    part = finding.part
    heads = ["arm" if part.bars else part.axis, "encoder", "shared", "degree", "success out of distribution", "in distribution"]
    rows = [[_where(finding, point), name, *_numbers(point)] for name, mine in finding.curves().items() for point in mine]
    codes = sorted(set[str]().union(*(point.codes for point in finding.points)))
    return "\n".join(
        [
            f"## {part.says}",
            "",
            f"![{part.says}](images/{figure.name})",
            "",
            *("| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows)),
            "",
            *(f"- {sentence}" for sentence in answer),
            "",
            "Shared: normalised mutual information of place and camera angle in the data, as `cezanne diagnose` finds it. Degree from 0 to "
            f"1 and success in %, each with its 95 % interval over policies and islands. {scale.seeds} training seeds, "
            f"{2 * scale.out} rollouts out of distribution and {2 * scale.inside} in distribution each; "
            f"{finding.seconds / 60:.0f} min of one core. `{command}`. Code {', '.join(codes)}.",
            "",
        ]
    )


def _where(finding: Finding, point: Point) -> str:
    return (point.cell.cure or "untreated") if finding.part.bars else f"{point.cell.x:g}"


def _numbers(point: Point) -> list[str]:
    degree = point.degree
    shared = "" if point.shared is None else f"{point.shared:.2f}"
    return [shared, f"{degree.value:.2f} ({degree.low:.2f} to {degree.high:.2f})", str(point.outside), str(point.inside)]


def _image(path: Path) -> str:
    return f"images/{path.name}"
