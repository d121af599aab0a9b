"""What training changes from step to step: weights, their average, the optimiser, the clock."""

from __future__ import annotations

import copy
import math
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from policies.backbone import PretrainedEncoder, load_backbone
from policies.checkpoint import Checkpoint, checkpoints, load_checkpoint, load_tensors, save_checkpoint
from policies.config import Precision, TrainConfig
from policies.errors import PolicyError
from policies.network import Batch
from policies.sampler import Sampler

KEPT = 2
"""Checkpoints kept: the newest, and one in case."""


class Trainer:
    """One training run. Everything random is a function of (seed, step), so a restored run goes on as if never stopped."""

    def __init__(self, cfg: TrainConfig, checkpoint: Checkpoint, sampler: Sampler, device: torch.device) -> None:
        self.cfg, self.checkpoint, self.sampler, self.device = cfg, checkpoint, sampler, device
        self.network = checkpoint.network().to(device)
        self.average = copy.deepcopy(self.network).requires_grad_(False).eval()
        self._trained = {name: weight for name, weight in self.network.named_parameters() if weight.requires_grad}
        self._weights: list[torch.Tensor] = list(self._trained.values())
        averages = dict(self.average.named_parameters())
        self._averages: list[torch.Tensor] = [averages[name] for name in self._trained]
        self._optimizer = torch.optim.AdamW(self._groups(), lr=cfg.lr, betas=(0.9, 0.98), weight_decay=cfg.weight_decay, fused=True)
        self._bfloat16 = cfg.precision is Precision.bfloat16 or (cfg.precision is Precision.auto and fast_bfloat16(device))
        self.step = 0
        self.seconds = 0.0
        self._sums = np.zeros(3)  # loss, grasp loss, steps, since the last flush

    @property
    def progress(self) -> float:
        """0 at the start, 1 when the budget is used."""
        return self.seconds / (60 * self.cfg.minutes) if self.cfg.minutes else self.step / self.cfg.steps

    def train_step(self) -> None:
        """One step of the optimiser."""
        start = time.perf_counter()
        cfg, step = self.cfg, self.step
        batch = to_device(self.sampler.draw(cfg.seed, step, cfg.batch), self.device)
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate() * group["share"]
        loss, grasp = self.network.loss(batch, self._bfloat16)
        (loss + cfg.grasp_weight * grasp).backward()
        torch.nn.utils.clip_grad_norm_(self._weights, cfg.clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            torch._foreach_lerp_(self._averages, self._weights, 1 - min(cfg.ema, (2 + step) / (11 + step)))
        if not math.isfinite(loss.item()):
            raise PolicyError(f"the loss is {loss.item()} at step {step}; a lower lr than {cfg.lr:g} may do")
        self._sums += loss.item(), grasp.item(), 1
        self.step += 1
        self.seconds += time.perf_counter() - start

    def flush(self) -> dict[str, float]:
        """Mean losses since the last flush."""
        loss, grasp, steps = self._sums
        self._sums = np.zeros(3)
        speed = self.step * self.cfg.batch / self.seconds
        return {"loss": loss / steps, "grasp_loss": grasp / steps, "lr": self._rate(), "samples_per_second": speed}

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """Errors of the averaged weights on toys that training does not see; nothing where none are held out."""
        start = time.perf_counter()
        held = self.sampler.held_frames
        if not len(held):
            return {}
        frames = held[np.linspace(0, len(held) - 1, min(len(held), 512)).astype(int)]
        sums, joints = np.zeros(3), self.sampler.joints
        for part in np.array_split(frames, -(-len(frames) // 128)):
            batch = to_device(self.sampler.gather(part), self.device)
            loss = self.average.loss(batch)[0].item()
            wrong = (self.average.sample(batch.patches, batch.proprio) - batch.targets).abs()  # (B, K, A)
            wrong = (wrong * batch.weight[..., None]).sum((0, 1)) / batch.weight.sum().clamp(min=1)  # (A,)
            sums += np.array([loss, wrong[:joints].mean().item(), wrong[joints:].mean().item()]) * len(part)
        self.seconds += time.perf_counter() - start
        return dict(zip(("validation_loss", "joint_error", "gripper_error"), (sums / len(frames)).tolist(), strict=True))

    def save(self, out: Path) -> None:
        """Writes a checkpoint of this step, unless it is there, and removes all but the newest."""
        path = out / "checkpoints" / f"{self.step:08d}"
        if not path.exists():
            save_checkpoint(path, self.checkpoint, self.average.state_dict(), self._state())
        for old in checkpoints(out)[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def restore(self, path: Path) -> None:
        """Continues from a checkpoint. Raises PolicyError."""
        _, average = load_checkpoint(path)
        self.average.load_state_dict(average.state_dict())
        try:
            state = load_tensors(path / "train_state.safetensors", {k: v.shape for k, v in self._state().items()})
        except PolicyError as error:
            raise PolicyError(f"checkpoint {path}: {error}") from None
        step, self.seconds, *sums = state["progress"].tolist()
        self.step, self._sums = int(step), np.array(sums)
        self.network.load_state_dict(average.state_dict())  # what is not trained
        for name, weight in self._trained.items():
            weight.data.copy_(state[f"weight/{name}"])
            moments = {key: state[f"{key}/{name}"].to(self.device) for key in ("exp_avg", "exp_avg_sq")}
            self._optimizer.state[weight] = {"step": torch.tensor(float(step), device=self.device), **moments}

    def begin(self) -> None:
        """Fills the backbone, where there is one, with its published weights. Raises PolicyError."""
        if isinstance(self.network.encoder, PretrainedEncoder):
            load_backbone(self.network.encoder, self.cfg.weights, self.checkpoint.contract.size)
            self.average.load_state_dict(self.network.state_dict())

    def _groups(self) -> list[dict[str, Any]]:
        """What is trained, with its share of the learning rate."""
        encoder = self.network.encoder
        known = {id(weight) for _, weight in encoder.pretrained()} if isinstance(encoder, PretrainedEncoder) else set()
        slow, fast = [w for w in self._weights if id(w) in known], [w for w in self._weights if id(w) not in known]
        return [{"params": found, "share": share} for found, share in ((fast, 1.0), (slow, self.cfg.backbone_lr)) if found]

    def _rate(self) -> float:
        cfg = self.cfg
        spent = min(self.progress, 1.0)
        warm = min(1.0, max((self.step + 1) / (cfg.warmup + 1), spent / 0.1))
        return cfg.lr * warm * (0.505 + 0.495 * math.cos(math.pi * spent))

    def _state(self) -> dict[str, Tensor]:
        """What a checkpoint needs beyond the averaged weights."""
        state = {"progress": torch.tensor([self.step, self.seconds, *self._sums], dtype=torch.float64)}
        for name, weight in self._trained.items():
            moments = self._optimizer.state.get(weight) or {"exp_avg": torch.zeros_like(weight), "exp_avg_sq": torch.zeros_like(weight)}
            state[f"weight/{name}"] = weight.detach()
            state |= {f"{key}/{name}": moments[key] for key in ("exp_avg", "exp_avg_sq")}
        return state


def fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 faster than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device; itself on the CPU."""
    if device.type == "cpu":
        return batch
    fields = {k: v.to(device, non_blocking=True) if hasattr(v, "to") else v for k, v in vars(batch).items()}
    return Batch(**fields)
