"""Arms of vendors that fail: real drivers and clients against controllers that are emulated at their own protocols."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from deploy.faults.audit import STILL, lasts
from deploy.faults.bench import BUSY, CALM
from deploy.faults.fault import End, Fault, Outcome
from hardware.api import Action
from hardware.arm import Driver
from hardware.drivers.franka import Franka
from hardware.drivers.lerobot import LeRobotArm
from hardware.drivers.ur import UR
from hardware.drivers.xarm import XArm
from hardware.emulators import ur as emulated_ur
from hardware.emulators import xarm as emulated_xarm
from hardware.emulators.feetech import Chain
from hardware.emulators.franka import FrankaSim
from hardware.limits import Limits, Workspace
from hardware.reason import Reason
from hardware.session import Session, session

_LONGEST = 6.0
"""Of a run, and of coming to rest [s]."""
_WIDE = Workspace((-2, -2, -2), (2, 2, 2))
_JAW = (2040, 3500)
"""Of the gripper's servo [ticks]."""
_SERVOS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")


@dataclass(frozen=True)
class Real:
    """A driver, and the emulated arm behind it."""

    driver: Driver
    deed: Callable[[], object]
    """Breaks it."""
    qpos: Callable[[], np.ndarray]
    """Where the joints are in truth, (n,) [rad]."""


@contextlib.contextmanager
def _ur(do: str, value: object) -> Iterator[Real]:
    with emulated_ur.open_controller() as arm:
        yield Real(UR(arm.address, gripper="none"), lambda: arm.do(do, value), lambda: np.array(arm.look()["q"]))


@contextlib.contextmanager
def _xarm(do: str, value: object) -> Iterator[Real]:
    with emulated_xarm.open_box() as arm:
        yield Real(XArm(arm.address, gripper="none"), lambda: arm.do(do, value), lambda: np.array(arm.look()["q"]))


@contextlib.contextmanager
def _franka(deed: Callable[[FrankaSim], object]) -> Iterator[Real]:
    with FrankaSim() as arm:
        yield Real(Franka(arm.address, realtime="ignore"), lambda: deed(arm), arm.qpos)


@contextlib.contextmanager
def _so101(folder: Path, deed: Callable[[Chain], object]) -> Iterator[Real]:
    joints, radian = LeRobotArm().arm.joints, 2 * np.pi / 4095
    spans = [min(4095, round((joint.upper - joint.lower) / radian)) for joint in joints[:4]]  # what a person moves through
    ranges = [(2047 - span // 2, 2047 + span // 2) for span in spans] + [(0, 4095), _JAW]
    rows = {
        name: {"id": k, "drive_mode": 0, "homing_offset": 0, "range_min": low, "range_max": high}
        for k, (name, (low, high)) in enumerate(zip(_SERVOS, ranges, strict=True), 1)
    }
    (folder / "bench.json").write_text(json.dumps(rows))
    pose = [*(np.array(LeRobotArm().arm.home) / radian + 2047), np.mean(_JAW)]
    with Chain(pose) as chain:
        chain.preset("Min_Position_Limit", [low for low, _ in ranges])
        chain.preset("Max_Position_Limit", [high for _, high in ranges])
        driver = LeRobotArm(chain.port, id="bench", calibration=folder, silence=0.3)
        yield Real(driver, lambda: deed(chain), lambda: (chain.positions[:5] - 2047) * radian)


def _rock(arm: Session, home: np.ndarray, seconds: float) -> None:
    """The first joint goes to and fro, until the arm is stopped or the time is over."""
    begun = now = time.monotonic()
    while now - begun < seconds and not arm.stopped:
        there = home.copy()
        there[0] += 0.1 * np.sin(3.0 * (now - begun))
        arm.offer(Action(there, np.ones(arm.limits.arm.gripper)), now)
        time.sleep(0.02)
        now = time.monotonic()


def _rest(qpos: Callable[[], np.ndarray], since: float) -> tuple[float, bool]:
    """When the joints rested [s], and whether they did."""
    before, then = qpos(), time.monotonic()
    while then - since < _LONGEST:
        time.sleep(0.04)
        here, now = qpos(), time.monotonic()
        if np.abs(here - before).max() / (now - then) < STILL:
            return max(0.0, then - since), True
        before, then = here, now
    return then - since, False


def _row(
    name: str, breaks: str, where: str, expected: Reason, needs: str, opened: Callable[[Path], contextlib.AbstractContextManager[Real]]
) -> Fault:
    def run(folder: Path) -> Outcome:
        with opened(folder) as real:
            changes = {**BUSY, "state_age": 1.0, "workspace": _WIDE}  # drivers know silence themselves
            limits = replace(Limits(real.driver.arm, speed=0.5), **changes)  # pyright: ignore[reportArgumentType]
            with session(real.driver, limits=limits, folder=folder) as arm:
                home = arm.state().qpos.copy()
                _rock(arm, home, CALM)
                if arm.stopped:
                    return Outcome(arm.stopped.reason, f"before the fault: {arm.stopped.detail}", 0.0, 0.0, ("it stopped too early",))
                at = time.monotonic()
                real.deed()
                _rock(arm, home, _LONGEST)
                rested, still = _rest(real.qpos, at)
                stop = arm.stopped
                broken = [] if still and arm.rest() else ["the arm does not rest"]
                if stop is None:
                    return Outcome(End.GOES_ON, "not stopped", 0.0, rested, tuple(broken))
                broken += lasts(arm)
                if np.abs(real.qpos() - home).max() > 0.5:
                    broken.append("the arm went where nobody sent it")
            return Outcome(stop.reason, stop.detail, max(0.0, stop.time - at), rested, tuple(broken))

    return Fault(name, breaks, where, expected, 5.0, run, slow=True, needs=needs)


_UR, _XARM, _FCI, _BUS = "an emulated UR controller", "an emulated xArm control box", "franky-sim, over FCI", "an emulated chain of servos"

ROWS = (
    _row(
        "UR: protective stop", "the controller halts the arm", _UR, Reason.ARM_FAULT, "rtde_control", lambda _: _ur("protective_stop", None)
    ),
    _row("UR: power lost", "connections end, brakes hold", _UR, Reason.ARM_LOST, "rtde_control", lambda _: _ur("power_loss", None)),
    _row("UR: silent", "no packets, sockets open", _UR, Reason.ARM_LOST, "rtde_control", lambda _: _ur("mute", 3.0)),
    _row("xArm: collision", "error 31 of the control box", _XARM, Reason.ARM_FAULT, "xarm", lambda _: _xarm("error", 31)),
    _row("xArm: setpoints refused", "not ready", _XARM, Reason.ARM_FAULT, "xarm", lambda _: _xarm("refuse", True)),
    _row("xArm: power lost", "connections end, brakes hold", _XARM, Reason.ARM_LOST, "xarm", lambda _: _xarm("power_loss", None)),
    _row("Franka: reflex", "the arm felt a collision", _FCI, Reason.ARM_FAULT, "franky_sim", lambda _: _franka(FrankaSim.reflex)),
    _row(
        "SO-101: overload", "a servo reports it", _BUS, Reason.ARM_FAULT, "scservo_sdk", lambda f: _so101(f, lambda chain: chain.report(2))
    ),
    _row("SO-101: cable pulled", "the port is gone", _BUS, Reason.ARM_LOST, "scservo_sdk", lambda f: _so101(f, Chain.unplug)),
)
