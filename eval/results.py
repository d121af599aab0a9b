"""The results of one suite: rows, summary, files."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from eval.errors import EvalError
from eval.outcome import FAILURES, Outcome, Reason
from eval.statistics import by_object, clustered, detectable, wilson

_COLUMNS = {
    "suite": pyarrow.string(),
    "object": pyarrow.string(),
    "pose": pyarrow.int8(),
    "seed": pyarrow.int64(),
    "success": pyarrow.bool_(),
    "reason": pyarrow.string(),
    "steps": pyarrow.int32(),
    "seconds": pyarrow.float64(),
    "time_to_lift": pyarrow.float64(),
    "max_lift": pyarrow.float64(),
    "latency_ms": pyarrow.float64(),
}


@dataclass(frozen=True)
class Report:
    """One policy on one suite."""

    suite: str
    rows: tuple[Outcome, ...]
    """In the suite's order."""
    seconds: float
    """Wall time of the evaluation, earlier runs that it continued included [s]."""
    fingerprint: Mapping[str, str]
    missing: Mapping[str, str] = field(default_factory=dict)
    """Objects without any trial, and why: their trials count for nothing."""

    def summary(self) -> dict[str, Any]:
        """Stable keys; counts only trials that took place. Raises EvalError where there is none."""
        ran = [row for row in self.rows if row.success is not None]
        successes = sum(row.success is True for row in ran)
        if not ran:
            why = "; ".join(f"{name}: {error}" for name, error in list(self.missing.items())[:3])
            raise EvalError(f"not one trial of suite {self.suite!r} took place" + (f" ({why})" if why else ""))
        reasons = Counter(row.reason for row in ran)
        over_objects = clustered(ran)
        rate = successes / len(ran)
        gain = detectable(len(ran), rate)
        return {
            "success_rate": round(rate, 4),
            "successes": successes,
            "trials": len(ran),
            "interval": _pair(wilson(successes, len(ran))),
            "seconds": round(self.seconds, 1),
            "suite": self.suite,
            "interval_over_objects": _pair(over_objects) if over_objects else None,
            "detectable_gain": round(gain, 4) if gain < 1 else None,
            "unplaced": len(self.rows) - len(ran),
            "missing": dict(self.missing),
            "reasons": {reason.value: reasons[reason] for reason in (Reason.SUCCESS, *FAILURES)},
            "per_object": {name: list(count) for name, count in by_object(self.rows).items()},
        }

    def save(self, folder: Path) -> None:
        """Writes `trials.parquet` and `summary.json`, each whole or not at all."""
        table = pyarrow.table({name: pyarrow.array([row.row()[name] for row in self.rows], kind) for name, kind in _COLUMNS.items()})
        path = folder / "trials.parquet"
        part = path.with_suffix(f".{os.getpid()}.tmp")
        pyarrow.parquet.write_table(table, part)
        part.replace(path)
        write_json(folder / "summary.json", {**self.summary(), "fingerprint": dict(self.fingerprint)})


def load_report(folder: Path) -> Report:
    """What `Report.save` wrote. Raises EvalError where it is not whole."""
    summary = read_json(folder / "summary.json") or {}
    rows = load_rows(folder / "trials.parquet")
    try:
        return Report(summary["suite"], rows, summary["seconds"], summary["fingerprint"], summary["missing"])
    except (TypeError, KeyError) as error:
        raise EvalError(f"{folder}/summary.json does not describe an evaluation: {error}") from error


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
