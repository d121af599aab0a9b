"""`cezanne train policy=lerobot:act`: LeRobot's policy, loss, optimiser and schedule, on our demonstrations and under our contract."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from episodes.dataset import Dataset, open_dataset
from policies.checkpoint import checkpoints, plain
from policies.config import Tracker, TrainConfig
from policies.contract import Contract
from policies.errors import PolicyError
from policies.peers.checkpoint import Peer, load_peer, save_peer, stats_of
from policies.peers.exported import digest, open_exported
from policies.peers.kind import config_of, contract_for, network_of, quietly
from policies.peers.samples import Batches, Samples
from policies.runlog import Bias, Board, RunLog, Tracking
from policies.selection import Selected, open_selection
from policies.team import launched

FREE = {"data", "out", "resume", "steps", "threads", "device", "progress", "log_every", "checkpoint_steps", "checkpoint_seconds"}
FREE |= {"loader_workers", "tracker"}
"""What may differ when a run is continued; what `data` holds may not."""
KNOWN = FREE | {"select", "peer", "lerobot", "masked", "seed", "batch"}
"""Settings that a baseline goes by; the others are ours, LeRobot has its own."""
_KEPT = 1


def run(cfg: TrainConfig) -> dict[str, Any]:
    """Trains, or continues, and says where the checkpoint is. Raises PolicyError, StoreError."""
    _check(cfg)
    out = Path(cfg.out)
    done = checkpoints(out)
    if done and not cfg.resume:
        raise PolicyError(f"{out} already holds a run at step {int(done[-1].name)}; resume=true continues it, or choose another out=")
    torch.set_num_threads(cfg.threads or os.cpu_count() or 1)
    device = "cuda" if cfg.device != "cpu" and torch.cuda.is_available() else "cpu"
    if cfg.device == "cuda" and device == "cpu":
        raise PolicyError("device=cuda, but no CUDA device is usable here; device=cpu works everywhere")
    dataset = open_selection(open_dataset(cfg.data), Path(cfg.data), cfg.select)
    there = Contract.of_dataset(dataset.info)
    config = config_of(cfg.peer, cfg.lerobot, there, device)
    contract = contract_for(config, there)
    torch.manual_seed(cfg.seed)
    network = network_of(config)  # before the export: what cannot be built is better known
    with tqdm(total=len(dataset), desc="to LeRobot", unit="episode", disable=not cfg.progress, leave=False) as bar:
        exported = open_exported(out.parent, dataset, masked=cfg.masked, watch=bar.update)
    peer = Peer(config, contract, stats_of(exported, contract.cameras), cfg.masked, _fingerprint(cfg, dataset))
    run = _Run(cfg, peer, network, Samples(exported, config, contract.execute))
    if done:
        _check_same(done[-1], peer)
        run.restore(done[-1])
    loss = run.loop(out)
    return {
        "steps": run.step,
        "seconds": round(run.seconds, 1),
        "samples_per_second": round(run.step * cfg.batch / max(run.seconds, 1e-9), 1),
        "checkpoint": str(checkpoints(out)[-1]),
        "peer": f"lerobot:{cfg.peer}",
        "masked": cfg.masked,
        "weights": sum(weight.numel() for weight in network.parameters()),
        **({"selected": dataset.describe()} if isinstance(dataset, Selected) else {}),
        **({} if loss is None else {"loss": round(loss, 5)}),
    }


class _Run:
    """One training of one policy: LeRobot's `update_policy`, step by step."""

    def __init__(self, cfg: TrainConfig, peer: Peer, network: Any, samples: Samples) -> None:
        with quietly():
            from accelerate import Accelerator
            from lerobot.scripts.lerobot_train import update_policy
            from lerobot.utils.logging_utils import AverageMeter, MetricsTracker

        self.cfg, self.peer, self.network, self.samples = cfg, peer, network, samples
        self.step, self.seconds = 0, 0.0
        self._update, self._before = update_policy, peer.processors()[0]
        preset, schedule = peer.config.get_optimizer_preset(), peer.config.get_scheduler_preset()
        self._optimizer, self._clip = preset.build(network.get_optim_params()), float(preset.grad_clip_norm)
        self._scheduler = None if schedule is None else schedule.build(self._optimizer, cfg.steps)
        self._accelerator = Accelerator(step_scheduler_with_optimizer=False, cpu=peer.config.device == "cpu")
        meters = {name: AverageMeter(name) for name in ("loss", "grad_norm", "lr", "update_s")}
        if peer.config.device == "cuda":
            meters["gpu_mem_gb"] = AverageMeter("gpu_mem_gb")
        self._meters = MetricsTracker(cfg.batch, len(samples), 1, meters)

    def restore(self, path: Path) -> None:
        """Continues from a checkpoint. Raises PolicyError."""
        from lerobot.common.train_utils import load_training_state

        _, stored = load_peer(path, self.peer.config.device)
        self.network.load_state_dict(stored.state_dict())
        try:
            self.step, self._optimizer, self._scheduler = load_training_state(path, self._optimizer, self._scheduler)
            self.seconds = float(json.loads((path / "training_state" / "seconds.json").read_text()))
        except Exception as error:  # safetensors, JSON and torch each have their own
            raise PolicyError(f"{path}/training_state does not continue this run: {' '.join(str(error).split())[:200]}") from error

    def save(self, out: Path) -> None:
        """Writes a checkpoint of this step, and removes all but the newest."""
        from lerobot.common.train_utils import save_training_state

        def train_state(folder: Path) -> None:
            save_training_state(folder, self.step, self._optimizer, self._scheduler)
            (folder / "training_state" / "seconds.json").write_text(json.dumps(self.seconds))

        path = out / "checkpoints" / f"{self.step:08d}"
        if not path.exists():
            save_peer(path, self.peer, self.network, train_state)
        for old in checkpoints(out)[:-_KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def loop(self, out: Path) -> float | None:
        """Steps until there are enough, with a log and checkpoints on the way; the loss since the last entry of the log."""
        cfg, loss = self.cfg, None
        batches = Batches(self.samples.frames, cfg.batch, cfg.seed, self.step, cfg.steps)
        seeded = torch.Generator().manual_seed(cfg.seed)  # or the loader would draw from the one that a checkpoint brought back
        loader = DataLoader(self.samples, batch_sampler=batches, num_workers=cfg.loader_workers, generator=seeded)  # pyright: ignore[reportArgumentType]
        out.mkdir(parents=True, exist_ok=True)
        trackers: list[Tracking] = [Bias(out, self.peer.fingerprint)] if cfg.tracker is Tracker.wandb else []
        saved_at = time.monotonic()
        bar = tqdm(total=cfg.steps, initial=self.step, desc=f"train lerobot:{cfg.peer}", unit="step", disable=not cfg.progress)
        with bar, RunLog(out, self.step, [Board(out, self.step), *trackers]) as log:
            try:
                begin = time.monotonic()
                for batch in loader:
                    tracker, _ = self._update(
                        self._meters, self.network, self._before(batch), self._optimizer, self._clip, self._accelerator, self._scheduler
                    )
                    self.step += 1
                    now = time.monotonic()
                    self.seconds, begin = self.seconds + now - begin, now
                    bar.update()
                    if self.step % cfg.log_every == 0 or self.step == cfg.steps:
                        entry = {name: float(meter.avg) for name, meter in tracker.metrics.items()}
                        tracker.reset_averages()
                        loss = entry["loss"]
                        if not np.isfinite(loss):
                            raise PolicyError(f"the loss is {loss} at step {self.step}; a smaller lerobot.optimizer_lr may help")
                        log.write(self.step, entry)
                        bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
                    by_steps = cfg.checkpoint_steps and self.step % cfg.checkpoint_steps == 0
                    if by_steps or (cfg.checkpoint_seconds and now - saved_at >= cfg.checkpoint_seconds):
                        self.save(out)
                        saved_at = begin = time.monotonic()
            except KeyboardInterrupt:  # nothing is lost
                self.save(out)
                raise
            self.save(out)
        return loss


def _check(cfg: TrainConfig) -> None:
    """Raises PolicyError where something is asked for that a baseline does not go by: better than to ignore it."""
    default = TrainConfig()
    ignored = [field.name for field in fields(TrainConfig) if field.name not in KNOWN | {"policy"}]
    ignored = [name for name in ignored if getattr(cfg, name) != getattr(default, name)]
    if cfg.policy != default.policy:
        ignored.append("policy")
    if ignored:
        raise PolicyError(
            f"lerobot:{cfg.peer} does not go by {ignored[0]}=; LeRobot's own settings are lerobot.NAME=, as lerobot.dim_model=256"
        )
    if launched() > 1:
        raise PolicyError(f"lerobot:{cfg.peer} is trained by one process; {launched()} were started")


def _fingerprint(cfg: TrainConfig, dataset: Dataset | Selected) -> dict[str, Any]:
    """What made the weights; `dataset` names the seed of the toys, so that an evaluation can tell which are unseen."""
    versions = {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version(), "lerobot": version("lerobot")}
    told = {name: value for name, value in asdict(cfg).items() if name in KNOWN}
    selected = {"selected": plain(asdict(cfg.select)) | dataset.describe()} if isinstance(dataset, Selected) else {}
    prints = {
        "data": digest(dataset, cfg.masked),
        "dataset": dict(dataset.info.fingerprint),
        **selected,
        "train": told,
        "versions": versions,
    }
    return json.loads(json.dumps(plain(prints)))


def _check_same(path: Path, now: Peer) -> None:
    """Raises PolicyError where the run at `path` was started with other data or other settings."""
    then = load_peer(path)[0].fingerprint
    if then.get("data") != now.fingerprint["data"]:
        raise PolicyError(f"{path.parent.parent} was trained on other data; choose another out=")
    before = then.get("train")
    before = before if isinstance(before, dict) else {}
    if changed := [key for key, value in now.fingerprint["train"].items() if key not in FREE and before.get(key) != value]:
        names, settings = ", ".join(changed), path / "fingerprint.json"
        raise PolicyError(f"{path.parent.parent} was started with another {names}; choose another out=, or do as {settings} says")
