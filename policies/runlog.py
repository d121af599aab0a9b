"""The log of a run: `log.jsonl`, and the same for TensorBoard and for Weights & Biases."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from policies.errors import PolicyError


class Tracking(Protocol):
    """Where numbers and pictures can be looked at while training goes on."""

    def numbers(self, step: int, values: Mapping[str, float]) -> None: ...

    def picture(self, step: int, name: str, image: np.ndarray) -> None: ...

    def close(self) -> None: ...


class Board:
    """TensorBoard's events, in the folder `tensorboard` of the run; those after `step` are taken back."""

    def __init__(self, out: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # a second to import

        self._writer = SummaryWriter(str(out / "tensorboard"), purge_step=step + 1)

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        self._writer.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        self._writer.close()


class Bias:
    """A run of Weights & Biases, named like the run's folder, which keeps its id: continued, it is the same one there."""

    def __init__(self, out: Path, config: Mapping[str, Any]) -> None:
        try:
            import wandb
        except ImportError:
            raise PolicyError("tracker=wandb needs a package that is not here: pip install 'cezanne[wandb]'") from None
        known = out / "wandb.id"
        if not known.exists():
            known.write_text(secrets.token_hex(4) + "\n", encoding="utf-8")
        name, identity = out.resolve().name, known.read_text(encoding="utf-8").strip()
        self._wandb: Any = wandb
        try:
            self._run: Any = wandb.init(project="cezanne", name=name, id=identity, resume="allow", dir=str(out), config=dict(config))
        except Exception as error:  # it has a dozen kinds of its own: no account, no network, no such project
            raise PolicyError(f"tracker=wandb: {' '.join(str(error).split())[:200]}; WANDB_MODE=offline needs no account") from error
        self._run.define_metric("*", step_metric="step")  # its own counter may not go back, a run that is continued does

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({"step": step, **values})

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        self._run.log({"step": step, name: self._wandb.Image(image)})

    def close(self) -> None:
        self._run.finish()


class RunLog:
    """Appends entries; what a killed run logged after its last checkpoint is taken back first.

    Args:
        out: the run's folder.
        step: of the checkpoint that is continued, 0 for none.
        trackers: who hears of each entry too; closed at the end.
    """

    def __init__(self, out: Path, step: int, trackers: Sequence[Tracking] = ()) -> None:
        self._path, self._step, self._trackers = out / "log.jsonl", step, trackers

    def __enter__(self) -> RunLog:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        kept = [json.dumps(entry) + "\n" for entry in read_log(self._path) if entry["step"] <= self._step]
        temporary = self._path.with_suffix(".part")
        temporary.write_text("".join(kept), encoding="utf-8")
        os.replace(temporary, self._path)
        self._file = open(self._path, "a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        for tracker in self._trackers:
            tracker.close()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One entry."""
        if not values:
            return
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        for tracker in self._trackers:
            tracker.numbers(step, values)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """A picture (H, W, 3) u8, for those who show pictures."""
        for tracker in self._trackers:
            tracker.picture(step, name, image)


class NoLog:
    """What the processes write to that are not the main one."""

    def __enter__(self) -> NoLog:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, step: int, values: Mapping[str, float]) -> None:
        pass

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        pass


def read_log(path: Path) -> list[dict[str, float]]:
    """The entries of a `log.jsonl`; a last line that was cut off is left out."""
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            entries.append(json.loads(line))
        except ValueError:
            break
    return entries
