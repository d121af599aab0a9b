"""The log of a run: `log.jsonl`, and the same for TensorBoard."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path


class RunLog:
    """Appends entries; what a killed run logged after its last checkpoint is taken back first."""

    def __init__(self, out: Path, step: int) -> None:
        self._path, self._step = out / "log.jsonl", step

    def __enter__(self) -> RunLog:
        from torch.utils.tensorboard import SummaryWriter  # a second to import

        self._path.parent.mkdir(parents=True, exist_ok=True)
        kept = [json.dumps(entry) + "\n" for entry in read_log(self._path) if entry["step"] <= self._step]
        temporary = self._path.with_suffix(".part")
        temporary.write_text("".join(kept), encoding="utf-8")
        os.replace(temporary, self._path)
        self._file = open(self._path, "a", encoding="utf-8")
        self._board = SummaryWriter(str(self._path.parent / "tensorboard"), purge_step=self._step + 1)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._board.close()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One entry."""
        if values:
            self._file.write(json.dumps({"step": step, **values}) + "\n")
            self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)


def read_log(path: Path) -> list[dict[str, float]]:
    """The entries of a `log.jsonl`; a last line that was cut off is left out."""
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            entries.append(json.loads(line))
        except ValueError:
            break
    return entries
