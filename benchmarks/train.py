"""How well training uses the device: `python -m benchmarks.train [data=FOLDER]`.

Each size takes whole steps of the trainer that `cezanne train` runs: a batch, the loss and its gradients, the optimiser, the average.
Printed are, as one line of JSON a size and a summary last:

    samples_per_second    of steps, the wait for their batches included
    wait                  share of a step that is spent waiting for its batch
    mfu                   floating-point operations of a step's matrix products over what the device could have made in that time
    memory_mb             the most that was held: tensors of a GPU, all of the process's resident memory elsewhere

What the device could make is on the CPU measured, with large matrices in the same process and as many threads, and on a GPU of a name
that is known its data sheet's, else measured too; in the precision of the encoder's products. Without data=FOLDER it trains on made-up
episodes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import memory
from conf.compose import compose
from episodes import CameraInfo, DatasetInfo, DatasetWriter, Episode
from policies.checkpoint import Checkpoint
from policies.config import TrainConfig
from policies.network import Batch
from policies.sampler import Sampler, measure_stats
from policies.team import Team
from policies.train import open_data, open_sampler, pick_device
from policies.trainer import Trainer

SIZES = ("det_tiny", "det", "det_large", "paper_tiny", "paper_small", "paper_base", "paper_large")
ON_CPU = SIZES[:5]
"""Those whose steps take seconds there, and whose weights fit."""
SHEETS = {"H100": (989e12, 67e12), "H200": (989e12, 67e12), "A100": (312e12, 19.5e12), "L40S": (362e12, 91.6e12)}
"""Dense bfloat16 and float32 without TF32 of data sheets [operations/s], SXM where there are several."""
WARM = 2
"""Steps that are not counted: files are mapped, memory is fetched."""
SIDE, JOINTS = 128, 7


def made_up(folder: Path, rng: np.random.Generator, episodes: int = 24, steps: int = 60) -> Path:
    """A data set of an ellipse that grows and wanders, seen by two cameras, while seven joints move: its sizes are those of ours."""
    camera = CameraInfo(SIDE, SIDE, 45.0, np.eye(3), np.eye(4))
    names = ("side", "wrist")
    info = DatasetInfo(fps=20, robot="made up", joints=tuple(f"joint{i}" for i in range(JOINTS)), cameras=dict.fromkeys(names, camera))
    writer = DatasetWriter(folder, info)
    y, x = np.mgrid[:SIDE, :SIDE]
    for i in range(episodes):
        masks = {}
        for name, sizes in zip(names, ((10, 14), (10, 40)), strict=True):
            (first, last), radii = rng.uniform(0.3, 0.7, (2, 2)) * SIDE, np.linspace(*sizes, steps)
            places = np.linspace(first, last, steps)  # (T, 2)
            masks[name] = (x - places[:, 0, None, None]) ** 2 + (y - places[:, 1, None, None]) ** 2 < radii[:, None, None] ** 2
        images = {name: rng.integers(0, 256, (steps, SIDE, SIDE, 3), np.uint8) for name in names}
        qpos = np.cumsum(rng.normal(0, 0.02, (steps, JOINTS)), 0).astype(np.float32)
        gripper = (np.arange(steps) < steps // 2).astype(np.float32)[:, None]
        actions = np.column_stack([qpos, gripper]).astype(np.float32)
        episode = Episode(
            images=images,
            masks=masks,
            qpos=qpos,
            gripper=gripper,
            actions=actions,
            sent=actions,
            labelled=np.ones(steps, bool),
            state=np.zeros((steps + 1, 1)),
            instruction="pick up the object",
            dt=0.05,
            success=True,
            provenance={"toy": i},
        )
        writer.write(f"{i:06d}", [episode])
    return folder


class TimedTrainer(Trainer):
    """Knows how long it waited for its last batch."""

    waited = 0.0
    """[s]"""

    def _draw(self) -> Batch:
        start = time.perf_counter()
        batch = super()._draw()
        self.waited = time.perf_counter() - start
        return batch


def measure(cfg: TrainConfig, sampler: Sampler, checkpoint: Checkpoint, steps: int) -> dict[str, Any]:
    """Figures of one size."""
    device = pick_device(cfg.device)
    memory.start(device)
    trainer = TimedTrainer(cfg, checkpoint, sampler, Team(device))
    try:
        for _ in range(WARM):
            trainer.train_step()
        times, waits = [], []
        for _ in range(steps):
            start = time.perf_counter()
            trainer.train_step()  # ends when its loss is here, so that a GPU is done too
            times.append(time.perf_counter() - start)
            waits.append(trainer.waited)
        most = memory.peak(device)
        with FlopCounterMode(display=False) as counter:
            trainer.train_step()
    finally:
        trainer.close()
    step, half = statistics.median(times), trainer._bfloat16
    could = peak(device, half)
    return {
        "parameters": sum(weight.numel() for weight in trainer.network.parameters()),
        "samples_per_second": round(cfg.batch / step, 1),
        "step_ms": round(1e3 * step, 1),
        "wait": round(statistics.median(waits) / step, 4),
        "mfu": round(counter.get_total_flops() / step / could, 3),
        "gflop_per_step": round(counter.get_total_flops() / 1e9, 1),
        "peak_gflops": round(could / 1e9),
        "memory_mb": None if most is None else round(most),
        "precision": "bfloat16" if half else "float32",
    }


def peak(device: torch.device, half: bool) -> float:
    """What the device can make [operations/s]."""
    if device.type == "cuda":
        for name, found in SHEETS.items():
            if name in torch.cuda.get_device_name(device):
                return found[0 if half else 1]
    n = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16 if half else torch.float32) for _ in range(2))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        (a @ b)[0, 0].item()  # waits for the product
        times.append(time.perf_counter() - start)
    return 2 * n**3 / min(times)


def main() -> None:
    """Prints a line of JSON for each size, and the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="data=FOLDER and other keys of `cezanne train`, as in loader_workers=2")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, help="on a GPU all, on a CPU all but the two largest")
    parser.add_argument("--steps", type=int, default=5, help="steps of each that count")
    parser.add_argument("--batch", type=int, default=0, help="samples a step; 0: 64, on a CPU 8 for sizes with a history")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(summary(arguments, Path(folder))))


def summary(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measures each size; says what all have in common."""
    data = next((value for value in arguments.overrides if value.startswith("data=")), None)
    rest = [value for value in arguments.overrides if value != data] + [
        data or f"data={made_up(folder / 'data', np.random.default_rng(0))}"
    ]
    lines = {}
    for size in arguments.sizes or (SIZES if torch.cuda.is_available() else ON_CPU):
        found = OmegaConf.to_object(compose("train", TrainConfig, [f"policy={size}", *rest]))
        assert isinstance(found, TrainConfig)
        device = pick_device(found.device)
        batch = arguments.batch or (8 if device.type == "cpu" and found.policy.history > 1 else 64)
        cfg = replace(found, batch=batch, out=str(folder / size), progress=False)
        torch.set_num_threads(cfg.threads or torch.get_num_threads())
        torch.manual_seed(cfg.seed)
        dataset, blend = open_data(cfg)
        sampler, contract = open_sampler(cfg, dataset, blend)
        p = cfg.policy
        made = Checkpoint(p, contract.with_policy(p.chunk, p.execute, p.history), measure_stats(sampler, p.actions), {})
        lines[size] = measure(cfg, sampler, made, arguments.steps)
        print(json.dumps({"size": size, "batch": batch} | lines[size]), flush=True)
        where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
        print(f"{size}: {lines[size]['samples_per_second']} samples/s on {where}", file=sys.stderr)
    waits = [line["wait"] for line in lines.values()]
    return {"sizes": len(lines), "steps": arguments.steps, "longest_wait": max(waits), "mfu": {k: v["mfu"] for k, v in lines.items()}}


if __name__ == "__main__":
    main()
