"""Results on disk while an evaluation runs, so that an interrupted one continues with the next trial."""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from eval.errors import EvalError
from eval.outcome import Key, Outcome


@dataclass
class Kept:
    """A journal, one line a finished trial, in a folder named for everything that the results depend on."""

    folder: Path | None
    """None: nothing is kept."""
    found: dict[Key, tuple[Outcome, float]] = field(default_factory=dict)
    """Finished trials, and the wall time that each took [s]."""

    def __post_init__(self) -> None:
        if self.folder is None or not self._journal.exists():
            return
        for line in self._journal.read_bytes().splitlines():
            try:
                entry = json.loads(line)
                row = Outcome.from_row(entry["row"])
                self.found[row.key] = row, float(entry["seconds"])
            except (ValueError, KeyError, TypeError, EvalError):  # killed while it was written: tried again
                continue

    def add(self, row: Outcome, seconds: float) -> None:
        """Writes one more line. Raises OSError; what was written before stays readable."""
        self.found[row.key] = row, seconds
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"row": row.row(), "seconds": round(seconds, 3)})
        with open(self._journal, "ab") as journal:
            journal.write(f"{line}\n".encode() if _ends_whole(self._journal) else f"\n{line}\n".encode())

    def portrait(self, name: str) -> Path | None:
        """Where the picture of an object is, or would be."""
        return None if self.folder is None else self.folder / f"{name}.jpg"

    @property
    def _journal(self) -> Path:
        assert self.folder is not None
        return self.folder / "trials.jsonl"


def _ends_whole(path: Path) -> bool:
    """Whether the last line of a file has its end, or there is none."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        return size == 0 or bool(file.seek(size - 1) >= 0 and file.read(1) == b"\n")


def write_jpeg(path: Path, picture: np.ndarray, *, quality: int = 85) -> None:
    """Writes a picture, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    part = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    part.write_bytes(buffer.getvalue())
    part.replace(path)
