"""`cezanne deploy`: a checkpoint on an arm, simulated or physical, slowly first."""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from assets.graspable import Graspable
from deploy.cameras.views import load_calibrations
from deploy.config import DeployConfig
from deploy.deployment import Deployment
from deploy.errors import DeployError
from deploy.person import say
from deploy.policy import open_policy
from deploy.rig import Rig, contract_of, limits_of, open_rig
from eval.sources import open_suite
from eval.suite import Trial
from hardware.api import SegmenterError
from hardware.catalogue import Row, find_robot
from hardware.limits import Limits, Workspace
from hardware.place import forbidden_place
from policies.checkpoint import find_checkpoint
from policies.contract import Contract
from policies.segmenters.tabletop import Tabletop

__all__ = ["DeployConfig", "run"]

DEMO = "runs/demo/policy"
"""The policy of `make demo`."""


def run(cfg: DeployConfig) -> dict[str, Any]:
    """Runs the trials and writes the report; what was done before a stop is in it."""
    out = Path(cfg.out or f"runs/deploy/{datetime.now():%Y%m%d-%H%M%S}")  # names a folder for people; nothing is measured by it
    if out.is_dir() and any(out.iterdir()):
        raise DeployError(f"out={cfg.out} is not empty; name a new folder: a report is never written over")
    row = find_robot(cfg.robot)
    if row.simulated and not cfg.checkpoint and not cfg.server:
        if not Path(DEMO).is_dir():
            raise DeployError(f"which policy? checkpoint=FOLDER; `make demo` makes one, {DEMO}, which simulated robots take by themselves")
        cfg = replace(cfg, checkpoint=DEMO)
    if not row.simulated and not cfg.yes and not cfg.shadow and not sys.stdin.isatty():
        raise DeployError(f"robot={cfg.robot} moves a physical arm and nobody can be asked here; start it from a terminal, or say --yes")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeployError(f"out={out} is no folder that can be written to: {error.strerror}") from error
    with contextlib.ExitStack() as stack:
        stack.callback(_drop_if_empty, out)
        return _run(cfg, row, out)


def _drop_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _run(cfg: DeployConfig, row: Row, out: Path) -> dict[str, Any]:
    speed = row.speed if cfg.speed is None else cfg.speed
    trials = _trials(cfg) if row.simulated else [(None, None)] * cfg.trials
    with open_policy(cfg) as (policy, contract), open_rig(cfg, contract, trials[0][0]) as rig:
        limits = _limits(cfg, rig, speed)
        contract.check(contract_of(rig.driver, rig.cameras, contract.dt, simulated=rig.world is not None))
        calibrations = load_calibrations(cfg.calibration, rig.cameras)
        _check_words(cfg, rig, contract)
        say("the policy fits: " + f"{contract.embodiment}, cameras {', '.join(contract.cameras)}, {1 / contract.dt:.0f} Hz")
        for line in limits.lines():
            say(line)
        deployment = Deployment(cfg, rig, policy, contract, limits, calibrations, out, time.monotonic())
        try:
            with deployment.open():
                for k, (item, trial) in enumerate(trials):
                    if not deployment.go(k, item, trial):
                        break
        except BaseException:
            if deployment.done:
                deployment.report()
            raise
    return deployment.report()


def _trials(cfg: DeployConfig) -> list[tuple[Graspable | None, Trial | None]]:
    suite = open_suite(
        cfg.suite, trials=1, seed=cfg.seed, limit=cfg.trials, checkpoint=find_checkpoint(Path(cfg.checkpoint)) if cfg.checkpoint else None
    )
    return [(suite.objects[trial.object], trial) for trial in suite.trials[: cfg.trials]]


def _check_words(cfg: DeployConfig, rig: Rig, contract: Contract) -> None:
    """Raises SegmenterError for a target in words that mean nothing to the segmenter."""
    wordless = set(contract.cameras) <= set(cfg.click) | set(cfg.box)
    if isinstance(rig.segmenter, Tabletop) and not wordless and (said := rig.segmenter.puzzle(cfg.target)):
        raise SegmenterError(said)


def _limits(cfg: DeployConfig, rig: Rig, speed: float) -> Limits:
    limits = limits_of(rig.driver, speed, cfg.limits, simulated=rig.world is not None)
    plain = limits.workspace
    lower, upper = (
        tuple(map(float, given)) if given else old
        for given, old in ((cfg.workspace_lower, plain.lower), (cfg.workspace_upper, plain.upper))
    )
    limits = replace(limits, workspace=Workspace(lower, upper))  # pyright: ignore[reportArgumentType]
    if said := forbidden_place(limits, np.array(rig.driver.arm.home)):
        raise DeployError(f"the arm's home pose is outside the limits: {said}; widen workspace_lower or workspace_upper")
    return limits
