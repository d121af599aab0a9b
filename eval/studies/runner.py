"""`cezanne study`: trains and tries the arms of one question, then draws the figure and writes the answer."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from conf import nearest
from conf.compose import compose
from episodes import open_dataset
from eval.errors import EvalError
from eval.evaluate import Cell, Crew, Opener, evaluate_all, open_checkpoint
from eval.fingerprint import digest
from eval.results import write_json
from eval.shortcuts import run as shortcuts
from eval.sources import known_suites, open_suite
from eval.stage import stage
from eval.studies import STUDIES
from eval.studies.document import place, section
from eval.studies.figure import draw
from eval.studies.study import PROFILES, Arm, Profile, Result
from eval.suite import CELLS, Suite
from eval.trial import Rules
from policies.config import TrainConfig
from sim.workers import check_executor


@dataclass
class StudyConfig:
    """A question, and what is at hand to answer it."""

    name: str = ""
    """Which study; `cezanne study list` names them all."""
    part: str = ""
    """Of the study of shortcuts: which figures, comma-separated; empty: all."""
    data: str = "runs/demo/data"
    """Demonstrations to train on, as `cezanne collect` or `cezanne demo` makes them."""
    checkpoint: str = "runs/demo/policy"
    """The policy of studies that train none."""
    profile: str = "cpu"
    """cpu: under an hour on two cores; gpu: at the size of the paper."""
    suite: str = ""
    """What arms are tried on; empty: as the profile says."""
    trials: int = 0
    """Start poses for each object; 0: as the profile says."""
    limit: int = 0
    """At most this many objects; 0: all. Of the study of shortcuts: seeds."""
    steps: int = 0
    """Steps of every training; 0: as the study says."""
    seed: int = 0
    """Of training and start poses."""
    workers: int = 0
    """Processes; 0: one for each core."""
    executor: str = "local"
    """local: processes of this machine; ray: those of a Ray cluster."""
    address: str = "auto"
    """Of the Ray cluster."""
    out: str = "runs/studies"
    """Folder of all studies; they share what they train."""
    document: str = ""
    """A Markdown file whose section of this study is written anew, its figure beside it, as docs/results.md."""

    def __post_init__(self) -> None:
        known = [*STUDIES, shortcuts.NAME]
        if self.name not in ("", "list", *known):
            raise EvalError(f"unknown study {self.name!r}" + nearest(self.name, known) + f"; known: {', '.join(known)}")
        if self.name == shortcuts.NAME:
            self._check_shortcuts()
        elif self.part:
            raise EvalError(f"part={self.part} belongs to the study of {shortcuts.NAME}")
        if self.profile not in PROFILES:
            raise EvalError(f"profile={self.profile}; known: {', '.join(PROFILES)}")
        if not 0 <= self.trials <= CELLS:
            raise EvalError(f"trials={self.trials}; an object is tried on 1 to {CELLS} start poses, 0 is as the profile says")
        for key in ("limit", "steps", "seed", "workers"):
            if getattr(self, key) < 0:
                raise EvalError(f"{key}={getattr(self, key)} cannot be negative")
        if self.suite:
            known_suites([self.suite])
        check_executor(self.executor, self.address)

    def _check_shortcuts(self) -> None:
        """It brings its own data, policies and trials."""
        for key in ("data", "checkpoint", "suite", "seed"):
            if getattr(self, key) != getattr(StudyConfig, key):
                raise EvalError(f"{key}={getattr(self, key)} says nothing to the study of {shortcuts.NAME}, which makes its own")

    def sized(self) -> Profile:
        """The profile, with what was said otherwise."""
        profile = PROFILES[self.profile]
        return replace(profile, suite=self.suite or profile.suite, trials=self.trials or profile.trials)


def run(cfg: StudyConfig) -> dict[str, Any]:
    """Runs every arm, or what is left of it, and returns the summary."""
    if cfg.name in ("", "list"):
        for study in STUDIES.values():
            print(f"{study.name:15} {study.question}", file=sys.stderr)
        print(f"{shortcuts.NAME:15} {shortcuts.QUESTION}", file=sys.stderr)
        return {"studies": [*STUDIES, shortcuts.NAME]}
    if cfg.name == shortcuts.NAME:
        return shortcuts.run(
            profile=cfg.profile,
            part=cfg.part,
            steps=cfg.steps,
            trials=cfg.trials,
            limit=cfg.limit,
            workers=cfg.workers,
            executor=cfg.executor,
            address=cfg.address,
            out=Path(cfg.out),
            document=cfg.document,
        )
    study, profile, out = STUDIES[cfg.name], cfg.sized(), Path(cfg.out)
    arms = study.arms(profile)
    policies = [_policy(cfg, profile, arm, out) for arm in arms]
    cells, suites = [], dict[Opener | None, Suite]()
    for arm, (policy, _) in zip(arms, policies, strict=True):
        checkpoint = policy if isinstance(policy, Path) else None
        if checkpoint not in suites:
            suites[checkpoint] = open_suite(
                profile.suite, trials=profile.trials, seed=cfg.seed, limit=cfg.limit or None, checkpoint=checkpoint
            )
        suite = suites[checkpoint]
        suite = suite if arm.axis == "none" else suite.under(arm.axis, arm.strength)
        cells.append(Cell(policy, suite, Rules(execute=arm.execute)))
    reports = evaluate_all(cells, crew=Crew(cfg.workers or None, cfg.executor, cfg.address), out=out)
    results = [Result(arm, report, seconds, str(policy)) for arm, report, (policy, seconds) in zip(arms, reports, policies, strict=True)]
    folder = out / study.name
    answer = study.answer(results)
    for sentence in answer:
        print(sentence, file=sys.stderr)
    figure = draw(study, results, folder / f"{study.name}.svg")
    said = [
        f"{key}={value}" for key, value in asdict(cfg).items() if value != getattr(StudyConfig, key) and key not in ("name", "document")
    ]
    command = " ".join(["cezanne study", cfg.name, *said])
    text = section(study, results, answer, figure, command)
    (folder / "section.md").write_text(text)
    if cfg.document:
        place(Path(cfg.document), study.name, text, figure)
    summary = {
        "study": study.name,
        "arms": {r.arm.label: {"success_rate": round(r.rate, 4), "interval": _pair(r), **_counts(r)} for r in results},
        "answer": answer,
        "seconds": round(sum(r.report.seconds for r in results) + sum({r.checkpoint: r.seconds for r in results}.values()), 1),
        "figure": str(figure),
    }
    write_json(folder / "summary.json", {**summary, "fingerprint": dict(results[0].report.fingerprint), "command": command})
    return summary


def _policy(cfg: StudyConfig, profile: Profile, arm: Arm, out: Path) -> tuple[Opener, float]:
    """The policy of an arm, trained where it is not there yet, and the seconds that took."""
    if arm.reference:
        return arm.reference, 0.0
    if arm.train is None:
        return open_checkpoint(Path(cfg.checkpoint)), 0.0
    steps = (f"steps={cfg.steps}",) if cfg.steps else ()
    overrides = [f"data={cfg.data}", f"seed={cfg.seed}", *profile.train, *arm.train, *steps]
    how: TrainConfig = _configured(overrides)
    dataset = open_dataset(cfg.data)
    free = {"out", "data", "resume", "threads", "progress"}
    settings = [
        {key: value for key, value in asdict(how).items() if key not in free},
        dataset.info.to_json(),
        [int(n) for n in dataset.lengths],
    ]
    name = f"policy-{digest(settings)}"
    print(f"-- {arm.label}: cezanne train {' '.join(overrides)}", file=sys.stderr, flush=True)

    def make(folder: Path) -> dict[str, Any]:
        from policies.train import run as train  # imports torch

        return train(replace(how, out=str(folder), resume=True))

    product = stage(name, out, settings, None, make)
    return open_checkpoint(product.folder), product.seconds


def _configured(overrides: list[str]) -> Any:
    from omegaconf import OmegaConf

    last = {override.split("=")[0]: override for override in overrides}  # a later word wins
    return OmegaConf.to_object(compose("train", TrainConfig, list(last.values())))


def _pair(result: Result) -> list[float]:
    return [round(result.interval.low, 4), round(result.interval.high, 4)]


def _counts(result: Result) -> dict[str, int]:
    successes, trials = result.report.count()
    return {"successes": successes, "trials": trials}
