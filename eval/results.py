"""The results of one suite: rows, summary, files."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from eval.errors import EvalError
from eval.outcome import FAILURES, Key, Outcome, Reason
from eval.statistics import by_object, clustered, detectable, wilson

_COLUMNS = {
    "suite": pyarrow.string(),
    "object": pyarrow.string(),
    "pose": pyarrow.int8(),
    "seed": pyarrow.int64(),
    "axis": pyarrow.string(),
    "strength": pyarrow.float64(),
    "success": pyarrow.bool_(),
    "reason": pyarrow.string(),
    "steps": pyarrow.int32(),
    "seconds": pyarrow.float64(),
    "time_to_lift": pyarrow.float64(),
    "max_lift": pyarrow.float64(),
    "peak_force": pyarrow.float64(),
    "path_length": pyarrow.float64(),
    "latency_ms": pyarrow.float64(),
    "gl": pyarrow.string(),
    "theirs": pyarrow.bool_(),
}
_ABOUT = b"cezanne"
"""Key of what a table says about itself, beside its rows."""


@dataclass(frozen=True)
class Report:
    """One policy on one suite, or on several arms of a sweep."""

    suite: str
    rows: tuple[Outcome, ...]
    """In the suite's order."""
    seconds: float
    """Wall time of the evaluation, earlier runs that it continued included [s]."""
    fingerprint: Mapping[str, str]
    missing: Mapping[str, str] = field(default_factory=dict)
    """Objects with trials that could not be run, and why: such trials count for nothing."""
    planned: int = 0
    """Trials that were to be run; 0: as many as there are rows."""
    setup: Mapping[str, Any] = field(default_factory=dict)
    """What a trial needs to be run again, besides its row: policy, source of the objects by suite, rules."""

    stalls: Mapping[str, int] = field(default_factory=dict)
    """Draws of this run that hung, by back end; the workers were replaced and their trials run again."""

    def __post_init__(self) -> None:
        twice = [key for key, count in Counter(row.key for row in self.rows).items() if count > 1]
        if twice:
            raise EvalError(f"{len(twice)} trials are there twice, the first is {_words(twice[0])}; a trial counts once")

    def summary(self) -> dict[str, Any]:
        """Stable keys; counts trials that took place, of the control arm where there are others. Raises EvalError where there is none."""
        arms = self.arms()
        control = [row for row in self.rows if row.axis == "none"] or list(self.rows)
        ran = [row for row in control if row.success is not None]
        successes = sum(row.success is True for row in ran)
        if not ran:
            why = "; ".join(f"{name}: {error}" for name, error in list(self.missing.items())[:3])
            raise EvalError(f"not one trial of suite {self.suite!r} took place" + (f" ({why})" if why else ""))
        reasons = Counter(row.reason for row in ran)
        over_objects = clustered(ran)
        rate = successes / len(ran)
        gain = detectable(len(ran), rate)
        told = {
            "success_rate": round(rate, 4),
            "successes": successes,
            "trials": len(ran),
            "interval": _pair(wilson(successes, len(ran))),
            "seconds": round(self.seconds, 1),
            "suite": self.suite,
            "interval_over_objects": _pair(over_objects) if over_objects else None,
            "detectable_gain": round(gain, 4) if gain < 1 else None,
            "unplaced": len(control) - len(ran),
            "missing": dict(self.missing),
            "missing_trials": max(self.planned - len(self.rows), 0),
            "reasons": {reason.value: reasons[reason] for reason in (Reason.SUCCESS, *FAILURES)},
            "per_object": {name: list(count) for name, count in by_object(control).items()},
            "table": self.digest(),
            "render_stalls": dict(self.stalls),
        }
        if elsewhere := Counter(row.gl for row in ran if row.gl is not None):
            told["drawn_by"] = dict(elsewhere)
        judged = [row.theirs for row in ran if row.theirs is not None]
        if judged:
            told["theirs"] = [sum(judged), len(judged)]
        if len(arms) > 1:
            told["arms"] = {" ".join(map(str, arm)): part.count() for arm, part in arms.items()}
        return told

    def count(self) -> list[int]:
        """Successes and trials that took place."""
        ran = [row.success for row in self.rows if row.success is not None]
        return [sum(ran), len(ran)]

    def arms(self) -> dict[tuple[str, str, float], Report]:
        """By suite, axis and strength, in the order of the rows."""
        parts: dict[tuple[str, str, float], list[Outcome]] = {}
        for row in self.rows:
            parts.setdefault((row.suite, row.axis, row.strength), []).append(row)
        if len(parts) == 1:
            return {next(iter(parts)): self}
        return {arm: replace(self, suite=arm[0], rows=tuple(rows), planned=0) for arm, rows in parts.items()}

    def digest(self) -> str:
        """A short hash of the table, latency left out: equal for the same trials, whenever and on however many workers they ran."""
        told = hashlib.sha256()
        for row in self.rows:
            told.update(json.dumps(replace(row, latency_ms=None).row(), sort_keys=True).encode())
        return told.hexdigest()[:16]

    def save(self, folder: Path) -> None:
        """Writes `trials.parquet`, which says all about itself, and `summary.json`, each whole or not at all."""
        about = {"suite": self.suite, "seconds": self.seconds, "fingerprint": dict(self.fingerprint), "missing": dict(self.missing)}
        about |= {"planned": self.planned, "setup": dict(self.setup), "stalls": dict(self.stalls)}
        columns = {name: pyarrow.array([row.row()[name] for row in self.rows], kind) for name, kind in _COLUMNS.items()}
        table = pyarrow.table(columns).replace_schema_metadata({_ABOUT: json.dumps(about).encode()})
        path = folder / "trials.parquet"
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.tmp")
        pyarrow.parquet.write_table(table, part)
        part.replace(path)
        write_json(folder / "summary.json", {**self.summary(), "fingerprint": dict(self.fingerprint), "setup": dict(self.setup)})


def joined(reports: Sequence[Report]) -> Report:
    """The reports of one policy as one. Values of fingerprints that differ are told apart by suite. Raises EvalError for a trial in two."""
    first = reports[0]
    prints: dict[str, str] = {}
    for key in first.fingerprint:
        values = {report.suite: report.fingerprint.get(key, "") for report in reports}
        prints[key] = first.fingerprint[key] if len(set(values.values())) == 1 else "; ".join(f"{k}: {v}" for k, v in values.items())
    sources = {suite: source for report in reports for suite, source in report.setup.get("sources", {}).items()}
    return Report(
        "+".join(dict.fromkeys(report.suite for report in reports)),
        tuple(row for report in reports for row in report.rows),
        sum(report.seconds for report in reports),
        prints,
        {name: why for report in reports for name, why in report.missing.items()},
        sum(report.planned or len(report.rows) for report in reports),
        {**first.setup, "sources": sources} if first.setup else {},
        dict(sum((Counter(report.stalls) for report in reports), Counter())),
    )


def load_report(folder: Path) -> Report:
    """What `Report.save` wrote. Raises EvalError where it is not whole."""
    path = folder / "trials.parquet"
    rows = load_rows(path)
    try:
        about = json.loads((pyarrow.parquet.read_schema(path).metadata or {})[_ABOUT])
        return Report(rows=rows, **about)
    except (TypeError, KeyError, ValueError) as error:
        raise EvalError(f"{path} does not say what was evaluated: {error}; evaluate again") from error


def load_rows(path: Path) -> tuple[Outcome, ...]:
    """Rows of a `trials.parquet`. Raises EvalError for another kind of file."""
    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise EvalError(f"{path} is no table of trials: {error}") from error
    return tuple(Outcome.from_row(row) for row in table.to_pylist())


def write_json(path: Path, value: object) -> None:
    """Writes JSON under a temporary name, then renames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    part.write_text(json.dumps(value, indent=1))
    part.replace(path)


def read_json(path: Path) -> Any | None:
    """What a JSON file holds; None where there is none or it is damaged."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def _pair(interval: Any) -> list[float]:
    return [round(value, 4) for value in asdict(interval).values()]


def _words(key: Key) -> str:
    suite, name, pose, seed, axis, strength = key
    return f"{suite}/{name} at pose {pose}, seed {seed}" + ("" if axis == "none" else f" under {axis} {strength:g}")
