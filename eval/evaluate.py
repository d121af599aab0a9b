"""`cezanne eval`: tries a policy on a suite, all cores at work, resumable trial by trial."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from assets.graspable import Graspable
from eval.bench import Bench, Checkpoint, Job, Simulation, Stand
from eval.errors import EvalError
from eval.fingerprint import assets_digest, checkpoint_digest, digest, fingerprint, origin
from eval.kept import Kept, write_jpeg
from eval.outcome import Key, Outcome
from eval.references import REFERENCES, Reference
from eval.results import Report
from eval.robosuite_suite import LOOPS, ROBOSUITE, Lab, abroad, check_guest, lab_for, moved
from eval.sources import open_suite, suite_names
from eval.suite import CELLS, Suite
from eval.trial import Rules
from hardware.api import Policy
from policies.contract import Contract, read_contract
from sim.camera import described
from sim.robots import find_robot
from sim.scene import SceneConfig
from sim.simrobot import SimRobot
from sim.variation import STRENGTHS, vary
from sim.workers import Done, check_executor, share

Opener = str | Path | Callable[[], Policy]
"""A policy: a checkpoint folder, the name of a reference, or a picklable function that makes one."""


@dataclass
class EvalConfig:
    """A policy, what it is tried on, and what counts as success."""

    checkpoint: str = ""
    """Checkpoint folder of the policy."""
    reference: str = ""
    """Instead of a checkpoint: expert (privileged state, the ceiling), heuristic (masks and geometry) or nothing (the floor)."""
    robot: str = "panda"
    """Whom a reference moves, a name of `sim.robots`; a checkpoint says so itself."""
    suite: str = "toys"
    """toys (never seen), household (robosuite's six), ycb, ycb65 (what an 80 mm jaw can take from above), robosuite (its own Lift
    and PickPlaceCan, in its own loop), or robosuite_twins (their objects in our scene)."""
    objects: str = ""
    """A folder of packs (NAME/object.xml) or of meshes in metres, instead of a suite."""
    loop: str = "ours"
    """Whose simulator it is tried in: ours, or robosuite, on its table, in its light, with its controller and contacts."""
    trials: int = 4
    """Start poses for each object, 1 to 16."""
    limit: int = 0
    """At most this many objects; 0: all, of toys 50."""
    axis: str = "none"
    """What is perturbed; see `cezanne sweep`, which brings the control arm along."""
    strength: float = STRENGTHS["medium"]
    """How much the axis is perturbed, above 0 to 1."""
    execute: int = 0
    """Actions of each chunk that are carried out; 0: as the policy was trained."""
    ensemble: float = 0.0
    """Half-life of a mean over the chunks that foresaw the present [control steps], for a small execute; 0: the newest chunk alone."""
    lift: float = 0.10
    """How far above its rest height an object must be lifted [m]."""
    hold: float = 0.5
    """How long it must stay there [s]."""
    horizon: float = 8.0
    """Longest trial [s]."""
    workers: int = 0
    """Processes; 0: one for each core."""
    executor: str = "local"
    """local: processes of this machine; ray: those of a Ray cluster."""
    address: str = "auto"
    """Of the Ray cluster."""
    seed: int = 0
    """Of start poses and unseen toys."""
    out: str = "runs/eval"
    """Folder of the report; an interrupted evaluation is continued there."""
    videos: int = 4
    """Successes, and as many failures, that are shown in the report."""

    def __post_init__(self) -> None:
        if not 1 <= self.trials <= CELLS:
            raise EvalError(f"trials={self.trials}; an object is tried on 1 to {CELLS} start poses")
        for name in ("limit", "execute", "ensemble", "workers", "seed", "videos"):
            if getattr(self, name) < 0:
                raise EvalError(f"{name}={getattr(self, name)} cannot be negative")
        if self.suite not in suite_names():
            raise EvalError(f"unknown suite {self.suite!r}; known: {', '.join(suite_names())}; a folder is named by objects=FOLDER")
        if self.loop not in LOOPS:
            raise EvalError(f"unknown loop {self.loop!r}; known: {', '.join(LOOPS)}")
        if self.reference and self.reference not in REFERENCES:
            raise EvalError(f"unknown reference {self.reference!r}; known: {', '.join(REFERENCES)}")
        if self.reference and self.checkpoint:
            raise EvalError(f"checkpoint={self.checkpoint} and reference={self.reference}; name one of them")
        find_robot(self.robot)
        if self.axis != "none":
            vary(self.axis, self.strength, 0)
        check_executor(self.executor, self.address)
        self.rules()

    def rules(self) -> Rules:
        """What counts as success. Raises EvalError where that makes no sense."""
        return Rules(self.lift, self.hold, self.horizon, self.execute or None, self.ensemble or None)


def run(cfg: EvalConfig) -> dict[str, Any]:
    """Evaluates, writes the report and returns the summary."""
    from eval.gallery import record
    from eval.pages.report import Page, Section, write_report

    if not cfg.checkpoint and not cfg.reference:
        raise EvalError("checkpoint=FOLDER is needed, the policy to try; or reference=NAME")
    policy: Opener = cfg.reference or open_checkpoint(Path(cfg.checkpoint))
    out = Path(cfg.out)
    checkpoint = policy if isinstance(policy, Path) else None
    suite = open_suite(cfg.objects or cfg.suite, trials=cfg.trials, seed=cfg.seed, limit=cfg.limit or None, checkpoint=checkpoint)
    if cfg.loop == ROBOSUITE:
        suite = moved(suite)
    if cfg.axis != "none":
        suite = suite.under(cfg.axis, cfg.strength)
    crew = Crew(cfg.workers or None, cfg.executor, cfg.address)
    robot = Simulation(robot=cfg.robot) if cfg.reference else None
    report = evaluate(policy, suite, cfg.rules(), crew=crew, out=out, robot=robot)
    summary = report.summary()
    report.save(out)
    clips = record(policy, suite, report, each=cfg.videos, rules=cfg.rules(), crew=crew, out=out, robot=robot)
    command = "cezanne eval " + " ".join(f"{name}={value}" for name, value in asdict(cfg).items() if value not in ("", 0))
    facts = {"lift": f"{cfg.lift:g} m", "hold": f"{cfg.hold:g} s", "horizon": f"{cfg.horizon:g} s"}
    if report.stalls:
        facts["draws that hung"] = ", ".join(f"{count} on {backend}" for backend, count in report.stalls.items())
    for backend, count in summary.get("drawn_by", {}).items():
        facts[f"drawn by {backend}"] = f"{count} trials, whose workers took the place of hung ones"
    if "theirs" in summary:
        facts["solved by robosuite's rules"] = "{} of {}".format(*summary["theirs"])
    title = f"{cfg.reference or Path(cfg.checkpoint).resolve().name} on {suite.name}"
    page = Page(title, (Section(report, clips, parts_folder(out, report)),), commands=(command,), facts=facts)
    summary["report"] = str(write_report(out / "report.html", page))
    return summary


@dataclass(frozen=True)
class Crew:
    """Who does the work: how many processes, and of what."""

    workers: int | None = None
    """None: one for each core of this machine, or of the cluster; 0: this process."""
    executor: str = "local"
    address: str = "auto"

    def share(self, bench: Bench, jobs: Sequence[Job]) -> Generator[Done]:
        """Results as they come, as `sim.workers.share` yields them."""
        return share(bench, jobs, self.workers, key=lambda job: job.key, executor=self.executor, address=self.address)


@dataclass(frozen=True)
class Opened:
    """A policy that is there, and the robot that it moves."""

    policy: Callable[[], Policy]
    robot: Callable[..., Any]
    identity: str
    """A short name that changes when the policy does."""


@dataclass(frozen=True)
class Cell:
    """One policy on one suite."""

    policy: Opener
    suite: Suite
    rules: Rules = field(default_factory=Rules)
    robot: Callable[..., Any] | None = None
    """Makes the robot for an object; by default the simulation that the contract asks for."""

    def open(self) -> Opened:
        """The policy and its robot, checked against each other. Raises EvalError, PolicyError."""
        policy = self.policy
        if isinstance(policy, str) and policy in REFERENCES:
            policy = Reference(policy)
        guest = abroad(self.suite.source)
        if guest:
            check_guest(self.suite, policy, self.robot)
        if callable(policy):
            identity = digest([getattr(policy, "__qualname__", ""), policy])
            return Opened(policy, Lab() if guest else self.robot or Simulation(), identity)
        path = open_checkpoint(Path(policy))
        check_policy(path)  # whole, before a worker starts: in a worker it would be every trial's end
        contract = contract_of(path)
        robot = lab_for(contract) if guest else self.robot or simulation_for(contract, self.suite.objects[0])
        return Opened(Checkpoint(path), robot, checkpoint_digest(path))

    def stand(self, opened: Opened) -> Stand:
        """What the workers need."""
        return Stand(opened.policy, opened.robot, self.rules, self.suite.name)

    def setup(self) -> dict[str, Any]:
        """What it takes to run one of the trials again, besides its row."""
        rules = {name: value for name, value in asdict(self.rules).items() if value is not None}
        policy = str(self.policy) if isinstance(self.policy, str | Path) else ""
        robot = self.robot.robot if isinstance(self.robot, Simulation) else ""
        return {"policy": policy, "robot": robot, "sources": {self.suite.name: self.suite.source}, "rules": rules}


def evaluate(
    policy: Opener,
    suite: Suite,
    rules: Rules | None = None,
    *,
    workers: int | None = None,
    out: Path | None = None,
    robot: Callable[..., Any] | None = None,
    crew: Crew | None = None,
) -> Report:
    """Runs every trial of a suite.

    Args:
        policy: a checkpoint folder, the name of a reference, or a picklable function that makes a policy.
        suite: what to try.
        rules: of success.
        workers: processes; None: one for each core; 0: this process.
        out: where finished trials are kept, and looked for: never those of another checkpoint, object, rule or version. None: nowhere.
        robot: makes the robot for an object; by default the simulation that the contract asks for.
        crew: who does the work, where that is more than a number of workers.

    Raises:
        EvalError, PolicyError: the checkpoint does not fit the scene.
    """
    (report,) = evaluate_all([Cell(policy, suite, rules or Rules(), robot)], crew=crew or Crew(workers), out=out)
    return report


def evaluate_all(
    cells: Sequence[Cell],
    *,
    crew: Crew | None = None,
    out: Path | None = None,
    watch: Callable[[int, Outcome], None] | None = None,
    progress: bool = True,
) -> list[Report]:
    """Runs every trial of several cells with one set of workers; one report a cell, the same for any number of workers.

    Args:
        cells: policies and suites.
        crew: who does the work.
        out: as for `evaluate`.
        watch: hears of each trial: its cell, and how it went.
        progress: show a bar on stderr.
    """
    folders: dict[str, Kept] = {}  # cells that differ in their trials alone share one
    stands: list[Stand] = []  # arms of one policy and suite stand at the same one: a worker loads its policy once
    at, prints, kept = [], [], []
    opened: dict[tuple[Opener, Any], Opened] = {}  # arms share their policies and objects; to open and to hash them takes a while
    assets: dict[int, str] = {}
    for cell in cells:
        if (cell.policy, cell.robot) not in opened:
            opened[cell.policy, cell.robot] = cell.open()
        if id(cell.suite.objects) not in assets:
            assets[id(cell.suite.objects)] = assets_digest(cell.suite.objects)
        found = opened[cell.policy, cell.robot]
        stand = cell.stand(found)
        if stand not in stands:
            stands.append(stand)
        at.append(stands.index(stand))
        settings = {**asdict(cell.rules), "robot": found.robot}
        prints.append(fingerprint(assets[id(cell.suite.objects)], settings, found.identity))
        name = f"{origin(prints[-1])} {cell.suite.name}"
        if name not in folders:
            folders[name] = Kept(None if out is None else out / "parts" / origin(prints[-1]))
        kept.append(folders[name])
    tried: list[dict[int, Outcome]] = [{} for _ in cells]
    spent, missing = [0.0] * len(cells), [dict[str, str]() for _ in cells]
    stalls = [Counter[str]() for _ in cells]
    todo: list[tuple[int, int, Job]] = []
    again: list[tuple[int, int]] = []  # what another cell of this call tries
    begun: set[tuple[int, Key]] = set()
    for c, cell in enumerate(cells):
        shown: set[str] = set()
        for t, trial in enumerate(cell.suite.trials):
            key = (cell.suite.name, *trial.key)
            if key in kept[c].found:
                tried[c][t], seconds = kept[c].found[key]
                spent[c] += seconds
                continue
            if (id(kept[c]), key) in begun:
                again.append((c, t))
                continue
            begun.add((id(kept[c]), key))
            picture = kept[c].portrait(trial.name)
            wanted = trial.axis == "none" and picture is not None and trial.name not in shown and not picture.exists()
            shown.add(trial.name)
            todo.append((c, t, Job(at[c], cell.suite.objects[trial.object], trial, portrait=wanted)))
    _say_kept(cells, tried)
    last = time.monotonic()
    called = cells[0].suite.name if len({cell.suite.name for cell in cells}) == 1 else f"{len(cells)} arms"
    with tqdm(total=len(todo), desc=f"eval {called}", unit="trial", disable=not (todo and progress)) as bar:
        for done in (crew or Crew()).share(Bench(tuple(stands)), [job for _, _, job in todo]):
            c, t, job = todo[done.index]
            bar.update()
            stalls[c].update(done.stalls)
            if done.value is None:
                missing[c].setdefault(job.item.name, done.error)
                bar.write(f"{job.item.name}: not tried: {done.error}", file=sys.stderr)
                continue
            now = time.monotonic()
            row = replace(done.value.row, gl=done.drawn_by or None)
            tried[c][t] = row
            spent[c] += now - last
            if done.value.portrait is not None:
                write_jpeg(_there(kept[c].portrait(job.item.name)), done.value.portrait)
            kept[c].add(row, now - last)
            last = now
            bar.set_postfix_str(_rate(tried), refresh=False)
            if watch is not None:
                watch(c, row)
    for c, t in again:
        key = (cells[c].suite.name, *cells[c].suite.trials[t].key)
        if key in kept[c].found:
            tried[c][t] = kept[c].found[key][0]
            if watch is not None:
                watch(c, tried[c][t])
    return [
        Report(
            cell.suite.name,
            tuple(tried[c][t] for t in sorted(tried[c])),
            spent[c],
            prints[c],
            missing[c],
            len(cell.suite.trials),
            cell.setup(),
            stalls[c],
        )
        for c, cell in enumerate(cells)
    ]


def parts_folder(out: Path, report: Report) -> Path:
    """Where `evaluate` kept the parts of a report."""
    return out / "parts" / origin(report.fingerprint)


def open_checkpoint(path: Path) -> Path:
    """The checkpoint folder itself, or the newest of a run folder. Raises PolicyError where there is none."""
    from policies.checkpoint import find_checkpoint  # imports torch

    return find_checkpoint(path)


def contract_of(checkpoint: Path) -> Contract:
    """What a checkpoint was trained for. Raises PolicyError where it does not say."""
    return read_contract(checkpoint)


def check_policy(checkpoint: Path) -> None:
    """Raises PolicyError where anything in a checkpoint folder is not as it must be."""
    from policies import load_policy  # imports torch

    load_policy(checkpoint)


def simulation_for(contract: Contract, item: Graspable) -> Simulation:
    """The simulation that a contract asks for, compared with what it is. Raises PolicyError where they do not fit."""
    height, width = contract.size
    if height != width:
        raise EvalError(f"the policy was trained with pictures of {height} by {width}; the simulation's are square")
    find_robot(contract.embodiment)
    with SimRobot(SceneConfig(item, size=height, robot=contract.embodiment)) as robot:
        views, arm = {camera.name: described(camera, height) for camera in robot.config.cameras}, robot.arm
        contract.check(Contract(tuple(views), (height, height), arm.joints, len(arm.hand.values), arm.name, robot.dt, views=views))
    return Simulation(height, contract.embodiment)


def _there(path: Path | None) -> Path:
    assert path is not None
    return path


def _say_kept(cells: Sequence[Cell], tried: Sequence[dict[int, Outcome]]) -> None:
    found, planned = sum(map(len, tried)), sum(len(cell.suite.trials) for cell in cells)
    if found:
        print(f"{found} of {planned} trials kept from an earlier run with the same settings", file=sys.stderr)


def _rate(tried: Sequence[dict[int, Outcome]]) -> str:
    ran = [row.success for rows in tried for row in rows.values() if row.success is not None]
    return f"success {sum(ran)}/{len(ran)} = {sum(ran) / max(len(ran), 1):.0%}"
