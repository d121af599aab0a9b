"""What does not fit together: refused by name, before an arm moves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from deploy.errors import DeployError
from deploy.faults.fault import End, Fault, Outcome
from deploy.faults.memory import MemoryArm, MemoryCamera, Plant
from deploy.policy import check_first
from deploy.rig import contract_of
from hardware.api import ActionChunk, Observation, RobotError
from hardware.calibration import Calibration, Intrinsics
from hardware.clock import MonotonicClock
from hardware.limits import Limits, Workspace
from hardware.model import load_arm
from hardware.segmenter import Words
from hardware.session import session
from policies.contract import Contract
from policies.errors import PolicyError
from policies.segmenters import open_segmenter

WHERE = "before motion"
_PANDA = load_arm("panda")
_REFUSALS = (RobotError, DeployError, PolicyError)
Attempt = Callable[[MemoryArm, Path], object]


def _row(name: str, breaks: str, words: str, attempt: Attempt) -> Fault:
    """words: that the refusal must hold, so that a person knows what to change."""

    def run(folder: Path) -> Outcome:
        plant = Plant(_PANDA, MonotonicClock())
        driver = MemoryArm("in memory", plant)
        begun = time.monotonic()
        code, said = End.GOES_ON, "it was not refused"
        try:
            attempt(driver, folder)
        except _REFUSALS as error:
            code, said = End.REFUSED, str(error).replace(str(folder), "")
        took = time.monotonic() - begun
        broken = [] if words in said else [f"{words!r} is not in what was said: {said}"]
        if any(np.abs(qpos - plant.start).max() > 1e-9 for qpos in plant.taken):
            broken.append("the arm was moved")
        return Outcome(code, said, took, 0.0, tuple(broken))

    return Fault(name, breaks, WHERE, End.REFUSED, 0.1, run)


def _cameras(driver: MemoryArm, *names: str) -> Sequence[MemoryCamera]:
    return [MemoryCamera(name, driver.plant.clock) for name in names]


def _fits(driver: MemoryArm) -> Contract:
    return contract_of(driver, _cameras(driver, "side", "wrist"), 0.05)


def _contract(**change: object) -> Attempt:
    """The contract of a checkpoint that differs in this from what is there."""

    def attempt(driver: MemoryArm, folder: Path) -> None:
        wanted = replace(_fits(driver), **change)  # pyright: ignore[reportArgumentType]
        wanted.check(_fits(driver))

    return attempt


def _answer(change: Callable[[np.ndarray], np.ndarray]) -> Attempt:
    """The first answers of a policy, whose contract fits, in the dry run."""

    def attempt(driver: MemoryArm, folder: Path) -> None:
        contract, limits = _fits(driver), Limits(driver.arm)
        with session(driver, limits=limits, folder=folder) as arm:
            state = arm.state()
            chunk = ActionChunk(change(np.tile(state.qpos, (contract.chunk, 1))), np.ones((contract.chunk, 1)))
            check_first(chunk, Observation({}, {}, state.qpos, state.gripper, state.time), limits, contract)

    return attempt


def _swapped(qpos: np.ndarray) -> np.ndarray:
    return qpos[:, [6, 1, 2, 3, 4, 5, 0]]


def _broken(qpos: np.ndarray) -> np.ndarray:
    return np.where(np.arange(7) == 4, np.nan, qpos)


def _box(driver: MemoryArm, folder: Path) -> None:
    with session(driver, limits=Limits(driver.arm, workspace=Workspace((1.0, 1.0, 0.0), (2.0, 2.0, 1.0))), folder=folder):
        pass


def _empty_box(driver: MemoryArm, folder: Path) -> None:
    Workspace((0.5, -0.4, 0.0), (0.2, 0.4, 0.5))


def _target(driver: MemoryArm, folder: Path) -> None:
    camera = _cameras(driver, "side")[0]
    open_segmenter("tabletop").start("side", camera.latest(), Words("the dodecahedron"))


def _calibration(driver: MemoryArm, folder: Path) -> None:
    lens = Intrinsics(50, 50, 16, 16, (0, 0, 0, 0, 0), (32, 32))
    Calibration("side", "831612071234", lens).check("side", "918512073000", (32, 32))


def _second(driver: MemoryArm, folder: Path) -> None:
    with session(driver, folder=folder), session(driver, folder=folder):
        pass


def _other_joints(driver: MemoryArm, folder: Path) -> None:
    driver.plant.bend = lambda state: replace(state, qpos=state.qpos[:6], qvel=state.qvel[:6], effort=state.effort[:6])
    with session(driver, folder=folder):
        pass


def _nowhere(driver: MemoryArm, folder: Path) -> None:
    driver.plant.bend = lambda state: replace(state, qpos=state.qpos * np.nan)
    with session(driver, folder=folder):
        pass


_JOINTS = tuple(joint.name for joint in _PANDA.joints)

ROWS = (
    _row("checkpoint of another arm", "trained on an xArm", "robot 'xarm7'", _contract(embodiment="xarm7")),
    _row("joints in another order", "in the contract", "joints", _contract(joints=_JOINTS[::-1])),
    _row("camera missing", "the policy wants a third", "'top'", _contract(cameras=("side", "wrist", "top"))),
    _row("pictures of another size", "in the contract", "picture size (128, 128)", _contract(size=(128, 128))),
    _row("degrees for radians", "in the first answers", "degrees", _answer(np.degrees)),
    _row("joints mixed up", "in the first answers", "another order of joints", _answer(_swapped)),
    _row("weights broken", "NaN in the first answers", "not finite", _answer(_broken)),
    _row("unreachable workspace", "the arm stands outside", "where it must not be", _box),
    _row("empty workspace", "upper and lower mixed up", "is empty", _empty_box),
    _row("unknown target", "words for nothing that is there", "dodecahedron", _target),
    _row("calibration of another camera", "another serial number", "calibration is of 831612071234", _calibration),
    _row("arm with other joints", "it measures six", "measures 6 joints", _other_joints),
    _row("arm that knows not where it is", "NaN at the start", "not finite", _nowhere),
    _row("second session on an arm", "from another loop", "is in use by process", _second),
)
