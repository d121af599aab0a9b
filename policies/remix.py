"""`cezanne remix`: weights of a mixture by group distributionally robust optimisation on the excess loss.

After Re-Mix (Hejna et al., "Optimizing Data Mixtures for Large Scale Imitation Learning", CoRL 2024, arXiv 2408.14037), like DoReMi:
a reference policy is trained on the mixture as it is; then a second one, whose sets are weighted up where its loss exceeds the
reference's most. The weights' mean over the steps is the new mixture. Differences to theirs: our loss is the absolute error of normalised
continuous actions (they discretise), and one set of action statistics serves all sets.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from policies.blend import Blend
from policies.checkpoint import checkpoints, load_checkpoint
from policies.config import Head, TrainConfig, require, require_positive, require_range
from policies.errors import PolicyError
from policies.network import Batch, PolicyNetwork
from policies.sampler import Sampler
from policies.train import open_data, open_sampler, pick_device
from policies.train import run as train
from policies.trainer import to_device

_NAMED = 7
"""Sets whose curves have colours and names."""


@dataclass
class RemixConfig:
    """Finds weights for the data sets of a mixture: more of what is learned worst, beside a policy trained on the mixture as it is."""

    train: TrainConfig = field(default_factory=lambda: TrainConfig(mixture="mixture.yaml", steps=400))
    """How both policies are trained; `train.mixture` names the mixture, `train.steps` the length of each training."""
    out: str = "runs/remix"
    """Folder of the reference policy, the log of weights and the new mixture."""
    rate: float = 0.2
    """Step size of the exponentiated gradient."""
    smoothing: float = 0.05
    """Share of the weights that is always even, so that no set dies out for good."""

    def __post_init__(self) -> None:
        require(bool(self.train.mixture), "train.mixture names no mixture; say train.mixture=FILE")
        require(self.train.policy.head is Head.l1, "remix weighs sets by the error of a regression: train.policy.head=l1")
        require_positive(self, "rate")
        require_range(self, 0.0, 1.0, "smoothing")


def run(cfg: RemixConfig) -> dict[str, Any]:
    """Trains the reference, then finds the weights; returns them and where the new mixture is. Raises PolicyError, StoreError."""
    out = Path(cfg.out)
    settings = replace(cfg.train, out=str(out / "reference"), resume=True)
    train(settings)
    dataset, blend = open_data(settings)
    assert blend is not None
    if len(blend.names) < 2:
        raise PolicyError(f"{cfg.train.mixture} has one data set with a weight above 0; there is nothing to weigh")
    sampler, _ = open_sampler(settings, dataset, blend)
    device = pick_device(settings.device)
    checkpoint, reference = load_checkpoint(checkpoints(Path(settings.out))[-1])
    torch.manual_seed(settings.seed + 1)
    networks = (checkpoint.network().to(device), reference.to(device))
    weights, history = remix(settings, sampler, blend, *networks, rate=cfg.rate, smoothing=cfg.smoothing)
    mixture = out / "mixture.yaml"
    _write(mixture, cfg, blend, weights)
    (out / "weights.jsonl").write_text("".join(json.dumps(row) + "\n" for row in history), encoding="utf-8")
    draw_weights(out / "weights.svg", blend.names, history, weights)
    before = dict(zip(blend.names, blend.probability.round(4).tolist(), strict=True))
    after = dict(zip(blend.names, weights.round(4).tolist(), strict=True))
    return {"mixture": str(mixture), "before": before, "after": after, "steps": settings.steps}


def remix(
    cfg: TrainConfig,
    sampler: Sampler,
    blend: Blend,
    network: PolicyNetwork,
    reference: PolicyNetwork,
    *,
    rate: float,
    smoothing: float,
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """The mean weights over a training, (S,), and some of them on the way.

    Args:
        cfg: of the training.
        sampler: of the whole mixture.
        blend: its sets.
        network: with fresh weights; is trained.
        reference: trained on the mixture, on the same device.
        rate, smoothing: see RemixConfig.
    """
    device = next(network.parameters()).device
    optimizer = torch.optim.AdamW(network.parameters(), lr=cfg.lr, betas=(0.9, 0.98), weight_decay=cfg.weight_decay)
    reference = reference.eval().requires_grad_(False)
    sets, weights = len(blend.names), blend.probability.copy()
    total, history = np.zeros(sets), list[dict[str, Any]]()
    even = replace(sampler, blend=replace(blend, probability=np.full(sets, 1 / sets)))  # every set speaks in every batch
    for step in tqdm(range(cfg.steps), desc="remix", unit="step", disable=not cfg.progress):
        rng = np.random.default_rng([cfg.seed + 1, step])
        frames = even.choose(rng, cfg.batch)
        owner = blend.owner(even.cache.table.frame[frames])  # (B,)
        batch = to_device(even.gather(frames, rng), device)
        loss = errors(network, batch)  # (B,)
        with torch.no_grad():
            excess = (loss - errors(reference, batch)).clamp(min=0).cpu().numpy()
        if not np.isfinite(excess).all() or not torch.isfinite(loss).all():
            raise PolicyError(f"the loss is not finite at step {step}; a lower train.lr than {cfg.lr:g} may do")
        worse = np.array([excess[owner == k].mean() if (owner == k).any() else 0.0 for k in range(sets)])
        weights = step_weights(weights, worse, rate=rate, smoothing=smoothing)
        total += weights
        share = torch.from_numpy((weights * sets)[owner].astype(np.float32)).to(device)
        (share * loss).mean().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), cfg.clip)
        for group in optimizer.param_groups:
            group["lr"] = cfg.lr * min(1.0, 10 * (step + 1) / cfg.steps)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % max(1, cfg.steps // 100) == 0:
            history.append({"step": step, "weights": weights.round(4).tolist(), "excess": worse.round(4).tolist()})
    return total / cfg.steps, history


def step_weights(weights: np.ndarray, excess: np.ndarray, *, rate: float, smoothing: float) -> np.ndarray:
    """One step of the exponentiated gradient on the simplex, (S,): up where the excess loss is large.

    Equal excess changes nothing, but that `smoothing` of the weights is even after every step.
    """
    raised = weights * np.exp(rate * (excess - excess.max()))
    raised /= raised.sum()
    return (1 - smoothing) * raised + smoothing / len(weights)


def errors(network: PolicyNetwork, batch: Batch) -> torch.Tensor:
    """Mean absolute error of the normalised actions of each sample, (B,)."""
    b, c = batch.proprio.shape[:2]
    views = network.encoder.encode(batch.patches, batch.jitter).view(b, c, -1, network.config.encoder.dim)
    actions, _ = network(views, batch.proprio)
    wrong = (actions - network.wanted(batch)).abs().mean(-1)  # (B, K)
    return (wrong * batch.weight).sum(1) / batch.weight.sum(1).clamp(min=1)


def draw_weights(file: Path, names: Sequence[str], history: Sequence[Mapping[str, Any]], means: np.ndarray) -> None:
    """The weights over the steps as SVG: one line a set, with its name and its mean (S,), which is the result.

    Beyond the seven that weigh most, sets are grey and have no names.
    """
    import matplotlib
    import matplotlib.pyplot as plt

    steps, weights = [row["step"] for row in history], np.array([row["weights"] for row in history])  # (N,), (N, S)
    named, ends = np.argsort(-means, kind="stable")[:_NAMED], weights[-1]
    gap, places = 1.15 * weights.max() / 17, dict[int, float]()
    for k in sorted(named.tolist(), key=lambda k: ends[k]):  # names keep clear of each other
        places[k] = max(float(ends[k]), max(places.values(), default=-gap) + gap)
    lift = sum(places.values()) / len(places) - ends[named].mean()
    style: dict[Any, Any] = {"font.family": "DejaVu Sans", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False}
    style["svg.hashsalt"] = "cezanne"
    with matplotlib.rc_context(style):
        figure, panel = plt.subplots(figsize=(7, 4), layout="constrained")
        panel.plot(steps, np.delete(weights, named, axis=1), lw=1, color="#bbbbbb")
        for k, place in places.items():
            (line,) = panel.plot(steps, weights[:, k], lw=2)
            panel.annotate(
                f"{names[k]}, mean {means[k]:.2f}",
                (1, place - lift),
                (8, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                va="center",
                color=line.get_color(),
                annotation_clip=False,
            )
        panel.set(xlabel="step", ylabel="weight (share of all that is drawn)", xlim=(0, max(steps[-1], 1)), ylim=(0, 1.15 * weights.max()))
        figure.savefig(file, metadata={"Date": None})
        plt.close(figure)


def _quoted(text: str) -> str:
    """As YAML and JSON write it."""
    return json.dumps(text, ensure_ascii=False)


def _write(file: Path, cfg: RemixConfig, blend: Blend, weights: np.ndarray) -> None:
    """The mixture with its new weights: shares of all that is drawn, so it is to be used with balance=false."""
    from episodes.mixture import Mixture

    paths = {entry.name: entry.path for entry in Mixture.load(cfg.train.mixture).entries}
    rows = [
        f"{_quoted(name)}: {{weight: {weight:.6g}, path: {_quoted(str(paths[name].resolve()))}}}"
        for name, weight in zip(blend.names, weights, strict=True)
    ]
    said = f"# Weights by `cezanne remix` from {Path(cfg.train.mixture).name}; use with balance=false."
    part = file.with_name(f".{file.name}.{os.getpid()}")
    part.write_text("\n".join([said, *rows, ""]), encoding="utf-8")
    os.replace(part, file)
