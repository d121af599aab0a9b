"""`cezanne replay`: runs one trial of a table again, from its row alone, and shows it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eval.bench import Bench, Job, Simulation
from eval.errors import EvalError
from eval.evaluate import Cell
from eval.gallery import Clip, save
from eval.outcome import Outcome
from eval.results import Report, load_report
from eval.sources import open_source
from eval.suite import Suite, Trial
from eval.trial import Rules


@dataclass
class ReplayConfig:
    """A trial of an evaluation."""

    run: str = ""
    """Folder of an evaluation, or of one policy of a sweep."""
    trial: str = "0"
    """Number of the row, from 0; or OBJECT/POSE, or OBJECT/POSE/AXIS/STRENGTH, as the report names it."""
    out: str = ""
    """Folder of the video; by default `replays` in the run's folder."""


def run(cfg: ReplayConfig) -> dict[str, Any]:
    """Replays and says whether the outcome is the same."""
    if not cfg.run:
        raise EvalError("which evaluation? cezanne replay RUN TRIAL, as in: cezanne replay runs/eval 0")
    folder = Path(cfg.run)
    report = load_report(folder)
    row = find(report, cfg.trial)
    again, clip = replay(report, row, Path(cfg.out or folder / "replays"))
    same = replace(again, latency_ms=None) == replace(row, latency_ms=None)
    differ = {name: [old, again.row()[name]] for name, old in row.row().items() if name != "latency_ms" and old != again.row()[name]}
    return {"ok": same, "same": same, "differs": differ, **again.row(), "video": str(clip.video), "strip": str(clip.strip)}


def find(report: Report, trial: str) -> Outcome:
    """The row that a person names. Raises EvalError where there is none, or more than one."""
    if trial.isdigit():
        if int(trial) < len(report.rows):
            return report.rows[int(trial)]
        raise EvalError(f"trial {trial}; the table has rows 0 to {len(report.rows) - 1}")
    name, *where = trial.split("/")
    found = [row for row in report.rows if row.object == name and _fits(row, where)]
    if not found:
        raise EvalError(f"no trial {trial!r} in the table; a trial is named by its row, or as OBJECT/POSE/AXIS/STRENGTH")
    if len(found) > 1:
        names = ", ".join(f"{row.object}/{row.pose}/{row.axis}/{row.strength:.2f}" for row in found[:4])
        raise EvalError(f"{trial!r} names {len(found)} trials: {names}{' ...' if len(found) > 4 else ''}; say which")
    return found[0]


def replay(report: Report, row: Outcome, out: Path) -> tuple[Outcome, Clip]:
    """Runs a row's trial once more; returns how it went this time, and the clip. Raises EvalError where the row does not say enough."""
    policy, source = report.setup.get("policy", ""), report.setup.get("sources", {}).get(row.suite, "")
    if not policy or not source:
        raise EvalError("the table does not say which policy and objects it is of: it was made by a script, which must replay it itself")
    item = next((item for item in open_source(source) if item.name == row.object), None)
    if item is None:
        raise EvalError(f"{source} holds no object {row.object!r} any more")
    trial = Trial(0, row.object, row.pose, row.seed, row.axis, row.strength)
    suite = Suite(row.suite, (item,), (trial,), source)
    robot = Simulation(robot=report.setup["robot"]) if report.setup.get("robot") else None
    cell = Cell(policy, suite, Rules(**report.setup.get("rules", {})), robot)
    film = Bench((cell.stand(cell.open()),))()(Job(0, item, trial, film=True)).film
    assert film is not None
    return film.outcome, save(out, film)


def _fits(row: Outcome, where: list[str]) -> bool:
    """Whether a row is at the named pose, axis and strength, as far as they are named."""
    return where == [str(row.pose), row.axis, f"{row.strength:.2f}"][: len(where)]
