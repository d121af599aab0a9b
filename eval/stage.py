"""Stages of a long way: each is made once, kept while its settings stay, and continued where it was stopped."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.errors import EvalError
from eval.fingerprint import digest
from eval.results import read_json, write_json


@dataclass(frozen=True)
class Product:
    """What a stage made."""

    name: str
    folder: Path
    key: str
    """Changes with the settings of the stage and of all before it."""
    summary: dict[str, Any]
    seconds: float
    """Spent on it, over all the runs that it took [s]."""


def stage(name: str, out: Path, settings: Any, before: Product | None, make: Callable[[Path], dict[str, Any]]) -> Product:
    """Makes `out/name`, unless it is there complete and made with the same settings.

    Args:
        name: of the stage and its folder.
        out: folder of all stages.
        settings: what the product depends on, besides the stage before.
        before: the stage that this one builds on.
        make: fills the folder, or continues to; returns a summary that is JSON.

    What other settings made is moved aside, never mixed in and never deleted. Raises EvalError where the folder holds something else.
    """
    folder, record = out / name, out / "stages" / f"{name}.json"
    key = digest([name, settings, before.key if before else ""])
    saved = read_json(record) or {}
    spent = 0.0
    if not saved and folder.exists():
        raise EvalError(f"{folder} is there, and not made by this command; choose another out=, or remove it")
    if saved and saved["key"] == key and folder.exists():
        spent = float(saved["seconds"])
        if saved["complete"]:
            _say(f"{name}: kept, made with the same settings in {spent:.0f} s")
            return Product(name, folder, key, saved["summary"], spent)
        _say(f"{name}: continues where it was stopped")
    elif folder.exists():
        aside = out / f"{name}-{saved['key'][:8]}"
        while aside.exists():
            aside = aside.with_name(f"{aside.name}x")
        folder.rename(aside)
        _say(f"{name}: settings have changed; made anew, the earlier one is kept as {aside}")
    else:
        _say(name)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(record, {"key": key, "complete": False, "seconds": spent})
    begin = time.monotonic()
    try:
        summary = make(folder)
    except BaseException:
        write_json(record, {"key": key, "complete": False, "seconds": spent + time.monotonic() - begin})
        raise
    seconds = spent + time.monotonic() - begin
    write_json(record, {"key": key, "complete": True, "seconds": seconds, "summary": summary})
    return Product(name, folder, key, summary, seconds)


def _say(text: str) -> None:
    print(f"== {text}", file=sys.stderr, flush=True)
