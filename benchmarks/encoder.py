"""Token dropping against its masked reference: `python -m benchmarks.encoder --size tiny|small|large`.

The same ViT with detection pooling over the same pictures and masks, in one process, in turn: once on the object's tokens alone, once on
all tokens under the attention mask; forward, and forward and backward; in float32, and with the matrix products in bfloat16. The median of
the rounds counts. Then the most memory that each needs beyond weights and their gradients, each in a process of its own.

Pictures are of 224 px, half by a camera beside the table, half by one at the wrist. Their masks are ellipses that touch as many of the 196
patches as masks of toys do (`TOUCHED`); `--data FOLDER` takes pictures and masks of a data set instead, enlarged to 224 px, and says how
many patches they touch.

`--paths` compares what computes the attention alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import memory
from benchmarks.kernels import contenders
from policies.attention import Kernel
from policies.config import EncoderConfig, Masking, Pooling
from policies.encoder import Encoder
from policies.reference import encode_masked

SIZE, PATCH = 224, 16
SIZES = {
    "tiny": EncoderConfig(Pooling.det, Masking.patch, patch=PATCH, dim=128, layers=4, heads=4, cap=0),
    "small": EncoderConfig(Pooling.det, Masking.patch, patch=PATCH, dim=384, layers=12, heads=6, cap=0),
    "large": EncoderConfig(Pooling.det, Masking.patch, patch=PATCH, dim=1024, layers=24, heads=16, cap=0),
}
"""As wide as the encoder of our default training; ViT-S/16 and ViT-L/16."""
PICTURES, ROUNDS = {"tiny": 128, "small": 16, "large": 4}, {"tiny": 7, "small": 7, "large": 3}
TOUCHED = {"side": (2, 6, 7, 8, 10, 11, 13, 14, 16, 20, 64), "wrist": (1, 8, 13, 19, 24, 29, 35, 43, 52, 74, 140)}
"""Patches that a mask touches, smallest, tenths, largest: 1,200 masks of each camera of 200 demonstrations of toys, from 128 px."""
PRECISIONS = {"float32": False, "bfloat16": True}
SIDES = ("dropped", "reference")


def pictures(rng: np.random.Generator, n: int) -> tuple[Tensor, Tensor]:
    """n pictures (n, 1, 3, H, W) u8, and ellipses (n, 1, H, W) bool that touch as many patches as masks of toys do, evenly few and many."""
    images = rng.integers(0, 256, (n, 1, 3, SIZE, SIZE), np.uint8)
    quantiles = list(TOUCHED.values())
    level = 10 * (np.arange(n) // 2 + 0.5) / max(1.0, n / 2)  # in tenths
    masks = [ellipse(rng, round(float(np.interp(level[i], np.arange(11), quantiles[i % 2])))) for i in range(n)]
    return torch.from_numpy(images), torch.from_numpy(np.stack(masks))[:, None]


def ellipse(rng: np.random.Generator, patches: int) -> np.ndarray:
    """An ellipse that touches about so many patches, (H, W) bool."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    centre, stretch = rng.uniform(0.25 * SIZE, 0.75 * SIZE, 2), rng.uniform(0.6, 1.6)
    distance = np.hypot((x - centre[0]) * stretch, (y - centre[1]) / stretch)  # (H, W)
    reached = np.sort(distance.reshape(SIZE // PATCH, PATCH, SIZE // PATCH, PATCH).min((1, 3)).ravel())  # when each patch is
    return distance <= reached[patches - 1]


def recorded(folder: Path, rng: np.random.Generator, n: int) -> tuple[Tensor, Tensor]:
    """The same of a data set: random moments, its cameras in turn, without the moments that do not show the object."""
    from episodes import open_dataset

    dataset = open_dataset(folder)
    names = list(dataset.info.cameras)
    images, masks = [], []
    while len(images) < n:
        episode, camera = dataset[int(rng.integers(len(dataset)))], names[len(images) % len(names)]
        t = rng.choice(np.flatnonzero(episode.masks[camera].any((1, 2))))
        rows, columns = (np.arange(SIZE) * side // SIZE for side in episode.masks[camera].shape[1:])
        images.append(episode.images[camera][t][rows][:, columns].transpose(2, 0, 1))
        masks.append(episode.masks[camera][t][rows][:, columns])
    return torch.from_numpy(np.stack(images))[:, None], torch.from_numpy(np.stack(masks))[:, None]


class Race:
    """Both sides on the same pictures and weights."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.device = torch.device(arguments.device)
        torch.manual_seed(arguments.seed)
        self.encoder = Encoder(SIZES[arguments.size], cameras=1, size=(SIZE, SIZE)).to(self.device)
        self.encoder.kernel = Kernel(arguments.kernel) if arguments.kernel else None
        rng, n = np.random.default_rng(arguments.seed), arguments.pictures
        images, masks = recorded(Path(arguments.data), rng, n) if arguments.data else pictures(rng, n)
        self.images, self.masks = images.to(self.device), masks.to(self.device)

    def run(self, side: str, half: bool, backward: bool, n: int | None = None) -> Tensor:
        """Vectors of the first n pictures, all unless said; gradients of all weights too."""
        images, masks = self.images[:n], self.masks[:n]
        with torch.set_grad_enabled(backward), torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            out = self.encoder(images, masks) if side == "dropped" else encode_masked(self.encoder, images, masks)
        if backward:
            out.float().square().sum().backward()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return out.detach()

    def milliseconds(self, rounds: int, half: bool, backward: bool) -> dict[str, float]:
        """The median of each side, in turn [ms]."""
        times = {side: [] for side in SIDES}
        for k in range(rounds + 1):
            for side in SIDES:
                taken = clock(lambda side=side: self.run(side, half, backward))
                if k:  # the first is not counted: memory is fetched, code is made
                    times[side].append(taken)
        return {side: statistics.median(found) for side, found in times.items()}

    def megabytes(self, side: str, half: bool, backward: bool) -> float | None:
        """The most that a side holds beyond what is there before: weights, pictures and, with a backward pass, gradients."""
        self.run("dropped", half, backward, n=1)  # gradients are there from now on
        before = memory.start(self.device)
        self.run(side, half, backward)
        most = memory.peak(self.device)
        return None if before is None or most is None else most - before


def clock(call: Callable[[], object]) -> float:
    """How long one call takes [ms]."""
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def compare(race: Race, arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures, printed one by one."""
    tokens = race.encoder.cut(race.images, race.masks).lengths.float()
    threads = f", {torch.get_num_threads()} threads" if race.device.type == "cpu" else f", {torch.cuda.get_device_name()}"
    print(f"{arguments.size}: {len(tokens)} pictures, {tokens.mean():.1f} of {(SIZE // PATCH) ** 2} patches{threads}", flush=True)
    difference = (race.run("dropped", False, False) - race.run("reference", False, False)).abs().max().item()
    print(f"largest difference in float32 {difference:.1e}", flush=True)
    figures: dict[str, Any] = {"size": arguments.size, "tokens": round(tokens.mean().item(), 1), "max_difference": difference}
    for precision in arguments.precisions:
        for backward in (False, True):
            half, name = PRECISIONS[precision], f"{'forward and backward' if backward else 'forward'}, {precision}"
            times = race.milliseconds(arguments.rounds, half, backward)
            held = {} if arguments.no_memory else {side: _apart(arguments, side, precision, backward) for side in SIDES}
            row = {"ms": {k: round(v, 1) for k, v in times.items()}, "ratio": round(times["reference"] / times["dropped"], 2)}
            text = f"{name}: {times['dropped']:.1f} ms against {times['reference']:.1f} ms, ratio {row['ratio']}"
            known = {side: found for side, found in held.items() if found is not None}
            if len(known) == len(SIDES):
                row |= {"mb": known, "memory": round(known["dropped"] / known["reference"], 3)}
                text += f"; {known['dropped']:.0f} MB against {known['reference']:.0f} MB, {100 * row['memory']:.0f} %"
            print(text, flush=True)
            figures[name] = row
    return figures


def _apart(arguments: argparse.Namespace, side: str, precision: str, backward: bool) -> float | None:
    """Megabytes of one side, in a process of its own."""
    options = [f"--{name}={getattr(arguments, name)}" for name in ("size", "pictures", "seed", "device", "data", "kernel")]
    command = [sys.executable, "-m", "benchmarks.encoder", *options, "--precisions", precision, f"--alone={side}:{int(backward)}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the process that measures memory ended with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout.splitlines()[-1])


def kernels(race: Race, arguments: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of one layer's attention, by what computes it."""
    config, figures = SIZES[arguments.size], {}
    lengths = race.encoder.cut(race.images, race.masks).lengths
    lengths = lengths.clamp(max=arguments.cap) if arguments.cap else lengths
    for precision in arguments.precisions:
        half = PRECISIONS[precision]
        dtype = torch.bfloat16 if half else torch.float32
        qkv = torch.randn(int(lengths.sum()), 3 * config.dim, device=race.device, dtype=dtype, requires_grad=True)
        for backward in (False, True):
            calls = contenders(lengths, config.heads, half, backward)
            times = {name: [] for name in calls}
            for k in range(arguments.rounds + 1):
                for name, call in calls.items():
                    with torch.set_grad_enabled(backward):
                        taken = clock(lambda call=call, qkv=qkv, backward=backward: _attention(call, qkv, backward))
                    if k:
                        times[name].append(taken)
            row = {name: round(statistics.median(found), 3) for name, found in times.items()}
            label = f"{'forward and backward' if backward else 'forward'}, {precision}"
            print(f"{label}: " + ", ".join(f"{name} {found} ms" for name, found in row.items()), flush=True)
            figures[label] = row
    return figures


def _attention(call: Callable[[Tensor], Tensor], qkv: Tensor, backward: bool) -> None:
    out = call(qkv)
    if backward:
        out.float().square().sum().backward()
    if qkv.is_cuda:
        torch.cuda.synchronize()


def main() -> None:
    """Prints the figures; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small", help="of the ViT")
    parser.add_argument("--pictures", type=int, default=0, help="pictures a batch; 0: 128 for tiny, 16 for small, 4 for large")
    parser.add_argument("--rounds", type=int, default=0, help="measurements of each, in turn; 0: 7, 3 for large")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS), help="float32, bfloat16")
    parser.add_argument("--seed", type=int, default=0, help="of weights, pictures and masks")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda")
    parser.add_argument("--data", default="", help="a data set whose pictures and masks are taken")
    parser.add_argument("--kernel", default="", choices=["", *(kernel.value for kernel in Kernel)], help="of attention; empty: as in use")
    parser.add_argument("--paths", action="store_true", help="compare what computes the attention alone")
    parser.add_argument("--cap", type=int, default=0, help="with --paths: most tokens a picture, as in training (`patches`); 0: all")
    parser.add_argument("--no-memory", action="store_true", help="times only")
    parser.add_argument("--alone", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.pictures = arguments.pictures or PICTURES[arguments.size]
    arguments.rounds = arguments.rounds or ROUNDS[arguments.size]
    race = Race(arguments)
    if arguments.alone:
        side, backward = arguments.alone.split(":")
        held = race.megabytes(side, PRECISIONS[arguments.precisions[0]], backward == "1")
        print(json.dumps(None if held is None else round(held, 1)))
        return
    print(json.dumps(kernels(race, arguments) if arguments.paths else compare(race, arguments)))


if __name__ == "__main__":
    main()
