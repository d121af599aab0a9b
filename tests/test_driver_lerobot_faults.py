"""What breaks under a LeRobot arm in motion: found, named, and a stop with its reason."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from so101_chain import HOME, arm_at, be_patient, failure, goals_sent, lying, until

from hardware.api import Action, ArmLost, RobotError
from hardware.arm import Link
from hardware.drivers.lerobot import LeRobotArm
from hardware.emulators.feetech import OVERLOAD, Chain
from hardware.limits import Limits
from hardware.reason import Reason
from hardware.session import session

pytest.importorskip("lerobot")
pytest.importorskip("scservo_sdk")


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient(monkeypatch)


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    with lying(tmp_path) as servos:
        yield servos


@pytest.fixture
def driver(chain: Chain, tmp_path: Path) -> LeRobotArm:
    return arm_at(chain, tmp_path)


@pytest.fixture
def link(driver: LeRobotArm) -> Iterator[Link]:
    opened = driver.connect()
    yield opened
    opened.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lerobot")]


# --- faults


def test_unplugged_mid_motion_is_a_lost_arm(chain: Chain, link: Link) -> None:
    link.send(Action(HOME + np.array([0.8, 0, 0, 0, 0]), np.array([0.5])))
    time.sleep(0.1)
    chain.unplug()
    assert isinstance(until(lambda: failure(link)), ArmLost)
    with pytest.raises(ArmLost):
        link.send(Action(HOME, np.array([0.5])))
    link.stop()
    link.stop()


def test_a_servo_that_falls_silent_is_a_lost_arm_by_name(chain: Chain, link: Link) -> None:
    chain.silence(3)
    error = until(lambda: failure(link))
    assert isinstance(error, ArmLost)
    assert "elbow_flex" in str(error)


def test_power_loss_is_a_lost_arm_and_a_new_connection_holds_it_again(chain: Chain, driver: LeRobotArm) -> None:
    link = driver.connect()
    chain.power(False)
    assert isinstance(until(lambda: failure(link)), ArmLost)
    link.close()
    chain.power(True)
    assert not chain.registers("Torque_Enable").any()
    again = driver.connect()
    np.testing.assert_allclose(again.state().qpos, HOME, atol=0.02)
    again.close()


def test_overload_is_the_arms_fault_by_name_and_passes_when_cleared(chain: Chain, link: Link) -> None:
    chain.report(5, OVERLOAD)
    error = until(lambda: failure(link))
    assert not isinstance(error, ArmLost)
    assert "wrist_roll: overload" in str(error)
    with pytest.raises(RobotError, match="overload"):
        link.send(Action(HOME, np.array([0.5])))
    sent = len(goals_sent(chain))
    link.stop()
    until(lambda: len(goals_sent(chain)) > sent)
    chain.report(5, 0)
    until(lambda: failure(link) is None)


def test_broken_answers_are_asked_again(chain: Chain, link: Link) -> None:
    before = link.state().time
    chain.garble(3)
    until(lambda: link.state().time > before + 0.1)
    np.testing.assert_allclose(link.state().qpos, HOME, atol=0.02)


def test_noise_on_the_line_is_no_position(chain: Chain, link: Link) -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        chain.babble(b"\xff\xff" * int(rng.integers(3)) + rng.bytes(int(rng.integers(40))))
        time.sleep(0.005)
        np.testing.assert_allclose(link.state().qpos, HOME, atol=0.02)


def test_nothing_but_broken_answers_is_a_lost_arm(chain: Chain, link: Link) -> None:
    chain.garble(10**9)
    assert isinstance(until(lambda: failure(link)), ArmLost)


def test_late_answers_do_not_pass_for_positions(chain: Chain, driver: LeRobotArm) -> None:
    link = driver.connect()
    chain.delay = 0.2  # beyond the wait for one answer: each comes when the next question is out
    seen = []
    end = time.monotonic() + 0.6
    while time.monotonic() < end and failure(link) is None:
        seen.append(link.state().qpos)
        time.sleep(0.01)
    assert np.abs(np.array(seen) - HOME).max() < 0.02
    chain.delay = 0.0
    link.close()


def test_a_closed_link_says_so_and_closing_twice_is_nothing(driver: LeRobotArm) -> None:
    link = driver.connect()
    link.close()
    link.close()
    link.stop()
    with pytest.raises(ArmLost, match="closed"):
        link.send(Action(HOME, np.array([0.5])))
    with pytest.raises(ArmLost, match="closed"):
        link.state()
    driver.connect().close()


# --- behind the safety filter


def test_behind_the_filter_the_arm_goes_where_it_is_asked(driver: LeRobotArm, tmp_path: Path) -> None:
    with session(driver, limits=Limits(driver.arm, speed=0.5, state_age=0.5, heartbeat=2.0), folder=tmp_path) as arm:
        aim = HOME + np.array([0.4, -0.1, 0, 0, 0.3])
        end = time.monotonic() + 4
        while np.abs(arm.state().qpos - aim).max() > 0.03 and time.monotonic() < end:
            arm.offer(Action(aim, np.array([1.0])), arm.state().time)
            time.sleep(0.05)
        assert arm.stopped is None
        np.testing.assert_allclose(arm.state().qpos, aim, atol=0.03)
        assert arm.state().gripper[0] > 0.9


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (lambda chain: chain.unplug(), Reason.ARM_LOST),
        (lambda chain: chain.silence(2), Reason.ARM_LOST),
        (lambda chain: chain.power(False), Reason.ARM_LOST),
        (lambda chain: chain.garble(10**9), Reason.ARM_LOST),
        (lambda chain: chain.report(3, OVERLOAD), Reason.ARM_FAULT),
        (lambda chain: chain.motors.push.__setitem__(2, -0.55), Reason.CONTACT),
    ],
    ids=["unplugged", "servo silent", "power lost", "line noise", "overload", "contact"],
)
def test_faults_in_motion_stop_with_their_reason(
    chain: Chain, driver: LeRobotArm, tmp_path: Path, fault: Callable[[Chain], None], reason: Reason
) -> None:
    limits = Limits(driver.arm, speed=0.3, state_age=1.0, following=0.3, heartbeat=2.0, action_age=1.0)
    with session(replace(driver, silence=0.3), limits=limits, folder=tmp_path) as arm:
        began = None
        for i in range(150):
            arm.offer(Action(HOME + np.array([0.01 * i, 0, 0, 0, 0]), np.array([0.5])), arm.state().time)
            time.sleep(0.02)
            if i == 10:
                assert arm.stopped is None
                fault(chain)
                began = time.monotonic()
            if arm.stopped is not None:
                break
        assert arm.stopped is not None
        assert arm.stopped.reason is reason, arm.stopped
        assert began is not None
        assert arm.stopped.time - began < 1.5
