"""Samples a second of training's loader beside LeRobot's and a plain memory map: `python -m benchmarks.loader`.

The same episodes, batch, workers and machine; a sample is 1 or 8 moments of all cameras, proprioception and the chunk of actions. All are
measured in turn, and the median of the rounds counts. What each gives:

    whole       ours: uint8 patches of 16 px of whole pictures (what pooling=mean and its like train on) with the target's pixels, augmented
    object      ours: the object's patches of 8 px alone, 12 of a picture, as the default pooling trains on
    memmap      the pixels of `whole`, from a numpy memory map by random rows, and nothing else: the ceiling
    memmap_object   the pixels of `object`, likewise
    video       LeRobotDataset, H.264 by pyav, through torch's DataLoader: float32 (3, H, W) in [0, 1] of all cameras, masks packed
    images      LeRobotDataset, PNG, likewise
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from episodes import DatasetWriter, open_dataset
from episodes.dataset import Dataset
from episodes.lerobot_export import export
from policies.cache import Kept, open_cache
from policies.loader import open_loader
from policies.patches import Keep
from policies.sampler import Sampler

CHUNK, EXECUTE, STRIDE = 16, 4, 2
"""Actions of a sample, steps between the moments of its history, steps between samples."""
FRAMES = (1, 8)
Batches = Callable[[], Iterator[object]]
"""Opens a loader that never ends."""


@dataclass(frozen=True)
class Settings:
    """What all loaders have in common."""

    batch: int
    workers: int
    seed: int


def samples(dataset: Dataset, folder: Path, keep: Keep, frames: int) -> Sampler:
    """Ours, as training opens it."""
    sparse = keep is Keep.OBJECT
    cache = open_cache(folder / keep.value, dataset, Kept(8 if sparse else 16, keep, STRIDE, holdout=0.0, seed=0))
    return Sampler(
        cache,
        chunk=CHUNK,
        execute=EXECUTE,
        history=frames,
        joints=len(dataset.info.joints),
        cap=48 if sparse else 0,
        training_cap=12 if sparse else 0,
        proprio_noise=0.01,
        colour=True,
        plain=sparse,
        before_closing=0.3,
    )


def memory_map(sampler: Sampler, settings: Settings) -> Iterator[np.ndarray]:
    """The pixels of as many whole pictures as the sampler's batches hold, by random rows."""
    pixels, pictures = sampler.cache.pixels, len(sampler.cache.offsets) - 1
    rows = np.memmap(sampler_file(sampler), np.uint8, "r", shape=(pictures, pixels.size // pictures))
    rng = np.random.default_rng(settings.seed)
    while True:
        yield rows[rng.integers(pictures, size=settings.batch * sampler.history * sampler.cache.cameras)]


def sampler_file(sampler: Sampler) -> Path:
    """Where the pixels of a sampler's cache are."""
    base: Any = sampler.cache.pixels
    while not isinstance(base, np.memmap):
        base = base.base
    return Path(str(base.filename))


def lerobot(root: Path, dataset: Dataset, frames: int, settings: Settings) -> Batches:
    """LeRobot's, as its own training opens it, shuffled anew without an end; the dataset itself is opened once."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    fps = round(dataset.info.fps)
    back = [-EXECUTE * k / fps for k in range(frames - 1, -1, -1)]
    pictures = {f"observation.images.{name}": back for name in dataset.info.cameras}
    deltas = pictures | {"observation.state": back, "action": [k / fps for k in range(CHUNK)]}
    data: Any = LeRobotDataset(f"local/{root.name}", root=root, delta_timestamps=deltas, video_backend="pyav")

    def batches() -> Iterator[dict[str, Any]]:
        order = torch.Generator().manual_seed(settings.seed)
        loader: Any = torch.utils.data.DataLoader
        while True:
            yield from loader(data, settings.batch, shuffle=True, num_workers=settings.workers, drop_last=True, generator=order)

    return batches


def rate(batches: Batches, settings: Settings, least: float) -> float:
    """Samples a second, over `least` seconds or one batch of each worker; the first batches are not counted."""
    opened: Any = batches()
    with closing(opened):
        for _ in range(1 + 2 * settings.workers):  # what lay ready
            next(opened)
        start, n = time.perf_counter(), 0
        while n < max(1, settings.workers) or time.perf_counter() - start < least:
            next(opened)
            n += 1
        return n * settings.batch / (time.perf_counter() - start)


def loaders(dataset: Dataset, folder: Path, frames: int, settings: Settings) -> dict[str, Batches]:
    """By name."""
    whole, some = (samples(dataset, folder, keep, frames) for keep in (Keep.ALL, Keep.OBJECT))
    return {
        "whole": lambda: open_loader(whole, settings.seed, 0, settings.batch, settings.workers),
        "memmap": lambda: memory_map(whole, settings),
        "object": lambda: open_loader(some, settings.seed, 0, settings.batch, settings.workers),
        "video": lerobot(folder / "video", dataset, frames, settings),
        "images": lerobot(folder / "images", dataset, frames, settings),
    }


def first_episodes(data: Path | None, n: int, folder: Path) -> Dataset:
    """A dataset of the first episodes of another, or of new demonstrations where none is given."""
    if data is None:
        from sim.collect import CollectConfig, run

        data = folder / "collected"
        run(CollectConfig(toys=max(2, n // 2), demos=n, out=str(data), seed=7))
    given = open_dataset(data)
    n = min(n, len(given))
    print(f"{n} episodes of {given.info.robot}", file=sys.stderr)
    DatasetWriter(folder / "data", given.info).write("first", [given[i] for i in range(n)])
    return open_dataset(folder / "data")


def main() -> None:
    """Prints the figures; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="dataset folder; without it, demonstrations are collected")
    parser.add_argument("--episodes", type=int, default=24, help="the first n of it")
    parser.add_argument("--batch", type=int, default=64, help="samples of a batch")
    parser.add_argument("--workers", type=int, default=0, help="of each loader: threads of ours, processes of LeRobot's, none of the map's")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each, in turn")
    parser.add_argument("--seconds", type=float, default=0.5, help="least time of a measurement [s]")
    arguments = parser.parse_args()
    settings = Settings(arguments.batch, arguments.workers, seed=0)
    figures: dict[str, Any] = {"batch": settings.batch, "workers": settings.workers}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        dataset = first_episodes(arguments.data, arguments.episodes, folder)
        for name in ("video", "images"):
            export(dataset, folder / name, videos=name == "video", masks=False)
        for frames in FRAMES:
            made = loaders(dataset, folder, frames, settings)
            found: dict[str, list[float]] = {name: [] for name in made}
            for _ in range(arguments.rounds):
                for name, batches in made.items():
                    found[name].append(rate(batches, settings, arguments.seconds))
                    print(f"{frames} frames a sample, {name}: {found[name][-1]:.0f} samples/s", file=sys.stderr)
            middle = {name: statistics.median(rates) for name, rates in found.items()}
            for name, rates in found.items():
                print(f"{frames} frames a sample, {name}: {middle[name]:.0f} samples/s ({min(rates):.0f} to {max(rates):.0f})")
            figures |= {f"{name}_{frames}": round(x, 1) for name, x in middle.items()}
            figures |= {f"ratio_lerobot_{name}_{frames}": round(middle["whole"] / middle[name], 1) for name in ("video", "images")}
            figures[f"fraction_of_memmap_{frames}"] = round(middle["whole"] / middle["memmap"], 2)
            figures[f"object_of_memmap_{frames}"] = round(middle["object"] / middle["memmap"], 2)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
