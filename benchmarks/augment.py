"""Rates of the augmentations: `python -m benchmarks.augment`.

Offline ones work on simulated demonstrations of two cameras, in one process and in two, each with one thread; the photometric sets also on
batches of tensors, beside torchvision's v2 transforms applied picture by picture (and kornia's, where it is installed) with the same
ranges. A frame is a picture of one camera. Medians of the rounds count; the first is not counted.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from augment.catalogue import open_chain
from augment.config import AugmentConfig
from augment.online import Photometric
from augment.photometric import SETS
from augment.world import World
from episodes import open_dataset
from sim.collect import CollectConfig, run

SIZE, BATCH = 128, 32
OFFLINE: dict[str, tuple[str, ...]] = {
    "viewpoint": (),
    "warp_depth": ("viewpoint", "method=depth"),
    "warp_plane": ("viewpoint", "method=plane"),
    "background": (),
    "table": (),
    "swap": (),
    "embodiment": (),
    "photometric": (),
}
"""What a row is called: the augmentation and its settings, where they are not what the name says and the defaults."""
FLAT = ("warp_plane", "background", "table", "swap", "photometric")
"""The 2-D ones."""


def offline(name: str, data: Path, episodes: int, rounds: int) -> float:
    """Frames per second of one process, one thread."""
    torch.set_num_threads(1)
    augmentation, *settings = OFFLINE[name] or (name,)
    config = AugmentConfig(data=str(data), chain=[augmentation])
    for setting in settings:
        key, value = setting.split("=")
        setattr(getattr(config, augmentation), key, value)
    dataset = open_dataset(data)
    with World.open(data) as world:
        chain = open_chain(config.chain, config.settings, world)
        chosen = [dataset[k] for k in range(min(episodes, len(dataset)))]
        frames = sum(len(episode) * len(episode.images) for episode in chosen)
        rates = []
        for k in range(rounds + 1):
            start = time.perf_counter()
            for n, episode in enumerate(chosen):
                chain(episode, np.random.default_rng([k, n]))
            rates.append(frames / (time.perf_counter() - start))
    return statistics.median(rates[1:])


def in_processes(count: int, name: str, data: Path, episodes: int, rounds: int) -> float:
    """Frames per second of `count` processes together, after each has opened what it needs."""
    with multiprocessing.get_context("spawn").Pool(count) as pool:
        return sum(pool.starmap(offline, [(name, data, episodes, rounds)] * count))


def peers(name: str) -> Iterator[tuple[str, Callable[[Tensor], Tensor]]]:
    """Others' ways to do what the set `openvla` or `pi0` does, of pictures (S, 3, H, W) u8."""
    area, bright, contrast, saturation, hue, degrees = {
        "openvla": (0.9, 0.2, 0.2, 0.2, 0.05, 0),
        "pi0": (0.9025, 0.3, 0.4, 0.5, 0.0, 5),
    }[name]
    steps: list[Any] = [v2.RandomResizedCrop(SIZE, (area, area), (1.0, 1.0), antialias=False)]
    steps += [v2.RandomRotation([-degrees, degrees], v2.InterpolationMode.BILINEAR)] if degrees else []
    chain = v2.Compose([*steps, v2.ColorJitter(bright, contrast, saturation, hue)])
    yield "torchvision", lambda pictures: torch.stack([chain(picture) for picture in pictures])
    try:
        import kornia.augmentation as kornia  # pyright: ignore[reportMissingImports]
    except ImportError:
        return
    theirs = kornia.AugmentationSequential(
        kornia.RandomResizedCrop((SIZE, SIZE), (area, area), (1.0, 1.0)),
        *([kornia.RandomRotation(degrees)] if degrees else []),
        kornia.ColorJitter(bright, contrast, saturation, hue),
        data_keys=["input"],
    )
    yield "kornia", lambda pictures: theirs(pictures.float() / 255).mul(255).round().to(torch.uint8)


def batched(call: Callable[[Tensor], object], pictures: Tensor, rounds: int) -> float:
    """Frames per second, the device's work included."""
    rates = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        call(pictures)
        if pictures.is_cuda:
            torch.cuda.synchronize()
        rates.append(len(pictures) / (time.perf_counter() - start))
    return statistics.median(rates[1:])


def ours(name: str, pictures: Tensor) -> object:
    """Our set on pictures (S, 3, H, W) and masks made of them."""
    return Photometric(SETS[name])(pictures[:, None], pictures[:, None, 0] > 127)


def online(device: str, rounds: int) -> Iterator[dict[str, Any]]:
    """Rows of the batched sets and their peers, with one thread."""
    torch.set_num_threads(1)
    pictures = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (BATCH, 3, SIZE, SIZE), np.uint8)).to(device)
    for name in SETS:
        if name == "none":
            continue
        row: dict[str, Any] = {
            "row": f"online_{name}",
            "device": device,
            "frames_per_second": batched(partial(ours, name), pictures, rounds),
        }
        if name in ("openvla", "pi0"):
            row |= {peer: batched(call, pictures, rounds) for peer, call in peers(name)}
        yield row


def main(argv: Sequence[str] | None = None) -> None:
    """A JSON line a row; the last line is the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="demonstrations; made anew where none are named")
    parser.add_argument("--episodes", type=int, default=2, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each")
    parser.add_argument("--only", nargs="*", choices=[*OFFLINE, "online"], default=[*OFFLINE, "online"], help="rows")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="of the batches")
    arguments = parser.parse_args(argv)
    rates: dict[str, float] = {}
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data or Path(folder) / "data"
        if arguments.data is None and set(arguments.only) - {"online"}:
            run(CollectConfig(out=str(data), toys=2, demos=arguments.episodes, size=SIZE, workers=1))
        for name in OFFLINE:
            if name in arguments.only:
                one, two = (in_processes(n, name, data, arguments.episodes, arguments.rounds) for n in (1, 2))
                rates[name] = two
                print(json.dumps({"row": name, "one_process": round(one), "two_processes": round(two)}), flush=True)
    for row in online(arguments.device, arguments.rounds) if "online" in arguments.only else ():
        rates[row["row"]] = row["frames_per_second"]
        if "torchvision" in row:
            ratios[row["row"]] = row["frames_per_second"] / row["torchvision"]
        print(json.dumps({key: round(value) if isinstance(value, float) else value for key, value in row.items()}), flush=True)
    flat = [rates[name] for name in FLAT if name in rates]
    summary = {
        "least_flat_frames_per_second": round(min(flat)) if flat else None,
        "ratio_torchvision": {name: round(ratio, 2) for name, ratio in ratios.items()},
        "frames_per_second": {name: round(rate) for name, rate in rates.items()},
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
