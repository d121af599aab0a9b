"""`cezanne demo`: from a seed to a report."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from assets.objects import find_ycb
from assets.toys import ToySet
from episodes import open_dataset
from episodes.picture import sheet
from eval.errors import EvalError
from eval.evaluate import Crew, evaluate, parts_folder
from eval.fingerprint import digest
from eval.gallery import record
from eval.kept import write_jpeg
from eval.memory import Peak
from eval.pages.report import Comparison, Page, Picture, Section, Stage, write_report
from eval.results import Report, load_report, read_json, write_json
from eval.sources import open_suite
from eval.stage import Product, stage
from eval.statistics import paired
from eval.suite import CELLS, Suite
from eval.trial import Rules
from policies.config import Pooling, TrainConfig

_SHOWN = 40
"""Toys on the sheet."""


@dataclass
class DemoConfig:
    """The whole way: toys, demonstrations, training, evaluation, report."""

    out: str = "runs/demo"
    """Folder of everything; what is complete there and was made with the same settings is kept."""
    toys: int = 220
    """Toys to play with."""
    demos: int = 660
    """Demonstrations to learn from."""
    seed: int = 0
    """Of toys, demonstrations, training and start poses."""
    train: TrainConfig = field(default_factory=lambda: TrainConfig(steps=1900))
    """How the policy is trained; data, out, seed and resume are the demo's own."""
    baselines: bool = False
    """Also train mean pooling on the same data for as many steps, and compare: it computes every patch, about 3 s a step on two cores."""
    test_toys: int = 50
    """Toys never played with, to be tested on."""
    trials: int = 3
    """Start poses for each toy and each YCB object; the six household objects get four times as many, at most 16."""
    videos: int = 4
    """Successes, and as many failures, that the report shows of each suite."""
    workers: int = 0
    """Processes; 0: one for each core."""

    def __post_init__(self) -> None:
        for name, least in (("toys", 1), ("demos", 1), ("seed", 0), ("test_toys", 1), ("videos", 0), ("workers", 0)):
            if getattr(self, name) < least:
                raise EvalError(f"{name}={getattr(self, name)}; at least {least} is needed")
        if not 1 <= self.trials <= CELLS:
            raise EvalError(f"trials={self.trials}; an object is tried on 1 to {CELLS} start poses")
        if self.demos < self.toys:
            raise EvalError(f"demos={self.demos} on toys={self.toys}; at least one each is needed")


def run(cfg: DemoConfig) -> dict[str, Any]:
    """Goes the whole way, or what is left of it, and returns the summary."""
    out = Path(cfg.out)
    suites = _suites(cfg)  # first: what cannot be tested is better known before an hour of training
    with Peak() as peak:
        toys = stage("toys", out, [cfg.seed, cfg.toys], None, lambda folder: _toys(cfg, folder))
        data = stage("data", out, cfg.demos, toys, lambda folder: _collect(cfg, folder))
        policy = stage("policy", out, _training(cfg, Pooling.det), data, lambda folder: _train(cfg, cfg.train, data, folder))
        tested = {name: _test(cfg, out, f"eval-{name}", suite, policy) for name, suite in suites.items()}
        stages = [toys, data, policy, *tested.values()]
        comparisons: list[Comparison] = []
        if cfg.baselines:
            encoder = replace(cfg.train.policy.encoder, pooling=Pooling.mean)
            other = replace(cfg.train, policy=replace(cfg.train.policy, encoder=encoder), steps=policy.summary["steps"], minutes=0.0)
            settings = [_training(cfg, Pooling.mean), other.steps]
            mean = stage("policy-mean", out, settings, data, lambda folder: _train(cfg, other, data, folder))
            rivals = {name: _test(cfg, out, f"eval-{name}-mean", suite, mean) for name, suite in suites.items()}
            stages += [mean, *rivals.values()]
            for name in suites:
                both = paired(load_report(tested[name].folder).rows, load_report(rivals[name].folder).rows)
                comparisons.append(Comparison(name, "mean pooling", both))
        sections = tuple(_section(cfg, suites[name], product, policy) for name, product in tested.items())
    gigabytes = _highest(out, peak.bytes) / 1e9
    seconds = sum(product.seconds for product in stages)
    page = Page(
        "Grasping anything, after playing with random toys",
        sections,
        lead=_lead(data, policy),
        comparisons=tuple(comparisons),
        pictures=_pictures(toys, data),
        stages=tuple(Stage(product.name, product.seconds, _says(product)) for product in stages),
        commands=("cezanne demo " + _overrides(cfg),),
        facts={"peak memory": f"{gigabytes:.1f} GB", "cores": str(os.cpu_count()), "seed": str(cfg.seed)},
    )
    report = write_report(out / "report.html", page)
    print(f"== report: {report}", file=sys.stderr)
    names = {"toys": "unseen_toys", "household": "real_objects", "ycb": "ycb"}
    summary = {
        "seconds": round(seconds, 1),
        **{names[name]: product.summary for name, product in tested.items()},
        "report": str(report),
        "peak_memory_gb": round(gigabytes, 2),
        "stages": {product.name: round(product.seconds, 1) for product in stages},
    }
    if comparisons:
        summary["against_mean_pooling"] = {names[comparison.suite]: asdict(comparison.paired) for comparison in comparisons}
    write_json(out / "summary.json", {**summary, "fingerprint": {s.report.suite: dict(s.report.fingerprint) for s in sections}})
    return summary


def _toys(cfg: DemoConfig, folder: Path) -> dict[str, Any]:
    from sim.catalogue import contact_sheet

    toys = ToySet.sample(cfg.seed, cfg.toys)
    toys.save(folder / "toys.json")
    write_jpeg(folder / "sheet.jpg", np.asarray(contact_sheet(toys.toys[:_SHOWN])))
    return {"toys": len(toys)}


def _collect(cfg: DemoConfig, folder: Path) -> dict[str, Any]:
    from sim.collect import CollectConfig
    from sim.collect import run as collect

    summary = collect(CollectConfig(out=str(folder), toys=cfg.toys, demos=cfg.demos, seed=cfg.seed, workers=cfg.workers))
    if not summary["demonstrations"]:
        raise EvalError(f"not one of {cfg.demos} demonstrations succeeded: there is nothing to learn from")
    dataset = open_dataset(folder)
    episode = dataset[len(dataset) // 2]
    moments = np.linspace(0, len(episode) - 1, 7).round().astype(int)
    frames, masks = [episode.images[name][moments] for name in episode.images], [episode.masks[name][moments] for name in episode.images]
    labels = [f"{t * episode.dt:.1f} s" for t in moments]
    write_jpeg(folder / "demonstration.jpg", sheet(frames, masks, columns=labels, rows=list(episode.images), height=192), quality=90)
    return summary


def _training(cfg: DemoConfig, pooling: Pooling) -> list[object]:
    """What a policy depends on."""
    free = {"out", "data", "resume", "threads", "progress", "seed"}
    return [{name: value for name, value in asdict(cfg.train).items() if name not in free}, pooling.name, cfg.seed]


def _train(cfg: DemoConfig, how: TrainConfig, data: Product, folder: Path) -> dict[str, Any]:
    from policies.train import run as train

    return train(replace(how, data=str(data.folder), out=str(folder), seed=cfg.seed, resume=True))


def _suites(cfg: DemoConfig) -> dict[str, Suite]:
    suites = {
        "toys": open_suite("toys", trials=cfg.trials, seed=cfg.seed, limit=cfg.test_toys),
        "household": open_suite("household", trials=min(4 * cfg.trials, CELLS), seed=cfg.seed),
    }
    return suites if find_ycb() is None else {**suites, "ycb": open_suite("ycb", trials=cfg.trials, seed=cfg.seed)}


def _test(cfg: DemoConfig, out: Path, name: str, suite: Suite, policy: Product) -> Product:
    def make(folder: Path) -> dict[str, Any]:
        report = evaluate(policy.folder, suite, Rules(), workers=cfg.workers or None, out=folder)
        report.save(folder)
        record(policy.folder, suite, report, each=cfg.videos, out=folder, crew=Crew(cfg.workers or None))
        return report.summary()

    return stage(name, out, [suite.trials, [digest(item) for item in suite.objects], asdict(Rules())], policy, make)


def _section(cfg: DemoConfig, suite: Suite, product: Product, policy: Product) -> Section:
    report: Report = load_report(product.folder)
    clips = record(policy.folder, suite, report, each=cfg.videos, out=product.folder, crew=Crew(cfg.workers or None))
    return Section(report, clips, parts_folder(product.folder, report))


def _pictures(toys: Product, data: Product) -> tuple[Picture, ...]:
    says = "As the policy sees it, by both cameras; it looks only inside the outline."
    shown = (
        Picture("The toys it played with", toys.folder / "sheet.jpg", f"{toys.summary['toys']} in all; number and longest side."),
        Picture("A demonstration", data.folder / "demonstration.jpg", says),
    )
    return tuple(picture for picture in shown if picture.path.exists())


def _lead(data: Product, policy: Product) -> str:
    made = data.summary
    return (
        f"{made['demonstrations']:,} demonstrations on {made['toys']} random toys, {policy.summary['steps']:,} steps of training; "
        "then objects that the policy has never seen. Everything here was made by one command."
    )


def _says(product: Product) -> str:
    told: Mapping[str, Any] = product.summary
    if "success_rate" in told:
        return f"{told['successes']} of {told['trials']} trials"
    if "demonstrations" in told:
        return f"{told['demonstrations']} demonstrations, {told['toys_solved']} of {told['toys']} toys solved"
    if "samples_per_second" in told:
        return f"{told['steps']} steps, {told['samples_per_second']:.0f} samples a second"
    return f"{told['toys']} toys"


def _overrides(cfg: DemoConfig) -> str:
    """What was asked for beyond the defaults, as it would be typed."""
    default, given = asdict(DemoConfig()), asdict(cfg)
    flat = {**given, **{f"train.{name}": value for name, value in given["train"].items() if name not in ("data", "out", "policy")}}
    usual = {**default, **{f"train.{name}": value for name, value in default["train"].items()}}
    changed = {name: value for name, value in flat.items() if name not in ("train", "workers") and value != usual[name]}
    return " ".join(f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in changed.items())


def _highest(out: Path, now: int) -> int:
    """The peak over all runs that the demo took."""
    path = out / "stages" / "memory.json"
    highest = max(now, int((read_json(path) or {}).get("bytes", 0)))
    write_json(path, {"bytes": highest})
    return highest
