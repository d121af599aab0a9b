"""`cezanne sweep`: policies x suites x perturbations, always with the control arm on the same seeds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from eval.errors import EvalError
from eval.evaluate import Cell, Crew, Opener, evaluate_all, open_checkpoint, parts_folder
from eval.outcome import Outcome
from eval.references import REFERENCES
from eval.results import joined, write_json
from eval.sources import known_suites, open_suite
from eval.suite import CELLS, Suite
from eval.trial import Rules
from sim.variation import AXES, STRENGTHS, vary
from sim.workers import check_executor

CONTROL = ("none", 0.0)


@dataclass
class SweepConfig:
    """Policies, what they are tried on, and what is perturbed."""

    checkpoints: list[str] = field(default_factory=list)
    """Checkpoint or run folders."""
    references: list[str] = field(default_factory=list)
    """expert, heuristic, nothing."""
    suites: list[str] = field(default_factory=lambda: ["toys"])
    """toys, household, ycb, ycb65, or folders of objects."""
    axes: list[str] = field(default_factory=list)
    """What is perturbed, one at a time; `[all]`: everything. The control arm is always run."""
    strengths: list[float] = field(default_factory=lambda: list(STRENGTHS.values()))
    """How much, above 0 to 1."""
    trials: int = 3
    """Start poses for each object, 1 to 16."""
    limit: int = 0
    """At most this many objects of a suite; 0: all, of toys 50."""
    execute: int = 0
    """Actions of each chunk that are carried out; 0: as the policy was trained."""
    lift: float = 0.10
    """How far above its rest height an object must be lifted [m]."""
    hold: float = 0.5
    """How long it must stay there [s]."""
    horizon: float = 8.0
    """Longest trial [s]."""
    workers: int = 0
    """Processes; 0: one for each core."""
    executor: str = "local"
    """local: processes of this machine; ray: those of a Ray cluster."""
    address: str = "auto"
    """Of the Ray cluster."""
    seed: int = 0
    """Of start poses and unseen toys."""
    out: str = "runs/sweep"
    """Folder of the report and of a table for each policy; an interrupted sweep is continued there."""
    videos: int = 2
    """Failures that the report shows of each policy and axis, at the greatest strength."""

    def __post_init__(self) -> None:
        if not 1 <= self.trials <= CELLS:
            raise EvalError(f"trials={self.trials}; an object is tried on 1 to {CELLS} start poses")
        for name in ("limit", "execute", "workers", "seed", "videos"):
            if getattr(self, name) < 0:
                raise EvalError(f"{name}={getattr(self, name)} cannot be negative")
        for name in ("suites", "axes", "checkpoints", "references", "strengths"):
            twice = [value for value in getattr(self, name) if getattr(self, name).count(value) > 1]
            if twice:
                raise EvalError(f"{name} names {twice[0]!r} twice")
        if not self.suites:
            raise EvalError("suites is empty; name at least one, as in suites=[toys]")
        known_suites(self.suites)
        unknown = [name for name in self.references if name not in REFERENCES]
        if unknown:
            raise EvalError(f"unknown reference {unknown[0]!r}; known: {', '.join(REFERENCES)}")
        for axis, strength in self.arms()[1:]:
            vary(axis, strength, 0)
        check_executor(self.executor, self.address)
        self.rules()

    def arms(self) -> list[tuple[str, float]]:
        """Axis and strength of every arm, the control first."""
        axes = list(AXES) if self.axes == ["all"] else self.axes
        if axes and not self.strengths:
            raise EvalError("strengths is empty; name at least one, above 0 to 1")
        return [CONTROL, *((axis, strength) for axis in axes for strength in sorted(self.strengths))]

    def rules(self) -> Rules:
        """What counts as success. Raises EvalError where that makes no sense."""
        return Rules(self.lift, self.hold, self.horizon, self.execute or None)


def run(cfg: SweepConfig) -> dict[str, Any]:
    """Runs every arm, or what is left of it, writes tables and report, and returns the summary."""
    from eval.gallery import Wanted, record_all
    from eval.pages.sweep import Arm, SweepPage, write_sweep

    policies = _policies(cfg)
    out, crew = Path(cfg.out), Crew(cfg.workers or None, cfg.executor, cfg.address)
    cells, arms = [], []
    for name, policy in policies.items():
        for suite in _suites(cfg, policy):
            for axis, strength in cfg.arms():
                cells.append(Cell(policy, suite if axis == "none" else suite.under(axis, strength), cfg.rules()))
                arms.append((name, axis, strength))
    with _table(cells, arms) as watch:
        reports = evaluate_all(cells, crew=crew, out=out, watch=watch, progress=False)
    summary: dict[str, Any] = {"policies": {}, "trials": 0, "seconds": round(sum(report.seconds for report in reports), 1)}
    for name in policies:
        whole = joined([report for report, arm in zip(reports, arms, strict=True) if arm[0] == name])
        whole.save(out / name)
        told = whole.summary()
        summary["trials"] += sum(row.success is not None for row in whole.rows)
        keys = ("success_rate", "successes", "trials", "interval", "interval_over_objects", "missing_trials", "unplaced", "table")
        summary["policies"][name] = {key: told[key] for key in keys} | {"arms": told.get("arms", {})}
    wanted = []
    for cell, report, (_, axis, strength) in zip(cells, reports, arms, strict=True):
        losses = cfg.videos if axis == "none" or strength == max(cfg.strengths) else 0
        wanted.append(Wanted(cell, report, 0, losses))
    clips = record_all(wanted, out=out, crew=crew)
    command = "cezanne sweep " + " ".join(f"{key}={_value(value)}" for key, value in asdict(cfg).items() if value not in ("", 0, []))
    page = SweepPage(
        f"{', '.join(policies)} on {', '.join(dict.fromkeys(cell.suite.name for cell in cells))}",
        tuple(Arm(name, axis, s, report, shown) for (name, axis, s), report, shown in zip(arms, reports, clips, strict=True)),
        pictures=tuple(dict.fromkeys(parts_folder(out, report) for report in reports)),
        command=command,
    )
    summary["report"] = str(write_sweep(out / "report.html", page))
    write_json(out / "summary.json", summary)
    return summary


def _policies(cfg: SweepConfig) -> dict[str, Opener]:
    """Every policy by a short name. Raises EvalError for none, or two of one name."""
    found: dict[str, Opener] = {name: name for name in cfg.references}
    for folder in cfg.checkpoints:
        path = open_checkpoint(Path(folder))
        name = Path(folder).resolve().name
        if name in found:
            name = f"{Path(folder).resolve().parent.name}-{name}"
        if name in found:
            raise EvalError(f"two policies are called {name}; rename a folder")
        found[name] = path
    if not found:
        raise EvalError("checkpoints=[FOLDER,...] is needed, the policies to try; or references=[NAME,...]")
    return found


def _suites(cfg: SweepConfig, policy: Opener) -> Iterator[Suite]:
    for name in cfg.suites:
        checkpoint = policy if isinstance(policy, Path) else None
        yield open_suite(name, trials=cfg.trials, seed=cfg.seed, limit=cfg.limit or None, checkpoint=checkpoint)


@contextmanager
def _table(cells: list[Cell], arms: list[tuple[str, str, float]]) -> Iterator[Any]:
    """A table on stderr that grows while the sweep runs; yields what `evaluate_all` calls with each trial."""
    counts = {k: [0, 0, 0] for k in range(len(cells))}  # successes, trials that took place, rows
    console = Console(stderr=True)

    def watch(c: int, row: Outcome) -> None:
        counts[c][0] += row.success is True
        counts[c][1] += row.success is not None
        counts[c][2] += 1

    def draw() -> Table:
        done, planned = sum(count[2] for count in counts.values()), sum(len(cell.suite.trials) for cell in cells)
        table = Table(title=f"{done} trials now, of {planned}", title_justify="left", box=None)
        for heading in ("policy", "suite", "axis", "strength"):
            table.add_column(heading)
        table.add_column("success", justify="right")
        busy = [k for k, count in counts.items() if 0 < count[2] < len(cells[k].suite.trials)]
        last = max((k for k, count in counts.items() if count[2]), default=0)
        for k in sorted({*busy, *range(max(0, last - console.height + 8), last + 1)}):
            name, axis, strength = arms[k]
            successes, ran, _ = counts[k]
            shown = f"{successes}/{ran} = {successes / ran:.0%}" if ran else ""
            table.add_row(name, cells[k].suite.name, axis, f"{strength:.2f}" if strength else "", shown)
        return table

    if not console.is_terminal:
        print(f"sweep: {len(cells)} arms, {sum(len(cell.suite.trials) for cell in cells)} trials", file=sys.stderr, flush=True)
        yield lambda c, row: _report_arm(watch, counts, cells, arms, c, row)
        return
    with Live(get_renderable=draw, console=console, refresh_per_second=2):
        yield watch


def _report_arm(
    watch: Any, counts: dict[int, list[int]], cells: list[Cell], arms: list[tuple[str, str, float]], c: int, row: Outcome
) -> None:
    """Where nobody looks at a terminal: one line for each arm that is complete."""
    watch(c, row)
    if counts[c][2] == len(cells[c].suite.trials):
        name, axis, strength = arms[c]
        print(f"{name} {cells[c].suite.name} {axis} {strength:.2f}: {counts[c][0]}/{counts[c][1]}", file=sys.stderr, flush=True)


def _value(value: object) -> str:
    """As Hydra reads it."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)
