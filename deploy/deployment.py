"""The trials of a deployment: the arm goes home, an object lies there, the policy runs; a stop is written down; at the end the report."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from assets.graspable import Graspable
from deploy.cameras.view_check import Look
from deploy.cameras.views import check_views
from deploy.config import DeployConfig
from deploy.errors import DeployError
from deploy.judge import GripJudge, TrialJudge, WorldJudge
from deploy.motion import go_home
from deploy.page import write_deployment
from deploy.person import ask, say
from deploy.policy import LivePolicy, check_first
from deploy.rig import Rig
from deploy.trial import Attempt, attempt, timing_of
from eval.results import write_json
from eval.statistics import wilson
from eval.suite import Trial
from eval.trial import Rules
from hardware.api import RobotError, SegmenterError
from hardware.blackbox import BlackBox, BoxPlan, RecordedWatch
from hardware.blackbox_file import dump
from hardware.calibration import Calibration
from hardware.camera_watch import CameraWatch
from hardware.limits import Limits
from hardware.reason import Reason
from hardware.segmenter import Box, Click, Prompt, Words
from hardware.session import reason_of, session
from hardware.station import Station
from hardware.stream import Pace
from policies.contract import Contract
from policies.segmenters.tabletop import Tabletop

_SHADOW = 1.0
"""Of predicting without commanding, before anything moves [s]."""


@dataclass
class Deployment:
    """A policy on a rig, from connecting to the report."""

    cfg: DeployConfig
    rig: Rig
    policy: LivePolicy
    contract: Contract
    limits: Limits
    calibrations: Mapping[str, Calibration]
    out: Path
    begun: float
    done: list[Attempt] = field(default_factory=list)

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """The arm, its cameras and the black box, for as long as the block."""
        arm, contract = self.rig.driver.arm, self.contract
        height, width = contract.size
        plan = BoxPlan(
            tuple(joint.name for joint in arm.joints),
            dict.fromkeys(contract.cameras, (height, width)),
            self.rig.driver.servo_hz,
            1 / contract.dt,
            contract.chunk,
            arm.gripper,
        )
        self.box = BlackBox(plan)
        with session(self.rig.driver, limits=self.limits, recorder=self.box) as self.arm:
            sizes = {camera.name: camera.size for camera in self.rig.cameras}
            watch = RecordedWatch(self._watch(sizes), self.box)
            self.station = Station(self.arm, self.rig.cameras, self.rig.segmenter, watch)
            self.pace = Pace(contract.dt, contract.execute, self.limits.speed)
            try:
                self.station.connect()
                yield
            except BaseException as error:
                self.arm.stop(*reason_of(error))
                self._keep("end")
                raise
            finally:
                self.station.close()

    def go(self, k: int, item: Graspable | None, trial: Trial | None) -> bool:
        """One trial; False where no other may follow it. Raises DeployError, RobotError."""
        name = trial.name if trial else self.cfg.target
        if not self.cfg.shadow:
            self._home(k)
        if k == 0:
            self._look_at_the_table()
        self._lay(k, item, trial)
        if self.arm.stopped:  # somebody bumped into it
            say(f"  stopped meanwhile: {self.arm.stopped.reason.value}: {self.arm.stopped.detail}")
            return self._cleared() and self.go(k, item, trial)
        try:
            tried = self._try(k, name)
        except SegmenterError as error:
            if k == 0:  # nothing has been done: the words, or the segmenter, are wrong
                raise
            tried = Attempt(name, False, "not_found", str(error), 0.0, 0, {})
        if self.arm.stopped:
            tried = replace(tried, blackbox=self._keep(f"trial-{k:03d}"))
        self.done.append(tried)
        wins = sum(row.success for row in self.done)
        say(f"{k + 1} of {self.cfg.trials}: {name}: {tried.reason} in {tried.seconds:.1f} s; {wins} of {len(self.done)} so far")
        if tried.detail:
            say(f"  {tried.detail}")
        if self.arm.stopped is None:
            return True
        if self.rig.world is None:
            return self._cleared()
        if self.arm.stopped.reason is Reason.OPERATOR:
            return False
        self.arm.clear()  # nobody stands beside a simulated arm
        return True

    def _try(self, k: int, name: str) -> Attempt:
        prompts = self._prompts()
        if k == 0 or self.cfg.shadow:
            self._rehearse(prompts)
        judge: TrialJudge = GripJudge(self.arm)
        if self.rig.world is not None:
            judge = WorldJudge(self.rig.world, self.arm, Rules(horizon=self.cfg.seconds), self.limits.speed)
        self.policy.reset(self.cfg.target)
        self.box.reset(self.cfg.target, time.monotonic())
        return attempt(
            name,
            self.station,
            self.arm,
            self.policy,
            self.pace,
            judge,
            prompts,
            self.box,
            seconds=self.cfg.seconds / self.limits.speed,
            say=self._note,
            shadow=self.cfg.shadow,
        )

    def report(self) -> dict[str, Any]:
        """Writes what happened, and returns the summary."""
        wins, stops = sum(row.success for row in self.done), sum(bool(row.blackbox) for row in self.done)
        tried = len(self.done)
        interval = wilson(wins, tried) if tried else None
        summary = {
            "trials": tried,
            "successes": wins,
            "stops": stops,
            "success_rate": round(wins / tried, 4) if tried else None,
            "interval": [round(interval.low, 4), round(interval.high, 4)] if interval else [0.0, 1.0],
            "speed": self.limits.speed,
            "seconds": round(time.monotonic() - self.begun, 1),
            "timing": timing_of(self.done),
            "late_ticks": self.arm.servo.late,
            "ticks": self.arm.servo.ticks,
        }
        about = {"robot": self.cfg.robot, "policy": dict(self.policy.fingerprint), "limits": list(self.limits.lines())}
        write_json(self.out / "deploy.json", {**summary, **about, "rows": [row.row() for row in self.done]})
        summary["report"] = str(write_deployment(self.out / "report.html", self.cfg.robot, summary, about, self.done))
        say(f"report: {summary['report']}")
        return summary

    def _note(self, text: str) -> None:
        self.box.note(time.monotonic(), text)
        say(f"  {text}")

    def _watch(self, sizes: Mapping[str, tuple[int, int]]) -> CameraWatch:
        if self.rig.world is None:
            return CameraWatch(max_age=0.5, sizes=sizes)
        return CameraWatch(max_age=2.0, repeats=None, sizes=sizes)  # rendered pictures of a scene at rest are alike, machines are busy

    def _home(self, k: int) -> None:
        """Goes home. A stop on the way ends the deployment, but in a simulated world, where it is cleared."""
        for _ in range(3):
            try:
                return go_home(self.arm)
            except DeployError:
                if self.rig.world is None or self.arm.stopped is None or self.arm.stopped.reason is Reason.OPERATOR:
                    raise
                say(f"  on the way home: {self.arm.stopped.reason.value}: {self.arm.stopped.detail}")
                self._keep(f"home-{k:03d}")
                self.arm.clear()
        raise DeployError("the arm does not come home: it was stopped on its way three times")

    def _look_at_the_table(self) -> None:
        """A segmenter that knows things by what is not table is shown the table, and the fingers, without a thing."""
        segmenter = self.rig.segmenter
        if not isinstance(segmenter, Tabletop):
            return
        if self.rig.world is not None:
            empty = dict(self.rig.world.empty())
        elif self.cfg.yes:
            return
        else:
            self._ask("clear the table, step back, and press Enter: pictures of the empty table are taken")
            empty = {name: frame.image for name, frame in self.station.frames().items()}
        self.station.segmenter = replace(segmenter, empty=empty)

    def _lay(self, k: int, item: Graspable | None, trial: Trial | None) -> None:
        """Puts the object of the trial on the table, or has a person do so."""
        if self.rig.world is not None and item is not None and trial is not None:
            self.rig.world.place(item, trial.xy, trial.seed)
            self._fresh()
        elif not self.cfg.yes:
            self._ask(
                f"put {self.cfg.target} in front of the arm, step back, and press Enter (trial {k + 1} of {self.cfg.trials}; Ctrl-C ends)"
            )

    def _fresh(self) -> None:
        """Waits for pictures that are younger than now."""
        now = time.monotonic()
        while self.station.newest() <= now:
            if time.monotonic() - now > 5:
                raise RobotError("the cameras send nothing new")
            time.sleep(0.01)

    def _prompts(self) -> Mapping[str, Prompt]:
        given: dict[str, Prompt] = dict.fromkeys(self.contract.cameras, Words(self.cfg.target))
        for name, (x, y) in self.cfg.click.items():
            given[name] = Click(int(x), int(y))
        for name, (x0, y0, x1, y1) in self.cfg.box.items():
            given[name] = Box(int(x0), int(y0), int(x1), int(y1))
        strange = [name for name in given if name not in self.contract.cameras]
        if strange:
            raise DeployError(f"a prompt for camera {strange[0]!r}; the policy's are {', '.join(self.contract.cameras)}")
        return given

    def _rehearse(self, prompts: Mapping[str, Prompt]) -> None:
        """The dry run: predicts and compares, commands nothing. Raises DeployError."""
        found = self.station.aim(prompts)
        missing = [name for name, seen in found.items() if not seen.mask.any()]
        if len(missing) == len(found):
            raise DeployError(f"no camera sees {self.cfg.target!r}")
        images = {name: frame.image for name, frame in self.station.frames().items()}
        look = Look(images, self.arm.state().qpos)
        for line in check_views(self.contract, self.rig.driver.arm, self.calibrations, [look]):
            say(line)
        self.policy.reset(self.cfg.target)
        end = time.monotonic() + _SHADOW
        while time.monotonic() < end:
            observation = self.station.observe()
            check_first(self.policy.predict(observation), observation, self.limits, self.contract)
            self.arm.hold()
            self._fresh()
        seen = ", ".join(name for name in found if name not in missing)
        say(f"dry run: the policy's answers are near where the arm is; the target is seen by {seen}")
        if self.rig.world is None and not self.cfg.shadow and not self.cfg.yes:
            self._ask(f"go, at {self.limits.speed:.0%} speed? Enter starts, Ctrl-C ends")

    def _ask(self, question: str) -> str:
        """Asks the person in front of the arm. The arm is at rest, and holds."""
        self.arm.hold()
        return ask(question)

    def _cleared(self) -> bool:
        """Whether a person has looked at the arm and lets it go on."""
        if self.cfg.yes:
            return False
        if self._ask("the arm was stopped; look at it, then type 'clear' to go on, anything else ends").strip() != "clear":
            return False
        self.arm.clear()
        return True

    def _keep(self, name: str) -> str:
        """Writes the black box; where that fails, says so: the stop itself has long gone through."""
        self.arm.rest()  # how it braked is worth keeping
        told = {"robot": self.cfg.robot, "target": self.cfg.target, "checkpoint": self.cfg.checkpoint}
        context = {**told, "limits": list(self.limits.lines())}
        try:
            return str(dump(self.box, self.out / "blackbox" / name, self.arm.stopped, context))
        except (OSError, RobotError) as error:
            say(f"the black box could not be written: {error}")
            return "not written"
