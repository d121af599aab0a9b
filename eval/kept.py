"""Results on disk while an evaluation runs, so that an interrupted one continues."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from eval.bench import Job
from eval.errors import EvalError
from eval.outcome import Outcome
from eval.results import read_json, write_json


@dataclass(frozen=True)
class Kept:
    """One file an object, in a folder named for everything that the results depend on."""

    folder: Path | None
    """None: nothing is kept."""

    def load(self, job: Job) -> tuple[tuple[Outcome, ...], float] | None:
        """Rows of an object and the seconds they took; None where it has not been tried, or not all of it."""
        saved = None if self.folder is None else read_json(self.folder / f"{job.item.name}.json")
        try:
            rows = tuple(Outcome.from_row(row) for row in saved["rows"]) if saved else ()
        except (EvalError, KeyError, TypeError):  # damaged: tried again
            return None
        same = [(row.pose, row.seed) for row in rows] == [(trial.pose, trial.seed) for trial in job.trials]
        return (rows, float(saved["seconds"])) if saved and same else None

    def save(self, job: Job, rows: tuple[Outcome, ...], portrait: np.ndarray | None, seconds: float) -> None:
        """Keeps an object's rows, and its picture."""
        if self.folder is None:
            return
        if portrait is not None:
            write_jpeg(self.folder / f"{job.item.name}.jpg", portrait)
        write_json(self.folder / f"{job.item.name}.json", {"rows": [row.row() for row in rows], "seconds": round(seconds, 3)})


def write_jpeg(path: Path, picture: np.ndarray, *, quality: int = 85) -> None:
    """Writes a picture, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    part = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    part.write_bytes(buffer.getvalue())
    part.replace(path)
