"""`cezanne eval`: tries a policy on a suite, all cores at work, resumable object by object."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from assets.graspable import Graspable
from eval.bench import Bench, Checkpoint, Job, Simulation
from eval.errors import EvalError
from eval.fingerprint import checkpoint_digest, digest, fingerprint
from eval.kept import Kept
from eval.outcome import Outcome
from eval.results import Report, read_json
from eval.sources import SUITES, open_suite
from eval.suite import CELLS, Suite
from eval.trial import Rules
from hardware.api import Policy
from policies.contract import Contract
from sim.scene import SceneConfig
from sim.simrobot import SimRobot
from sim.workers import share


@dataclass
class EvalConfig:
    """A policy, what it is tried on, and what counts as success."""

    checkpoint: str = ""
    """Checkpoint folder of the policy."""
    suite: str = "toys"
    """toys (never seen), household (robosuite's six) or ycb."""
    objects: str = ""
    """A folder of packs (NAME/object.xml) or of meshes in metres, instead of a suite."""
    trials: int = 4
    """Start poses for each object, 1 to 16."""
    limit: int = 0
    """At most this many objects; 0: all, of toys 50."""
    execute: int = 0
    """Actions of each chunk that are carried out; 0: as the policy was trained."""
    lift: float = 0.10
    """How far above its rest height an object must be lifted [m]."""
    hold: float = 0.5
    """How long it must stay there [s]."""
    horizon: float = 8.0
    """Longest trial [s]."""
    workers: int = 0
    """Processes; 0: one for each core."""
    seed: int = 0
    """Of start poses and unseen toys."""
    out: str = "runs/eval"
    """Folder of the report; an interrupted evaluation is continued there."""
    videos: int = 4
    """Successes, and as many failures, that are shown in the report."""

    def __post_init__(self) -> None:
        if not 1 <= self.trials <= CELLS:
            raise EvalError(f"trials={self.trials}; an object is tried on 1 to {CELLS} start poses")
        for name in ("limit", "execute", "workers", "seed", "videos"):
            if getattr(self, name) < 0:
                raise EvalError(f"{name}={getattr(self, name)} cannot be negative")
        if self.suite not in SUITES:
            raise EvalError(f"unknown suite {self.suite!r}; known: {', '.join(SUITES)}; a folder is named by objects=FOLDER")
        self.rules()

    def rules(self) -> Rules:
        """What counts as success. Raises EvalError where that makes no sense."""
        return Rules(self.lift, self.hold, self.horizon, self.execute or None)


def run(cfg: EvalConfig) -> dict[str, Any]:
    """Evaluates, writes the report and returns the summary."""
    from eval.gallery import record
    from eval.report import Page, Section, write_report

    if not cfg.checkpoint:
        raise EvalError("checkpoint=FOLDER is needed: the policy to try")
    path, out = open_checkpoint(Path(cfg.checkpoint)), Path(cfg.out)
    suite = open_suite(cfg.objects or cfg.suite, trials=cfg.trials, seed=cfg.seed, limit=cfg.limit or None, checkpoint=path)
    report = evaluate(path, suite, cfg.rules(), workers=cfg.workers or None, out=out)
    summary = report.summary()
    report.save(out)
    clips = record(path, suite, report, each=cfg.videos, rules=cfg.rules(), workers=cfg.workers or None, out=out)
    command = "cezanne eval " + " ".join(f"{name}={value}" for name, value in asdict(cfg).items() if value not in ("", 0))
    facts = {"lift": f"{cfg.lift:g} m", "hold": f"{cfg.hold:g} s", "horizon": f"{cfg.horizon:g} s"}
    page = Page(f"{path.name} on {suite.name}", (Section(report, clips, parts_folder(out, report)),), commands=(command,), facts=facts)
    summary["report"] = str(write_report(out / "report.html", page))
    return summary


def evaluate(
    policy: str | Path | Callable[[], Policy],
    suite: Suite,
    rules: Rules | None = None,
    *,
    workers: int | None = None,
    out: Path | None = None,
    robot: Callable[[Graspable], Any] | None = None,
) -> Report:
    """Runs every trial of a suite.

    Args:
        policy: a checkpoint folder, or a picklable function that makes a policy.
        suite: what to try.
        rules: of success.
        workers: processes; None: one for each core; 0: this process.
        out: where finished objects are kept, and looked for: never those of another checkpoint, suite, rule or version. None: nowhere.
        robot: makes the robot for an object; by default the simulation that the contract asks for.

    Raises:
        EvalError, PolicyError: the checkpoint does not fit the scene.
    """
    begin = time.monotonic()
    bench, identity = make_bench(policy, suite, rules or Rules(), robot)
    settings = {**asdict(bench.rules), "trials": suite.trials, "robot": bench.robot}
    prints = fingerprint(suite.objects, settings, identity)
    kept = Kept(None if out is None else out / "parts" / digest(prints))
    jobs = tuple(Job(item, suite.of(index)) for index, item in enumerate(suite.objects))
    rows: dict[int, tuple[Outcome, ...]] = {}
    missing: dict[str, str] = {}
    spent = 0.0
    for index, job in enumerate(jobs):
        found = kept.load(job)
        if found is not None:
            rows[index] = found[0]
            spent += found[1]
    todo = [index for index in range(len(jobs)) if index not in rows]
    if rows:
        print(f"{suite.name}: {len(rows)} of {len(jobs)} objects kept from an earlier run with the same settings", file=sys.stderr)
    last = begin
    with tqdm(total=sum(len(jobs[k].trials) for k in todo), desc=f"eval {suite.name}", unit="trial", disable=not todo) as bar:
        for done in share(bench, [jobs[k] for k in todo], min(worker_count(workers), len(todo))):
            index = todo[done.index]
            bar.update(len(jobs[index].trials))
            if done.value is None:
                missing[jobs[index].item.name] = done.error
                bar.write(f"{jobs[index].item.name}: not tried: {done.error}", file=sys.stderr)
                continue
            rows[index] = done.value.rows
            now = time.monotonic()
            kept.save(jobs[index], done.value.rows, done.value.portrait, now - last)
            last = now
            bar.set_postfix_str(_rate(rows))
    return Report(suite.name, tuple(row for k in sorted(rows) for row in rows[k]), spent + time.monotonic() - begin, prints, missing)


def make_bench(
    policy: str | Path | Callable[[], Policy], suite: Suite, rules: Rules, robot: Callable[[Graspable], Any] | None
) -> tuple[Bench, str]:
    """What the workers need, and a short name for the policy that changes when the policy does."""
    if callable(policy):
        return Bench(policy, robot or Simulation(), rules, suite.name), digest([getattr(policy, "__qualname__", ""), policy])
    path = open_checkpoint(Path(policy))
    return Bench(Checkpoint(path), robot or simulation_for(contract_of(path), suite.objects[0]), rules, suite.name), checkpoint_digest(path)


def parts_folder(out: Path, report: Report) -> Path:
    """Where `evaluate` kept the parts of a report."""
    return out / "parts" / digest(dict(report.fingerprint))


def open_checkpoint(path: Path) -> Path:
    """The checkpoint folder itself, or the newest of a run folder. Raises PolicyError where there is none."""
    from policies.checkpoint import find_checkpoint  # imports torch

    return find_checkpoint(path)


def contract_of(checkpoint: Path) -> Contract:
    """What a checkpoint was trained for. Raises PolicyError where it does not say."""
    return Contract.from_json(read_json(checkpoint / "contract.json"))


def simulation_for(contract: Contract, item: Graspable) -> Simulation:
    """The simulation that a contract asks for, compared with what it is. Raises PolicyError where they do not fit."""
    height, width = contract.size
    if height != width:
        raise EvalError(f"the policy was trained with pictures of {height} by {width}; the simulation's are square")
    with SimRobot(SceneConfig(item, size=height)) as robot:
        names = tuple(camera.name for camera in robot.config.cameras)
        contract.check(Contract(names, (height, height), robot.arm.joints, 1, robot.arm.name, robot.dt))
    return Simulation(height)


def worker_count(workers: int | None) -> int:
    """Processes to use; None: one for each core."""
    return os.cpu_count() or 1 if workers is None else workers


def _rate(rows: Mapping[int, tuple[Outcome, ...]]) -> str:
    ran = [row.success for some in rows.values() for row in some if row.success is not None]
    return f"success {sum(ran)}/{len(ran)} = {sum(ran) / max(len(ran), 1):.0%}"
