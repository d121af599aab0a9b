"""`cezanne compare NEW OLD`: two results, or two policies, on the trials that both ran."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from eval.comparison import Comparison, Contest, Early, Side, compare
from eval.duel import Duel, duel
from eval.errors import EvalError
from eval.evaluate import Crew, Opener, open_checkpoint
from eval.pages.words import chance, plain, points
from eval.references import REFERENCES
from eval.results import Report, load_report, write_json
from eval.sources import open_suite, suite_names
from eval.statistics.interval import Interval
from eval.suite import CELLS
from eval.trial import Rules
from eval.verdict import Finding, Verdict, told

__all__ = ["CompareConfig", "Comparison", "open_side", "run"]


@dataclass
class CompareConfig:
    """The candidate first, the reference second."""

    new: str = "???"
    """The candidate: a folder that `cezanne eval` wrote, or one policy's folder of a sweep; with sequential=true a checkpoint or a
    reference (expert, heuristic, nothing)."""
    old: str = "???"
    """What it is compared with."""
    out: str = "runs/compare"
    """Folder of the report; an interrupted sequential comparison is continued there."""
    fail_if_worse: bool = False
    """Exit with code 1 where the new one is worse, and that is no accident."""
    margin: float = 0.0
    """Loss that fail_if_worse tolerates [points of success rate]."""
    across: bool = False
    """Compare also results of different MuJoCo, GL back end, objects or rules, and mark them."""
    sequential: bool = False
    """Run both side by side, and stop when the difference is clear; few poses of many objects suit it best."""
    same: float = 0.0
    """Sequential: stop also when any difference of this size is ruled out [points]; 0: not for that reason."""
    batch: int = 0
    """Sequential: objects tried between two looks; 0: two for each process."""
    suite: str = "toys"
    """Sequential: toys, household, ycb or ycb65."""
    objects: str = ""
    """Sequential: a folder of packs or of meshes in metres, instead of a suite."""
    trials: int = 4
    """Sequential: start poses for each object, 1 to 16."""
    limit: int = 0
    """Sequential: at most this many objects; 0: all, of toys 50."""
    execute: int = 0
    """Sequential: actions of each chunk that are carried out; 0: as the policy was trained."""
    lift: float = 0.10
    """Sequential: how far above its rest height an object must be lifted [m]."""
    hold: float = 0.5
    """Sequential: how long it must stay there [s]."""
    horizon: float = 8.0
    """Sequential: longest trial [s]."""
    seed: int = 0
    """Sequential: of start poses, unseen toys and the order of the objects."""
    workers: int = 0
    """Sequential: processes; 0: one for each core."""
    executor: str = "local"
    """Sequential: local, processes of this machine; or ray, those of a Ray cluster."""
    address: str = "auto"
    """Of the Ray cluster."""

    def __post_init__(self) -> None:
        for name in ("margin", "same"):
            if not 0 <= getattr(self, name) < 100:
                raise EvalError(f"{name}={getattr(self, name):g}; it is written in points of success rate, 0 to 100")
        for name in ("limit", "execute", "workers", "seed", "batch"):
            if getattr(self, name) < 0:
                raise EvalError(f"{name}={getattr(self, name)} cannot be negative")
        if not 1 <= self.trials <= CELLS:
            raise EvalError(f"trials={self.trials}; an object is tried on 1 to {CELLS} start poses")
        if self.suite not in suite_names():
            raise EvalError(f"unknown suite {self.suite!r}; known: {', '.join(suite_names())}; a folder is named by objects=FOLDER")
        self.rules()

    def rules(self) -> Rules:
        """What counts as success. Raises EvalError where that makes no sense."""
        return Rules(self.lift, self.hold, self.horizon, self.execute or None)


def run(cfg: CompareConfig) -> dict[str, Any]:
    """Compares, writes the report and returns the summary; not `ok` where the new one is worse and that was to fail."""
    from eval.pages.comparison import write_comparison

    out = Path(cfg.out)
    comparison, pictures = _sequential(cfg, out) if cfg.sequential else _recorded(cfg)
    show(comparison)
    summary = summarise(comparison)
    summary["ok"] = not (cfg.fail_if_worse and comparison.worse())
    summary["report"] = str(write_comparison(out / "report.html", comparison, pictures))
    write_json(out / "summary.json", summary)
    return summary


def open_side(folder: Path) -> Side:
    """One policy's results: what `cezanne eval` wrote, or a sweep of that policy alone. Raises EvalError."""
    return _side(str(folder), load_report(_results(folder)))


def summarise(comparison: Comparison) -> dict[str, Any]:
    """Stable keys: the contests by suite, or `SUITE AXIS` where something was perturbed."""
    worse = comparison.worse()
    findings = [contest.verdict.finding for contest in comparison.contests]
    told: dict[str, Any] = {
        "new": comparison.new.name,
        "old": comparison.old.name,
        "worse": [_title(contest) for contest in worse],
        "better": [_title(contest) for contest in comparison.contests if contest.verdict.finding is Finding.BETTER],
        "finding": str(findings[0] if len(set(findings)) == 1 else "mixed"),
        "margin": comparison.margin,
        "across": comparison.across,
        "differences": [{"suite": d.suite, "key": d.key, "new": d.new, "old": d.old, "decides": d.decides} for d in comparison.discords],
        "unpaired_new": sum(row.success is not None for row in comparison.new.rows) - sum(c.paired.trials for c in comparison.contests),
        "unpaired_old": sum(row.success is not None for row in comparison.old.rows) - sum(c.paired.trials for c in comparison.contests),
        "contests": {_title(contest): _figures(contest) for contest in comparison.contests},
    }
    if (early := comparison.early) is not None:
        told["sequential"] = {
            "pairs": early.used,
            "planned": early.planned,
            "saved": early.planned - early.used,
            "stopped": early.stopped,
            "p": round(early.p_value, 6),
            "interval": _pair(early.interval),
        }
    return told


def show(comparison: Comparison) -> None:
    """The table and the verdicts, on stderr."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    if not console.is_terminal:
        console.width = 140
    table = Table(box=None, title=f"new: {comparison.new.name}    old: {comparison.old.name}", title_justify="left")
    table.add_column("suite")
    for heading in ("pairs", "new", "old", "difference", "McNemar p", "p, corrected", "would find"):
        table.add_column(heading, justify="right")
    for contest in comparison.contests:
        both = contest.paired
        found = "nothing" if contest.detectable is None else f"{100 * contest.detectable:.0f} points"
        table.add_row(
            _title(contest),
            str(both.trials),
            _percent(contest.new.rate, contest.new.interval),
            _percent(contest.old.rate, contest.old.interval),
            points(both.difference) + (f" ({points(both.interval.low)} to {points(both.interval.high)})" if both.interval else ""),
            "" if comparison.early else chance(both.p_value),  # of a fixed number of trials, and this one may have stopped
            chance(contest.adjusted_p),
            "" if comparison.early else found,
        )
    console.print(table)
    for contest in comparison.contests:
        console.print(f"{_title(contest)}: {contest.verdict.words}.", markup=False)
        differ = [tally for tally in contest.objects if tally.new != tally.old][:5]
        if differ:
            said = ", ".join(f"{plain(t.object)} {t.new} against {t.old} of {t.trials}" for t in differ)
            console.print(f"  differ most: {said}", markup=False)
    told = summarise(comparison)
    for side in ("new", "old"):
        if told[f"unpaired_{side}"]:
            console.print(f"{told[f'unpaired_{side}']} trials that only the {side} policy ran count for nothing")
    if (early := comparison.early) is not None:
        console.print(f"{early.used} of {early.planned} pairs were run, {early.planned - early.used} saved")
    for discord in comparison.discords:
        style = "bold red" if discord.decides else "dim"
        console.print(f"{discord.suite}: {discord.key} differs: {discord.new} against {discord.old}", style=style, markup=False)


def _recorded(cfg: CompareConfig) -> tuple[Comparison, Sequence[Path]]:
    folders = [Path(cfg.new), Path(cfg.old)]
    new, old = (open_side(folder) for folder in folders)
    command = f"cezanne compare {cfg.new} {cfg.old}" + "".join(
        f" {name}={value}" for name, value in (("margin", cfg.margin), ("across", cfg.across)) if value
    )
    pictures = [part for folder in folders for root in (folder, folder.parent) for part in sorted(root.glob("parts/*")) if part.is_dir()]
    return compare(new, old, across=cfg.across, margin=cfg.margin / 100, command=command), tuple(dict.fromkeys(pictures))


def _sequential(cfg: CompareConfig, out: Path) -> tuple[Comparison, Sequence[Path]]:
    new, old = _policy(cfg.new), _policy(cfg.old)
    opened = [policy for policy in (new, old) if isinstance(policy, Path)]
    for checkpoint in opened or [None]:  # each is checked for toys that it was trained on
        suite = open_suite(cfg.objects or cfg.suite, trials=cfg.trials, seed=cfg.seed, limit=cfg.limit or None, checkpoint=checkpoint)
    found = duel(
        new,
        old,
        suite,
        cfg.rules(),
        rng=np.random.default_rng([cfg.seed, len(suite.objects)]),
        batch=cfg.batch or 2 * (cfg.workers or os.cpu_count() or 1),
        small=cfg.same / 100,
        crew=Crew(cfg.workers or None, cfg.executor, cfg.address),
        out=out,
    )
    found.new.save(out / "new")
    found.old.save(out / "old")
    defaults = asdict(CompareConfig(cfg.new, cfg.old))
    command = f"cezanne compare {cfg.new} {cfg.old} " + " ".join(
        f"{name}={str(value).lower() if isinstance(value, bool) else value}"
        for name, value in asdict(cfg).items()
        if value != defaults[name]
    )
    comparison = decided(found, (cfg.new, cfg.old), margin=cfg.margin / 100, command=command)
    return comparison, tuple(sorted(part for part in out.glob("parts/*") if part.is_dir()))


def decided(found: Duel, names: tuple[str, str], *, margin: float = 0.0, command: str = "") -> Comparison:
    """The comparison of a duel: p-values and intervals are those that stopping early leaves valid."""
    both = compare(_side(names[0], found.new), _side(names[1], found.old), across=True, margin=margin, command=command)
    (contest,) = both.contests
    state = found.state
    path = tuple(zip(found.pairs, state.path, strict=True))
    early = Early(found.pairs[-1], found.planned, state.decided and found.pairs[-1] < found.planned, state.p_value, state.interval, path)
    paired = replace(contest.paired, interval=state.interval, p_clustered=state.p_value)
    contest = replace(contest, paired=paired, adjusted_p=state.p_value, detectable=None, guarded=state.interval, verdict=_verdict(found))
    return replace(both, contests=(contest,), early=early)


def _verdict(found: Duel) -> Verdict:
    state = found.state
    if state.differs:
        return told(state.mean, state.interval)
    low, high = 100 * state.interval.low, 100 * state.interval.high
    if state.same:
        words = f"any difference is smaller than {100 * state.small:.0f} points ({low:.0f} to {high:.0f})"
        return Verdict(Finding.SAME, words)
    return Verdict(Finding.OPEN, f"no difference could be told with {found.pairs[-1]} pairs ({low:.0f} to {high:.0f})")


def _side(name: str, report: Report) -> Side:
    suites = tuple(dict.fromkeys(row.suite for row in report.rows)) or (report.suite,)
    prints = {suite: {key: _of_suite(value, suite, suites) for key, value in report.fingerprint.items()} for suite in suites}
    missing = {suite: dict(report.missing) for suite in suites[:1] if report.missing}
    return Side(name, report.rows, prints, missing, report.setup.get("rules", {}))


def _of_suite(value: str, suite: str, suites: Sequence[str]) -> str:
    """The part of a line of a fingerprint that `joined` made of several suites."""
    parts: dict[str, str] = {}
    for part in value.split("; "):
        name, _, said = part.partition(": ")
        parts[name] = said
    return parts[suite] if len(suites) > 1 and set(parts) == set(suites) else value


def _results(folder: Path) -> Path:
    """The folder with the table of trials: this one, or the only one of a sweep. Raises EvalError."""
    if (folder / "trials.parquet").exists():
        return folder
    inside = sorted(path.parent for path in folder.glob("*/trials.parquet"))
    if len(inside) == 1:
        return inside[0]
    if inside:
        raise EvalError(f"{folder} holds the results of several policies: {', '.join(map(str, inside))}; name one of them")
    if not folder.is_dir():
        raise EvalError(f"there is no folder {folder}; compare takes two folders that cezanne eval wrote")
    raise EvalError(f"{folder} holds no trials.parquet; cezanne eval writes one (checkpoints are compared with sequential=true suite=...)")


def _policy(name: str) -> Opener:
    return name if name in REFERENCES else open_checkpoint(Path(name))


def _title(contest: Contest) -> str:
    return contest.suite if contest.axis == "none" else f"{contest.suite} {contest.axis}"


def _figures(contest: Contest) -> dict[str, Any]:
    both = contest.paired
    return {
        "finding": str(contest.verdict.finding),
        "words": contest.verdict.words,
        "pairs": both.trials,
        "objects": both.objects,
        "new": round(contest.new.rate, 4),
        "new_interval": _pair(contest.new.interval),
        "old": round(contest.old.rate, 4),
        "old_interval": _pair(contest.old.interval),
        "difference": round(both.difference, 4),
        "interval": _pair(both.interval),
        "new_only": both.first_only,
        "old_only": both.second_only,
        "p_mcnemar": round(both.p_value, 6),
        "p_objects": round(both.p_clustered, 6),
        "p_adjusted": round(contest.adjusted_p, 6),
        "detectable": None if contest.detectable is None else round(contest.detectable, 4),
        "unpaired_new": contest.unpaired_new,
        "unpaired_old": contest.unpaired_old,
    }


def _pair(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [round(interval.low, 4), round(interval.high, 4)]


def _percent(rate: float, interval: Interval) -> str:
    return f"{100 * rate:.0f} % ({100 * interval.low:.0f} to {100 * interval.high:.0f})"
