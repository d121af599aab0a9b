"""`cezanne augment`: a data set made wider. Every episode goes through a chain of augmentations, and may stay beside what comes out.

What is drawn for a copy depends on the seed, the shard, the episode and the number of the copy alone, so that a run that was killed
continues where it stopped, and one process or many make the same data.
"""

from __future__ import annotations

import enum
import hashlib
import json
import os
import platform
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import mujoco
import numpy as np
from tqdm import tqdm

from augment.augmentation import Chain
from augment.catalogue import open_chain
from augment.config import AugmentConfig
from augment.errors import AugmentError
from augment.refusals import Refusal, Refusals
from augment.sheet import draw_sheet
from augment.world import World
from episodes import Dataset, DatasetInfo, DatasetWriter, Episode, open_dataset
from episodes.dataset import read_info
from episodes.picture import write_picture
from sim.workers import share

VERSION = 1
"""Of what the same settings draw. Raise it when a change makes other episodes of them."""

_AT_ONCE = 24
"""Episodes of a shard that is made, if not more come of one: what a worker holds in memory, and what a killed run loses at most."""
_SHOWN = 4
"""Episodes on the contact sheet."""


@dataclass(frozen=True)
class Job:
    """Some episodes of one shard of the source, which become one shard."""

    shard: str
    part: int
    first: int
    last: int
    """Episodes of the shard, from `first` to before `last`."""

    @property
    def name(self) -> str:
        """Of the shard that is made."""
        return f"{self.shard}-{self.part:04d}"


@dataclass(frozen=True)
class Made:
    """What came of one job."""

    episodes: int
    """Augmented ones."""
    pictures: int
    """In them, of all cameras."""


@dataclass(frozen=True)
class Widener:
    """What a worker needs to do jobs. Called once in each worker."""

    data: Path
    out: Path
    info: DatasetInfo
    chain: Sequence[str]
    settings: Mapping[str, Any]
    copies: int
    keep: bool
    seed: int

    def __call__(self) -> Widener.Work:
        if not (self.out / "dataset.json").exists():  # the driver made it
            raise AugmentError(f"{platform.node()} does not see {self.out}; choose out= on a file system that all machines share")
        dataset = open_dataset(self.data)
        chain = open_chain(self.chain, self.settings, World.open(self.data))
        backend = os.environ.get("MUJOCO_GL", "")
        drawn = {} if backend == read_info(self.out).fingerprint["versions"].get("gl") else {"gl": backend}
        return Widener.Work(self, dataset, chain, DatasetWriter(self.out, self.info), drawn)

    @dataclass(frozen=True)
    class Work:
        """One worker's open chain; it stays open for as long as the worker lives."""

        of: Widener
        dataset: Dataset
        chain: Chain
        writer: DatasetWriter
        drawn: dict[str, str]
        """What an episode says of its pictures: the back end, where it is another than the data set's."""

        def __call__(self, job: Job) -> Made:
            """Makes one shard. What an augmentation refuses is noted, and left out."""
            shard = next(shard for shard in self.dataset.shards if shard.name == job.shard)
            kept: list[Episode] = []
            made: list[Episode] = []
            refused = []
            for k, episode in enumerate(shard.read(job.first, job.last), job.first):
                if self.of.keep:
                    kept.append(episode)
                for copy in range(self.of.copies):
                    try:
                        made.append(self._copy(episode, job.shard, k, copy))
                    except AugmentError as error:
                        refused.append(Refusal(job.shard, k, copy, str(error)))
            Refusals(self.of.out).write(job.name, refused)
            self.writer.write(job.name, [*kept, *made])
            return Made(len(made), sum(len(episode) * len(episode.images) for episode in made))

        def _copy(self, episode: Episode, shard: str, k: int, copy: int) -> Episode:
            named = int.from_bytes(hashlib.sha256(shard.encode()).digest()[:8], "little")
            new = self.chain(episode, np.random.default_rng([self.of.seed, named, k, copy]))
            origin = {"source": self.of.info.fingerprint["augment"]["source"], "shard": shard, "episode": k, "copy": copy}
            return replace(new, provenance={**new.provenance, **self.drawn, "origin": origin})


def run(cfg: AugmentConfig) -> dict[str, Any]:
    """Makes what is missing of the new data set and says what it then holds; `frames` are pictures of one camera made by this run."""
    begin = time.monotonic()
    data, out = Path(cfg.data), Path(cfg.out)
    if (data / "meta" / "info.json").exists():
        raise AugmentError(f"{data} is a LeRobot data set, which has no masks of its target; augment reads data sets of `cezanne collect`")
    source = open_dataset(data)
    if data.resolve() == out.resolve():
        raise AugmentError(f"out={out} is the data set itself, which is only read; choose another out=")
    if not len(source):
        raise AugmentError(f"{data} holds no episode to augment")
    info = _info(cfg, source, data)
    _refuse_other(out, info)
    writer = DatasetWriter(out, info)
    if (data / "toys.json").exists():
        shutil.copyfile(data / "toys.json", out / "toys.json")
    jobs = list(_jobs(source, max(1, _AT_ONCE // (cfg.copies + cfg.keep))))
    todo = [job for job in jobs if not writer.has(job.name)]
    if len(todo) < len(jobs):
        print(f"{out}: {len(jobs) - len(todo)} of {len(jobs)} parts are there already", file=sys.stderr)
    pictures, failed, stalls = 0, [], Counter[str]()
    work = Widener(data, out, info, tuple(cfg.chain), cfg.settings, cfg.copies, cfg.keep, cfg.seed)
    with tqdm(total=cfg.copies * sum(job.last - job.first for job in todo), desc="augment", unit="episode", disable=not todo) as bar:
        done_by = share(work, todo, cfg.workers or None, key=lambda job: job.shard, executor=cfg.executor, address=cfg.address)
        for done in done_by:
            job = todo[done.index]
            stalls.update(done.stalls)
            if done.error:
                failed.append(done)
                bar.write(f"shard {job.name}: {done.error}", file=sys.stderr)
                continue
            pictures += done.value.pictures
            bar.update(cfg.copies * (job.last - job.first))
    if failed:
        raise AugmentError(
            f"{len(failed)} of {len(jobs)} parts failed, the first with: {failed[0].error}; the rest is kept, run again to continue"
        )
    return {**_summary(cfg, source, open_dataset(out), pictures, time.monotonic() - begin), "render_stalls": dict(stalls)}


def _jobs(source: Dataset, at_once: int) -> Iterator[Job]:
    for shard in source.shards:
        for part, first in enumerate(range(0, len(shard.lengths), at_once)):
            yield Job(shard.name, part, first, min(first + at_once, len(shard.lengths)))


def _info(cfg: AugmentConfig, source: Dataset, data: Path) -> DatasetInfo:
    """The contract of what comes out, and what made it."""
    with World.open(data) as world:
        info = open_chain(cfg.chain, cfg.settings, world).contract(source.info)
    if cfg.keep and (differences := source.info.differences(info)):
        said = "; ".join(differences)[:200]
        raise AugmentError(f"chain=[{','.join(cfg.chain)}] makes episodes that do not fit beside the originals ({said}); say keep=false")
    made_by = {
        "version": VERSION,
        "source": _digest(source),
        "chain": list(cfg.chain),
        "settings": {name: _plain(settings) for name, settings in cfg.settings.items()},
        "copies": cfg.copies,
        "keep": cfg.keep,
        "drawn_from": cfg.seed,  # not called a seed: who looks for the seed of the toys finds that of the source
    }
    versions = {"numpy": np.__version__, "opencv": cv2.__version__, "mujoco": mujoco.__version__, "gl": os.environ.get("MUJOCO_GL", "")}
    return replace(info, fingerprint={"augment": made_by, "versions": versions, "source": dict(source.info.fingerprint)})


def _digest(source: Dataset) -> str:
    """Of a data set's content: a shard's description has the checksums of all its files."""
    found = hashlib.sha256(json.dumps(source.info.to_json(), sort_keys=True).encode())
    for shard in source.shards:
        found.update(shard.name.encode() + b"\0" + hashlib.sha256((shard.folder / "zarr.json").read_bytes()).digest())
    return found.hexdigest()[:32]


def _plain(settings: Any) -> Any:
    """A configuration as JSON values."""
    return json.loads(
        json.dumps(asdict(settings), default=lambda value: value.name.lower() if isinstance(value, enum.Enum) else str(value))
    )


def _refuse_other(out: Path, info: DatasetInfo) -> None:
    """Raises AugmentError where the folder holds what other settings made."""
    if not (out / "dataset.json").exists():
        return
    there, ours = read_info(out).fingerprint.get("augment"), info.fingerprint["augment"]
    if not isinstance(there, dict):
        raise AugmentError(f"{out} holds a data set that was not made by augment; choose another out=")
    differ = [f"{key} was {there.get(key)} and is {ours[key]}" for key in ours if there.get(key) != ours[key]]
    if differ:
        said = "; ".join(differ)[:400]
        raise AugmentError(f"{out} was augmented with other settings or from other data ({said}); choose another out=, or remove it")


def _summary(cfg: AugmentConfig, source: Dataset, dataset: Dataset, pictures: int, seconds: float) -> dict[str, Any]:
    out = Path(cfg.out)
    ours = dataset.info.fingerprint["augment"]["source"]
    augmented = [i for i in range(len(dataset)) if dataset.provenance(i).get("origin", {}).get("source") == ours]
    refusals = Refusals(out)
    if not augmented:
        raise AugmentError(f"no episode of {cfg.data} could be augmented; the first because: {refusals.read()[0].reason}")
    page = out / "sheet.png"
    shown = [augmented[k] for k in np.unique(np.linspace(0, len(augmented) - 1, _SHOWN).round().astype(int))]
    write_picture(page, draw_sheet([(_origin(source, dataset.provenance(i)), dataset[i]) for i in shown]))
    return {
        "episodes": len(dataset),
        "augmented": len(augmented),
        "left_out": refusals.count(),
        "frames": pictures,
        "frames_per_second": round(pictures / seconds, 1),
        "seconds": round(seconds, 1),
        "out": str(out),
        "sheet": str(page),
    }


def _origin(source: Dataset, provenance: Mapping[str, Any]) -> Episode:
    """The episode that an augmented one was made of."""
    origin = provenance["origin"]
    shard = next(shard for shard in source.shards if shard.name == origin["shard"])
    return shard.read(origin["episode"], origin["episode"] + 1)[0]
