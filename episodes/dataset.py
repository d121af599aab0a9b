"""Reading a dataset, or several of one contract as one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from episodes.episode import Episode
from episodes.errors import StoreError
from episodes.info import DatasetInfo
from episodes.shard import Shard

_AT_ONCE = 16
"""Episodes decoded together, so that a shard of any size fits into memory."""


@dataclass(frozen=True, eq=False)
class Signals:
    """An episode without its pictures; the fields are Episode's."""

    qpos: np.ndarray
    gripper: np.ndarray
    actions: np.ndarray
    labelled: np.ndarray


class Dataset:
    """Episodes on disk, in the order of their shards' names. Iterating decodes each shard once; `[i]` decodes one episode."""

    def __init__(self, info: DatasetInfo, shards: Sequence[Shard]) -> None:
        self.info, self.shards = info, tuple(shards)
        self._places = [(shard, i) for shard in self.shards for i in range(len(shard.lengths))]
        self.lengths = np.concatenate([np.zeros(0, np.int64), *(shard.lengths for shard in self.shards)])
        """Steps of each episode, (n,)."""
        self._kept: tuple[Shard, dict[str, np.ndarray]] | None = None

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, i: int) -> Episode:
        shard, k = self._place(i)
        return shard.read(k, k + 1)[0]

    def __iter__(self) -> Iterator[Episode]:
        for shard in self.shards:
            for first in range(0, len(shard.lengths), _AT_ONCE):
                yield from shard.read(first, min(first + _AT_ONCE, len(shard.lengths)))

    def provenance(self, i: int) -> Mapping[str, Any]:
        """Where episode i came from; reads nothing."""
        shard, k = self._place(i)
        return shard.episodes[k]["provenance"]

    def signals(self, i: int) -> Signals:
        """Joints, actions and labels of episode i; a shard's are decoded once when asked in order."""
        shard, k = self._place(i)
        if self._kept is None or self._kept[0] is not shard:
            self._kept = shard, {name: shard.rows(name, 0, len(shard.lengths)) for name in ("qpos", "gripper", "actions", "labelled")}
        a = int(shard.lengths[:k].sum())
        return Signals(**{name: values[a : a + int(shard.lengths[k])] for name, values in self._kept[1].items()})

    def first_rows(self, name: str) -> np.ndarray:
        """One array (`images/CAMERA`, `masks/CAMERA`, `qpos`, `state`, ...) at the first step of every episode, (E, ...), without the rest.

        Raises StoreError for a broken shard, and where shards hold states of different sizes.
        """
        rows = [shard.first_rows(name) for shard in self.shards if len(shard.lengths)]
        if len({part.shape[1:] for part in rows}) > 1:
            raise StoreError(f"{name} has another size in every shard: {sorted({part.shape[1:] for part in rows})}")
        return np.concatenate(rows) if rows else np.zeros((0, 0))

    def verify(self) -> dict[str, str]:
        """Reads every file again and compares checksums; what is wrong, by the names of the shards."""
        wrong = {}
        for shard in self.shards:
            try:
                shard.check(again=True)
                for first in range(0, len(shard.lengths), _AT_ONCE):
                    shard.read(first, min(first + _AT_ONCE, len(shard.lengths)))
            except StoreError as error:
                wrong[shard.name] = str(error)
        return wrong

    def _place(self, i: int) -> tuple[Shard, int]:
        if not -len(self) <= i < len(self):
            raise IndexError(f"episode {i} of {len(self)}")
        return self._places[i]


def open_dataset(path: str | Path | Sequence[str | Path]) -> Dataset:
    """Opens a dataset, or several of one contract one after the other. Reads one small file a shard.

    Raises:
        StoreError: there is none, it has another version, or a shard is broken.
    """
    paths = [Path(p) for p in ([path] if isinstance(path, str | Path) else path)]
    if not paths:
        raise StoreError("no dataset to open was given")
    infos = [read_info(p) for p in paths]
    for other, info in zip(paths[1:], infos[1:], strict=True):
        differences = infos[0].differences(info)
        if differences:
            raise StoreError(f"datasets {paths[0]} and {other} differ ({'; '.join(differences)[:300]})")
    return Dataset(infos[0], [Shard(folder, infos[0]) for p in paths for folder in sorted((p / "shards").glob("[!.]*.zarr"))])


def read_info(path: Path) -> DatasetInfo:
    """The description of a dataset. Raises StoreError."""
    file = path / "dataset.json"
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"no dataset at {path} ({error.strerror}); `cezanne collect out={path}` makes one") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{file} is not JSON: {error}; delete it and run collect again") from error
    return DatasetInfo.from_json(raw, str(file))
