"""`cezanne train`: fits a policy to demonstrations. One loop, resumable at any moment."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from episodes.dataset import Dataset, open_dataset
from policies.backbone import resolve
from policies.batch_picture import draw_batch, save_batch
from policies.blend import Blend
from policies.cache import Kept, open_cache
from policies.checkpoint import Checkpoint, checkpoints, load_checkpoint, plain
from policies.config import Head, Masking, Recolouring, Selection, Tracker, TrainConfig, require
from policies.contract import Contract
from policies.errors import PolicyError
from policies.form import FORMS
from policies.patches import Keep
from policies.patience import patient
from policies.recolour import Recolour
from policies.rollouts import Trial, best, keep_best, tried
from policies.runlog import Bias, Board, NoLog, RunLog, Tracking
from policies.sampler import Sampler, measure_stats
from policies.selection import Selected, open_selection
from policies.team import Team, launched, open_team
from policies.trainer import Trainer

__all__ = ["TrainConfig", "run"]

BAR = "{desc}: {percentage:3.0f}% |{bar}| {elapsed}<{remaining} {postfix}"
FREE = {"data", "weights", "mixture", "balance", "out", "resume", "steps", "minutes", "threads", "device", "progress"}
FREE |= {"log_every", "validate_every", "checkpoint_steps", "checkpoint_seconds", "accumulate", "compile", "fsdp", "loader_workers"}
FREE |= {"tracker", "rollout_every", "rollouts", "rollout_suite", "rollout_workers"}
"""What may differ when a run is continued; what `data` or `mixture` holds may not."""


def run(cfg: TrainConfig, trial: Trial | None = None) -> dict[str, Any]:
    """Trains, or continues, and says where the checkpoint is. Of several processes one says it, the others say nothing.

    Args:
        cfg: how.
        trial: what tries the policy every `rollout_every` steps.
    """
    if cfg.peer:
        from policies.peers.train import run as train_peer  # LeRobot takes seconds to import

        return train_peer(cfg)
    torch.set_flush_denormal(True)  # numbers that are all but zero take a hundred times as long
    try:
        with open_team(pick_device(cfg.device), cfg.fsdp) as team:
            return _run(replace(cfg, progress=cfg.progress and team.main), team, trial)
    finally:
        torch.set_flush_denormal(False)  # a property of the process, not of training


def _run(cfg: TrainConfig, team: Team, trial: Trial | None) -> dict[str, Any]:
    out = Path(cfg.out)
    require(not cfg.rollout_every or trial is not None, f"rollout_every={cfg.rollout_every}, but nothing here can try a policy")
    torch.set_num_threads(cfg.threads or max(1, (os.cpu_count() or 1) // launched("LOCAL_WORLD_SIZE")))
    done = checkpoints(out)
    if done and not cfg.resume:
        raise PolicyError(f"{out} already holds a run at step {int(done[-1].name)}; resume=true continues it, or choose another out=")
    newest = int(done[-1].name) if done else 0
    if newest != team.first(newest):
        raise PolicyError(f"{out} holds step {newest} here, but not where the first process is: it has to be on a disk that all share")
    dataset, blend = open_data(cfg)
    if cfg.policy.encoder.backbone:
        encoder = resolve(cfg.policy.encoder, Contract.of_dataset(dataset.info).size)
        cfg = replace(cfg, policy=replace(cfg.policy, encoder=encoder))
    with team.turns():  # one makes the cache
        sampler, contract = open_sampler(cfg, dataset, blend)
    torch.manual_seed(cfg.seed)
    p = cfg.policy
    fingerprint = _fingerprint(cfg, dataset, sampler.cache.fingerprint, blend)
    made = Checkpoint(p, contract.with_policy(p.chunk, p.execute, p.history), measure_stats(sampler, p.actions), fingerprint)
    if done:
        _check_same(done[-1], made)
    trainer = Trainer(cfg, made, sampler, team, done[-1] if done else None)
    _loop(cfg, trainer, out, trial)
    seconds, validation = trainer.seconds, trainer.validate()
    if not team.main:
        return {}
    return {
        "steps": trainer.step,
        "seconds": round(seconds, 1),
        "samples_per_second": round(trainer.step * cfg.batch / max(seconds, 1e-9), 1),
        "checkpoint": str(checkpoints(out)[-1]),
        **({} if team.world == 1 else {"processes": team.world}),
        **_selected(cfg, dataset),
        **({} if blend is None else {"mixture": made.fingerprint["mixture"]}),
        **{k: round(v, 5) for k, v in validation.items()},
        **best(out),
    }


def pick_device(name: str) -> torch.device:
    """The device that is asked for; auto takes the GPU where there is one. Raises PolicyError."""
    if name == "cuda" and not torch.cuda.is_available():
        raise PolicyError("device=cuda, but no CUDA device is usable here; device=cpu works everywhere")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


def open_data(cfg: TrainConfig) -> tuple[Dataset | Selected, Blend | None]:
    """What is trained on: a data set or what is selected of it, or a mixture's, with their weights. Raises PolicyError, StoreError."""
    if not cfg.mixture:
        return open_selection(open_dataset(cfg.data), Path(cfg.data), cfg.select), None
    from episodes.mixture import Mixture

    mixture = Mixture.load(cfg.mixture)
    used = [entry for entry in mixture.entries if entry.weight > 0]
    steps = [int(open_dataset(entry.path).lengths.sum()) for entry in used]
    if empty := [entry.name for entry, n in zip(used, steps, strict=True) if not n]:
        raise PolicyError(f"{empty[0]} of {cfg.mixture} holds no episode")
    share = Mixture(tuple(used)).probabilities(steps, balance=cfg.balance)
    blend = Blend(tuple(entry.name for entry in used), share, np.cumsum(steps))
    return open_dataset([entry.path for entry in used]), blend


def open_sampler(cfg: TrainConfig, dataset: Dataset | Selected, blend: Blend | None = None) -> tuple[Sampler, Contract]:
    """The training samples of a dataset, from their cache in the run folder. Raises PolicyError, StoreError."""
    contract = Contract.of_dataset(dataset.info)
    encoder = cfg.policy.encoder
    form = FORMS[encoder.pooling]
    keep = form.keep
    if cfg.photometric is not Recolouring.none and keep is not Keep.ALL:
        raise PolicyError(
            f"photometric={cfg.photometric.value} needs whole pictures; pooling={encoder.pooling.value} keeps only the object's patches: "
            "widen the data set first: cezanne augment chain=[photometric]"
        )
    wrist = tuple(camera.body != "world" for camera in dataset.info.cameras.values())
    with tqdm(total=len(dataset), desc="patches", unit="episode", disable=not cfg.progress, leave=False) as bar:
        kept = Kept(encoder.patch, keep, cfg.frame_stride, cfg.holdout, cfg.seed, encoder.rule, encoder.masking)
        cache = open_cache(Path(cfg.out), dataset, kept, watch=bar.update)
    sampler = Sampler(
        cache,
        chunk=cfg.policy.chunk,
        execute=cfg.policy.execute,
        history=cfg.policy.history,
        joints=len(contract.joints),
        cap=encoder.cap if keep.sparse else 0,
        training_cap=cfg.patches if keep.sparse else 0,
        proprio_noise=cfg.proprio_noise,
        colour=cfg.colour,
        plain=form.shaped,
        before_closing=cfg.before_closing,
        recolour=Recolour(cfg.photometric.value, wrist, contract.size, encoder.patch) if cfg.photometric is not Recolouring.none else None,
        flow=cfg.policy.head is Head.flow,
        blend=blend,
    )
    if not len(sampler.train_frames):
        raise PolicyError(f"{cfg.mixture or cfg.data} holds no labelled step to train on")
    if not cache.silhouette[:, 0].any():
        raise PolicyError(f"{cfg.mixture or cfg.data}: the object is in view of no camera at any step; its masks are empty")
    if blend is not None:
        blend.check(cache.table.frame[sampler.train_frames])
    return sampler, contract


def _loop(cfg: TrainConfig, trainer: Trainer, out: Path, trial: Trial | None) -> None:
    """Steps until the budget is used, with a log, validation, trials and checkpoints on the way."""
    saved_at = trainer.seconds
    # the bar runs over the schedule, so that time left is right for steps and for minutes
    bar = tqdm(total=100.0, initial=round(100 * trainer.progress, 1), desc="train", unit="%", disable=not cfg.progress, bar_format=BAR)
    with bar, _open_log(cfg, trainer, out) as log:
        try:
            if trainer.team.main:
                _show(cfg, trainer, out, log)
            _try(cfg, trainer, out, trial, log)  # what a killed run owes
            while trainer.progress < 1:
                with patient(trainer.asked):
                    trainer.train_step()
                if trainer.step % cfg.log_every == 0:
                    entry = trainer.flush()
                    log.write(trainer.step, entry)
                    bar.set_postfix_str(f"step {trainer.step}, loss {entry['loss']:.3f}", refresh=False)
                if trainer.step % cfg.validate_every == 0:
                    log.write(trainer.step, trainer.validate())
                if trainer.stopped:
                    raise KeyboardInterrupt
                bar.n = min(100.0, round(100 * trainer.progress, 1))
                bar.update(0)
                by_steps = cfg.checkpoint_steps and trainer.step % cfg.checkpoint_steps == 0
                if by_steps or (cfg.checkpoint_seconds and trainer.seconds - saved_at >= cfg.checkpoint_seconds):
                    trainer.save(out)
                    saved_at = trainer.seconds
                _try(cfg, trainer, out, trial, log)
        finally:  # Ctrl-C too: nothing is lost
            trainer.close()
            if trainer.whole:
                trainer.save(out)


def _open_log(cfg: TrainConfig, trainer: Trainer, out: Path) -> RunLog | NoLog:
    """The log, of the main process. Raises PolicyError where a tracker cannot be used."""
    if not trainer.team.main:
        return NoLog()
    out.mkdir(parents=True, exist_ok=True)
    trackers: list[Tracking] = [Bias(out, trainer.checkpoint.fingerprint)] if cfg.tracker is Tracker.wandb else []
    return RunLog(out, trainer.step, [Board(out, trainer.step), *trackers])


def _show(cfg: TrainConfig, trainer: Trainer, out: Path, log: RunLog | NoLog) -> None:
    """What the network sees of a batch, as batch.jpg and in the log, unless it is there."""
    path = out / "batch.jpg"
    if path.exists() or trainer.step:
        return
    encoder = cfg.policy.encoder
    batch = trainer.sampler.draw(cfg.seed, 0, cfg.batch)
    size, keep = trainer.checkpoint.contract.size, FORMS[encoder.pooling].keep
    blank = keep.sparse and encoder.masking is not Masking.patch
    image = draw_batch(batch, size, encoder.patch, keep, blank=blank, scale=max(1, 256 // max(size)))
    save_batch(path, image)
    log.picture(0, "batch", image)


def _try(cfg: TrainConfig, trainer: Trainer, out: Path, trial: Trial | None, log: RunLog | NoLog) -> None:
    """Tries the policy where it is due and was not tried yet; the other processes wait at their next step."""
    step = trainer.step
    if trial is None or not cfg.rollout_every or not step or step % cfg.rollout_every:
        return
    checkpoint = trainer.save(out)  # what is tried is what can be had
    if trainer.team.main and not tried(out, step):
        log.write(step, trial(cfg, checkpoint))
        keep_best(out, checkpoint)


def _fingerprint(cfg: TrainConfig, dataset: Dataset | Selected, data: str, blend: Blend | None = None) -> dict[str, Any]:
    """What made the weights. `dataset` names the seed of the toys, so that an evaluation can tell which are unseen."""
    versions = {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
    settings = asdict(cfg)
    if cfg.select == Selection():
        del settings["select"]
    return {
        "data": data,
        "dataset": dict(dataset.info.fingerprint),
        **_selected(cfg, dataset),
        **({} if blend is None else {"mixture": dict(zip(blend.names, blend.probability.round(6).tolist(), strict=True))}),
        "train": plain(settings),
        "versions": versions,
    }


def _selected(cfg: TrainConfig, dataset: Dataset | Selected) -> dict[str, Any]:
    """What was asked for of the data set, and what that is; nothing where it is all of it."""
    return {"selected": plain(asdict(cfg.select)) | dataset.describe()} if isinstance(dataset, Selected) else {}


def _check_same(path: Path, made: Checkpoint) -> None:
    """Raises PolicyError where the run at `path` was started with other data or another configuration."""
    stored, _ = load_checkpoint(path)
    then, now = stored.fingerprint, made.fingerprint
    if then.get("data") != now["data"]:
        raise PolicyError(f"{path.parent.parent} was trained on other data; choose another out=")
    if then.get("mixture") != now.get("mixture"):
        was, is_now = (dict(found.get("mixture") or {}) or "one data set" for found in (then, now))
        raise PolicyError(f"{path.parent.parent} was trained on {was}, now it would be on {is_now}; choose another out=")
    before = _filled(then.get("train", {}), plain(asdict(TrainConfig())))  # what an older run does not say was as it is by default
    changed = [k for k, v in now["train"].items() if k not in FREE and before.get(k) != v]
    if changed:
        names, settings = ", ".join(changed), path / "fingerprint.json"
        raise PolicyError(f"{path.parent.parent} was started with another {names}; choose another out=, or do as {settings} says")


def _filled(said: Any, default: Any) -> Any:
    """Tables within tables, with the defaults of what they do not say."""
    if not isinstance(said, dict) or not isinstance(default, dict):
        return said
    return default | {key: _filled(value, default.get(key)) for key, value in said.items()}
