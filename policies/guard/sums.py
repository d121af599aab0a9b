"""Checksums of a checkpoint's files: a bit that flipped inside a number is noticed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from policies.errors import PolicyError
from policies.guard.folder import open_file
from policies.guard.table import read_table

SUMS = "checksums.json"
"""Size and SHA-256 of the other files, by name. Older checkpoints have none."""


def write_sums(path: Path) -> None:
    """Writes down what the files of a folder are. Raises OSError, PolicyError."""
    files = sorted(file for file in path.iterdir() if file.is_file() and file.name != SUMS)
    sums = {file.name: [file.stat().st_size, _digest(file)] for file in files}
    (path / SUMS).write_text(json.dumps(sums, indent=1) + "\n", encoding="utf-8")


def check_sums(path: Path, names: Iterable[str]) -> None:
    """Raises PolicyError where one of these files is not what was written. Of a folder without sums nothing is known."""
    if not os.path.lexists(path / SUMS):
        return
    said = read_table(path / SUMS)
    for name in names:
        if name not in said:
            raise PolicyError(f"{SUMS} does not know {name}; whoever put it there on purpose deletes {SUMS}")
        if said[name] != [(path / name).stat().st_size, _digest(path / name)]:
            raise PolicyError(f"{name} is not what was written: copy it again; whoever changed it on purpose deletes {SUMS}")


def _digest(file: Path) -> str:
    with open_file(file) as held:
        return hashlib.file_digest(held, "sha256").hexdigest()
