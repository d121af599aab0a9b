"""The emulated Franka behind the protocol: how it moves, what it shares with a scene, and that it leaves nothing behind."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hardware.api import RobotError
from hardware.emulators.franka_body import DRY, HAND_SPEED, FrankaBody
from hardware.emulators.franka_memory import MAX_WIDTH, FrankaMemory

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_it_ends_with_the_process_that_started_it() -> None:
    pytest.importorskip("franky_sim")
    lines = "import time\nfrom hardware.emulators.franka import FrankaSim\nsim = FrankaSim().start()\n"
    lines += "print(sim.pid, sim.path, flush=True)\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", lines], stdout=subprocess.PIPE, text=True, cwd=ROOT) as owner:
        assert owner.stdout is not None
        pid, path = owner.stdout.readline().split()
        owner.kill()
    until = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists()
    assert not Path(path).parent.exists()


@dataclasses.dataclass
class Weightless:
    """Links that are points: 1 kg m^2 each."""

    def forward(self, qpos: np.ndarray, qvel: np.ndarray, torque: np.ndarray) -> np.ndarray:
        return torque

    def inverse(self, qpos: np.ndarray, qvel: np.ndarray, acceleration: np.ndarray) -> np.ndarray:
        return acceleration

    def inertia(self, qpos: np.ndarray) -> np.ndarray:
        return np.ones(7)


def body(**values: object) -> FrankaBody:
    return dataclasses.replace(FrankaBody(np.zeros(7), -np.ones(7), np.ones(7), Weightless()), **values)


def test_a_joint_moves_only_against_more_than_its_friction_and_stops_at_its_limit() -> None:
    stuck, loose = body(torque=0.9 * DRY), body(torque=3 * DRY)
    for _ in range(3000):
        stuck.step(0.001, np.zeros(7), 0.0)
        loose.step(0.001, np.zeros(7), 0.0)
    assert not stuck.qpos.any()
    np.testing.assert_array_equal(loose.qpos, 1.0)
    np.testing.assert_array_equal(loose.qvel, 0.0)


def test_fingers_keep_their_speed_and_stop_at_what_is_between_them() -> None:
    hand = body(goal=0.0, speed=1.0)
    hand.step(0.1, np.zeros(7), 0.0)
    assert hand.width == pytest.approx(MAX_WIDTH - 0.1 * HAND_SPEED)
    for _ in range(20):
        hand.step(0.1, np.zeros(7), 0.03)
    assert (hand.width, hand.drive) == pytest.approx((0.03, 0.0))
    hand.step(0.1, np.zeros(7), 0.04)
    assert hand.width == pytest.approx(0.04)
    hand.goal = MAX_WIDTH
    hand.step(0.1, np.zeros(7), 0.04)
    assert (hand.width, hand.drive) == pytest.approx((0.05, 0.05))


def test_shared_memory_reads_what_was_written_and_says_where_there_is_none(tmp_path: Path) -> None:
    mine = FrankaMemory(tmp_path / "memory", create=True)
    other = FrankaMemory(tmp_path / "memory")
    mine.publish(np.arange(7.0), -np.arange(7.0), 0.02, 0.01, 12.5)
    np.testing.assert_array_equal(other.qpos(), np.arange(7))
    np.testing.assert_array_equal(other.qvel(), -np.arange(7))
    assert (other.gripper(), other.drive()) == pytest.approx((0.25, 0.125))
    assert (other.time(), other.elapsed()) == (12.5, 0.001)
    other.block(0.5)
    other.push(np.ones(7))
    assert mine.blocked == pytest.approx(0.04)
    np.testing.assert_array_equal(mine.pushed, 1)
    other.block(None)
    other.push(None)
    assert mine.blocked == 0
    assert not mine.pushed.any()
    with pytest.raises(RobotError, match="no emulated Franka"):
        FrankaMemory(tmp_path / "nothing")
