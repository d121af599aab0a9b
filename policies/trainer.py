"""What training changes from step to step: weights, their average, the optimiser, the clock."""

from __future__ import annotations

import copy
import math
import shutil
import time
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from policies.backbone import PretrainedEncoder, load_backbone
from policies.checkpoint import Checkpoint, checkpoints, load_checkpoint, load_tensors, save_checkpoint
from policies.config import Precision, TrainConfig
from policies.errors import PolicyError
from policies.loader import open_loader
from policies.network import Batch, PolicyNetwork
from policies.part import part
from policies.patience import Asked
from policies.sampler import Sampler
from policies.schedule import paces, rate, taken_over
from policies.team import Team, gathered, laid_like

MOMENTS = ("exp_avg", "exp_avg_sq")
"""What the optimiser remembers of each weight."""
KEPT = 2
"""Checkpoints kept: the newest, and one in case."""


class Objective(nn.Module):
    """A network whose forward is its loss: what processes join their gradients of."""

    def __init__(self, network: PolicyNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Batch, bfloat16: bool) -> tuple[Tensor, Tensor]:
        """Losses of the head and of the grasp."""
        return self.network.loss(batch, bfloat16)


class Trainer:
    """One training run. Everything random is a function of (seed, step), so a restored run goes on as if never stopped.

    Args:
        cfg: how to train.
        checkpoint: what is trained.
        sampler: what on.
        team: who trains; each takes its part of every batch, and all end each step with the same weights.
        start: a checkpoint to go on from; None: a new run.
    """

    def __init__(self, cfg: TrainConfig, checkpoint: Checkpoint, sampler: Sampler, team: Team, start: Path | None = None) -> None:
        if cfg.batch % (team.world * cfg.accumulate):
            raise PolicyError(f"batch={cfg.batch} does not divide among {team.world} processes of {cfg.accumulate} passes each")
        self.cfg, self.checkpoint, self.sampler, self.team = cfg, checkpoint, sampler, team
        self.step = 0
        self.seconds = 0.0
        self.whole = True
        """False while a step is under way: nothing is saved then."""
        self.asked = Asked()
        """Whether this process was asked to stop; all stop after the same step."""
        self.stopped = False
        """Whether one of the team was."""
        self._sums = np.zeros(3)  # loss, grasp loss, steps, since the last flush
        self._saved = -1
        self._batches: Iterator[Batch] | None = None
        self.network = checkpoint.network()
        self.average = copy.deepcopy(self.network).requires_grad_(False).eval()
        state = self._begin() if start is None else self._restore(start)
        self.network.to(team.device)
        self.average.to(team.device)
        for network in (self.network, self.average):
            team.shard(network, getattr(network.encoder, "blocks", ()), "loss", "sample")
        if cfg.compile:
            for layers in self.network.dense():
                layers.compile(dynamic=True)
        self._joined = team.join(Objective(self.network))
        self._trained = {name: weight for name, weight in self.network.named_parameters() if weight.requires_grad}
        self._weights: list[torch.Tensor] = list(self._trained.values())
        averages = dict(self.average.named_parameters())
        self._averages: list[torch.Tensor] = [averages[name] for name in self._trained]
        groups = paces(self.network, cfg.backbone_lr)
        self._optimizer = torch.optim.AdamW(groups, lr=cfg.lr, betas=(0.9, 0.98), weight_decay=cfg.weight_decay, fused=True)
        self._remember(state)
        self._bfloat16 = cfg.precision is Precision.bfloat16 or (cfg.precision is Precision.auto and fast_bfloat16(team.device))

    @property
    def progress(self) -> float:
        """0 at the start, 1 when the budget is used."""
        return self.seconds / (60 * self.cfg.minutes) if self.cfg.minutes else self.step / self.cfg.steps

    def train_step(self) -> None:
        """One step of the optimiser."""
        start = time.perf_counter()
        self.whole = False
        cfg, step, team = self.cfg, self.step, self.team
        batch = to_device(self._draw(), team.device)
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate() * group["share"]
        loss, grasp = self._backward(batch)
        torch.nn.utils.clip_grad_norm_(self._weights, cfg.clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            torch._foreach_lerp_(self._averages, self._weights, taken_over(cfg.ema, step))
        found, of_grasp, stop = team.sum(torch.stack([loss, grasp, torch.full_like(loss, float(self.asked()))])).tolist()
        if not math.isfinite(found):
            raise PolicyError(f"the loss is {found} at step {step}; a lower lr than {cfg.lr:g} may do")
        self._sums += found, of_grasp, 1
        self.stopped = stop > 0
        self.step += 1
        self.seconds += team.first(time.perf_counter() - start)
        self.whole = True

    def _draw(self) -> Batch:
        """This process's part of the batch of this step."""
        cfg, team = self.cfg, self.team
        if self._batches is None:
            share, pinned = (team.rank, team.world), team.device.type == "cuda"
            self._batches = open_loader(self.sampler, cfg.seed, self.step, cfg.batch, cfg.loader_workers, share, pinned=pinned)
        return next(self._batches)

    def close(self) -> None:
        """Ends what puts batches together ahead of time; the next step begins it anew."""
        if isinstance(self._batches, Generator):
            self._batches.close()
        self._batches = None

    def _backward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Gradients of the whole batch's loss, of which this process has a part; returns its parts of both losses."""
        cfg, team, b = self.cfg, self.team, len(batch.proprio)
        # the loss is a sum over targets that count, divided by their number in the whole batch, wherever they are
        whole = (team.sum(batch.weight.sum()) * self.network.width).clamp(min=1)
        losses = []
        for k in range(cfg.accumulate):
            piece = part(batch, k * b // cfg.accumulate, (k + 1) * b // cfg.accumulate)
            share = (piece.weight.sum() * self.network.width).clamp(min=1) / whole
            with team.apart(self._joined, self.network, k < cfg.accumulate - 1):
                loss, grasp = self._joined(piece, self._bfloat16)
                loss, grasp = loss * share, grasp * (len(piece.proprio) / cfg.batch)
                # gradients become the mean over the processes, where the sum is wanted
                ((loss + cfg.grasp_weight * grasp) * team.world).backward()
            losses.append(torch.stack([loss.detach(), grasp.detach()]))
        return tuple(torch.stack(losses).sum(0)) if len(losses) > 1 else tuple(losses[0])  # pyright: ignore[reportReturnType]

    def flush(self) -> dict[str, float]:
        """Mean losses since the last flush."""
        loss, grasp, steps = self._sums
        self._sums = np.zeros(3)
        speed = self.step * self.cfg.batch / self.seconds
        return {"loss": loss / steps, "grasp_loss": grasp / steps, "lr": self._rate(), "samples_per_second": speed}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Errors of the averaged weights on toys that training does not see; nothing where none are held out. The same in every process."""
        start = time.perf_counter()
        held = self.sampler.held_frames
        if not len(held):
            return {}
        frames = held[np.linspace(0, len(held) - 1, min(len(held), 512)).astype(int)]
        sums, joints = np.zeros(3), self.sampler.joints
        for some in np.array_split(frames, -(-len(frames) // 128)):
            batch = to_device(self.sampler.gather(some), self.team.device)
            loss = self.average.loss(batch)[0].item()
            wrong = (self.average.sample(batch.patches, batch.proprio) - batch.targets).abs()  # (B, K, A)
            wrong = (wrong * batch.weight[..., None]).sum((0, 1)) / batch.weight.sum().clamp(min=1)  # (A,)
            sums += np.array([loss, wrong[:joints].mean().item(), wrong[joints:].mean().item()]) * len(some)
        self.seconds += self.team.first(time.perf_counter() - start)
        return dict(zip(("validation_loss", "joint_error", "gripper_error"), (sums / len(frames)).tolist(), strict=True))

    def save(self, out: Path) -> Path:
        """Writes a checkpoint of this step, unless it is there, and removes all but the newest. All processes call it, one writes."""
        path = out / "checkpoints" / f"{self.step:08d}"
        if self._saved != self.step:
            if self.team.main or self.team.sharded:  # whose parts all have to give
                weights, state = self._averaged(), self._state()
                if self.team.main and not path.exists():
                    save_checkpoint(path, self.checkpoint, weights, state)
            self._saved = self.step
        if self.team.main:
            for old in checkpoints(out)[:-KEPT]:
                shutil.rmtree(old, ignore_errors=True)
        return path

    def _begin(self) -> dict[str, Tensor]:
        """Fills the backbone, where there is one, with its published weights. Raises PolicyError."""
        if isinstance(self.network.encoder, PretrainedEncoder):
            load_backbone(self.network.encoder, self.cfg.weights, self.checkpoint.contract.size)
            self.average.load_state_dict(self.network.state_dict())
        return {}

    def _restore(self, path: Path) -> dict[str, Tensor]:
        """Continues from a checkpoint; returns what the optimiser is to remember. Raises PolicyError."""
        _, average = load_checkpoint(path)
        self.average.load_state_dict(average.state_dict())
        trained = {name: weight for name, weight in self.network.named_parameters() if weight.requires_grad}
        expected = {f"{key}/{name}": weight.shape for key in ("weight", *MOMENTS) for name, weight in trained.items()}
        try:
            state = load_tensors(path / "train_state.safetensors", expected | {"progress": torch.Size([5])})
        except PolicyError as error:
            raise PolicyError(f"checkpoint {path}: {error}") from None
        step, self.seconds, *sums = state.pop("progress").tolist()
        self.step, self._sums, self._saved = int(step), np.array(sums), int(step)
        self.network.load_state_dict(average.state_dict())  # what is not trained
        for name, weight in trained.items():
            weight.data.copy_(state.pop(f"weight/{name}"))
        return state

    def _remember(self, state: Mapping[str, Tensor]) -> None:
        """Gives the optimiser what it knew at the checkpoint."""
        for name, weight in self._trained.items() if state else ():
            moments = {key: laid_like(state[f"{key}/{name}"], weight) for key in MOMENTS}
            self._optimizer.state[weight] = {"step": torch.tensor(float(self.step), device=self.team.device), **moments}

    def _rate(self) -> float:
        return rate(self.cfg.lr, self.step, min(self.progress, 1.0), self.cfg.warmup)

    def _averaged(self) -> dict[str, Tensor]:
        return {name: gathered(value) for name, value in self.average.state_dict().items()}

    def _state(self) -> dict[str, Tensor]:
        """What a checkpoint needs beyond the averaged weights."""
        state = {"progress": torch.tensor([self.step, self.seconds, *self._sums], dtype=torch.float64)}
        for name, weight in self._trained.items():
            moments = self._optimizer.state.get(weight) or {key: torch.zeros_like(weight) for key in MOMENTS}
            state[f"weight/{name}"] = gathered(weight.detach())
            state |= {f"{key}/{name}": gathered(moments[key]) for key in MOMENTS}
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
