"""`cezanne collect`: demonstrations of the expert on random toys, many processes, one shard a toy.

A toy's shard depends on the seed and the toy's number alone, so that a collector that was killed continues where it
stopped, and one process or many make the same data.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from tqdm import tqdm

from assets.graspable import Graspable
from assets.objects import open_objects
from assets.toys import ToySet
from episodes import Dataset, DatasetInfo, DatasetWriter, Episode, open_dataset
from episodes.dataset import read_info
from sim.camera import described
from sim.errors import SceneError
from sim.expert import VERSION, Expert, ExpertConfig
from sim.randomise import Randomisation, randomisation, sensed
from sim.robots import find_robot
from sim.scene import SceneConfig
from sim.simrobot import SimRobot
from sim.variation import PLAIN, Variation
from sim.workers import check_executor, share


@dataclass
class CollectConfig:
    """Demonstrations of the scripted expert on random toys."""

    out: str = "data/toys"
    """Folder of the data set; an interrupted one is continued."""
    toys: int = 250
    """Toys to play with."""
    demos: int = 2500
    """Demonstrations, spread evenly over the toys."""
    seed: int = 0
    """Of the toys and of everything that happens to them."""
    objects: str = ""
    """A set of objects (`cezanne objects list`), or a folder of them, to collect on instead of toys."""
    robot: str = "panda"
    """Whose hand plays: a name of `sim.robots`."""
    size: int = 128
    """Pictures are square, this many pixels a side."""
    randomise: list[str] = field(default_factory=list)
    """What is drawn anew for each demonstration: names of `sim.variation.AXES`, or `[all]`."""
    randomise_strength: list[float] = field(default_factory=lambda: [0.0, 1.0])
    """How strongly: between these, 0 to 1."""
    workers: int = 0
    """Processes; 0: one for each core, of a cluster one for each of its CPUs."""
    executor: str = "local"
    """Where they run: `local`, or `ray` (the folder of the data set must then be one that all machines see)."""
    address: str = "auto"
    """Of the Ray cluster: `auto` (the one that runs here), `local` (one of our own), HOST:PORT or ray://HOST:PORT."""
    expert: ExpertConfig = field(default_factory=ExpertConfig)

    def __post_init__(self) -> None:
        if self.toys < 1 or self.demos < 1:
            raise SceneError(f"toys={self.toys}, demos={self.demos}; at least one of each is needed")
        if self.seed < 0 or self.workers < 0:
            raise SceneError(f"seed={self.seed}, workers={self.workers}; neither can be negative")
        find_robot(self.robot)
        self.randomisation()
        check_executor(self.executor, self.address)

    def randomisation(self) -> Randomisation:
        """What differs between demonstrations. Raises SceneError where that makes no sense."""
        return randomisation(self.randomise, self.randomise_strength)


@dataclass(frozen=True)
class Job:
    """All demonstrations on one object."""

    number: int
    obj: Graspable
    demos: int

    @property
    def name(self) -> str:
        """Of its shard."""
        return f"{self.number:06d}"


@dataclass(frozen=True)
class Collector:
    """What a worker needs to do jobs. Called once in each worker."""

    path: Path
    info: DatasetInfo
    seed: int
    size: int
    robot: str
    expert: ExpertConfig
    randomised: Randomisation

    def __call__(self) -> Collector.Work:
        if not (self.path / "dataset.json").exists():  # the driver made it
            raise SceneError(f"{platform.node()} does not see {self.path}; choose out= on a file system that all machines share")
        backend = os.environ.get("MUJOCO_GL", "")
        drawn = {} if backend == read_info(self.path).fingerprint.get("gl") else {"gl": backend}
        return Collector.Work(self, DatasetWriter(self.path, self.info), drawn)

    def open(self, obj: Graspable, variation: Variation = PLAIN) -> SimRobot:
        """The robot with an object, not yet connected."""
        return SimRobot(SceneConfig(obj, size=self.size, robot=self.robot, variation=variation))

    def randomly(self, obj: Graspable, rng: np.random.Generator, said: dict[str, Any]) -> Episode | None:
        """A demonstration in a world of its own; None where the expert makes none there."""
        drawn = self.randomised.draw(rng.spawn(1)[0])  # a child: what `rng` gives is as in the plain world
        with self.open(obj, drawn.variation) as robot:
            episode = Expert(robot, self.expert).demonstrate(rng, said | drawn.provenance(robot.config))
            return episode and sensed(episode, robot.config)

    @dataclass(frozen=True)
    class Work:
        """One worker's open writer."""

        collector: Collector
        writer: DatasetWriter
        drawn: dict[str, str]
        """What an episode says of its pictures: the back end, where it is another than the data set's."""

        def __call__(self, job: Job) -> int:
            """Makes one object's shard and returns the number of its demonstrations."""
            made, episodes = self.collector, []
            with contextlib.ExitStack() as stack:
                plain = None if made.randomised.axes else stack.enter_context(made.open(job.obj))
                expert = plain and Expert(plain, made.expert)
                for attempt in range(2 * job.demos + 6):
                    if len(episodes) == job.demos:
                        break
                    rng = np.random.default_rng([made.seed, job.number, attempt])
                    said = {"seed": made.seed, "toy": job.number, "attempt": attempt, **self.drawn}
                    episode = expert.demonstrate(rng, said) if expert else made.randomly(job.obj, rng, said)
                    if episode is not None:
                        episodes.append(episode)
            self._write(job.name, episodes)
            return len(episodes)

        def _write(self, name: str, episodes: Sequence[Episode]) -> None:
            """One shard, and where clutter makes states of several sizes one for each: the one that says that all is there comes last."""
            by_size: dict[int, list[Episode]] = {}
            for episode in episodes:
                by_size.setdefault(episode.state.shape[1], []).append(episode)
            first, *others = by_size or {0: []}
            for size in others:
                if not self.writer.has(f"{name}-{size}"):
                    self.writer.write(f"{name}-{size}", by_size[size])
            self.writer.write(name, by_size.get(first, []))


def run(cfg: CollectConfig) -> dict[str, Any]:
    """Collects what is missing of the data set and says what it then holds."""
    begin = time.monotonic()
    out = Path(cfg.out)
    objects, toys = _objects(cfg)
    if cfg.demos < len(objects):
        raise SceneError(f"demos={cfg.demos} on {len(objects)} objects; at least one each is needed")
    info = _info(cfg, objects)
    _refuse_other(out, info)
    collector = Collector(out, info, cfg.seed, cfg.size, cfg.robot, cfg.expert, cfg.randomisation())
    writer = DatasetWriter(out, collector.info)
    if toys is not None:
        toys.save(out / "toys.json")
    share_of, extra = divmod(cfg.demos, len(objects))
    jobs = [Job(k, obj, share_of + (k < extra)) for k, obj in enumerate(objects)]
    todo = [job for job in jobs if not writer.has(job.name)]
    if len(todo) < len(jobs):
        print(f"{out}: {len(jobs) - len(todo)} of {len(jobs)} objects are there already", file=sys.stderr)
    made, failed, stalls = 0, [], Counter[str]()
    with tqdm(total=sum(job.demos for job in todo), desc="collect", unit="demo", disable=not todo) as bar:
        for done in share(collector, todo, cfg.workers or None, executor=cfg.executor, address=cfg.address):
            stalls.update(done.stalls)
            if done.error:
                failed.append(done)
                bar.write(f"object {todo[done.index].obj.name}: {done.error}", file=sys.stderr)
                continue
            made += done.value
            bar.total -= todo[done.index].demos - done.value
            bar.update(done.value)
    if failed:
        raise SceneError(
            f"{len(failed)} of {len(jobs)} objects failed, the first with: {failed[0].error}; the rest is kept, run again to continue"
        )
    return _summary(open_dataset(out), len(jobs), made, time.monotonic() - begin, stalls)


def _objects(cfg: CollectConfig) -> tuple[tuple[Graspable, ...], ToySet | None]:
    if cfg.objects:
        return tuple(open_objects(cfg.objects).objects), None
    toys = ToySet.sample(cfg.seed, cfg.toys)
    return toys.toys, toys


def _info(cfg: CollectConfig, objects: tuple[Graspable, ...]) -> DatasetInfo:
    """What must agree for two shards to be of one data set."""
    config, arm = SceneConfig(objects[0], size=cfg.size, robot=cfg.robot), find_robot(cfg.robot)
    cameras = {camera.name: described(camera, cfg.size) for camera in config.cameras}
    silent = {"out", "workers", "executor", "address"} | (set() if cfg.randomise else {"randomise", "randomise_strength"})
    settings = {key: value for key, value in dataclasses.asdict(cfg).items() if key not in silent}
    made_by = {"mujoco": mujoco.__version__, "gl": os.environ.get("MUJOCO_GL", ""), "expert": VERSION, "settings": settings}
    return DatasetInfo(config.rate, arm.name, arm.joints, cameras, gripper=len(arm.hand.values), fingerprint=made_by)


def _refuse_other(out: Path, info: DatasetInfo) -> None:
    """Raises SceneError where the folder holds what other settings made."""
    if not (out / "dataset.json").exists():
        return
    there = open_dataset(out).info.fingerprint
    ours = info.fingerprint
    if there.get("settings") != ours["settings"] or there.get("expert") != ours["expert"]:
        was, now = ({"expert": made.get("expert"), **made.get("settings", {})} for made in (there, ours))
        differ = ", ".join(f"{key} was {was.get(key)} and is {now.get(key)}" for key in {**now, **was} if was.get(key) != now.get(key))
        raise SceneError(f"{out} was collected with other settings ({differ}); choose another out=, or remove it")


def _summary(dataset: Dataset, toys: int, made: int, seconds: float, stalls: Counter[str]) -> dict[str, Any]:
    solved = {dataset.provenance(k)["toy"] for k in range(len(dataset))}
    return {
        "demonstrations": len(dataset),
        "toys": toys,
        "toys_solved": len(solved),
        "seconds": round(seconds, 1),
        "per_minute": round(60 * made / seconds, 1) if made else 0.0,
        "render_stalls": dict(stalls),
    }
