"""The Franka driver against the arm's real protocol, spoken by an emulated arm on a loopback address; times are the emulated arm's own."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hardware.api import Action, ActionError, ArmLost, RobotError
from hardware.drivers.franka import Franka, FrankaLink
from hardware.emulators.franka import FrankaSim
from hardware.model import ARMS, load_arm

pytest.importorskip("franky")
pytest.importorskip("franky_sim")

OPEN, CLOSED = np.ones(1), np.zeros(1)
HOME = np.array(load_arm("panda").home)


@pytest.fixture(scope="module")
def sim() -> Iterator[FrankaSim]:
    with FrankaSim() as sim:
        yield sim


@pytest.fixture
def link(sim: FrankaSim) -> Iterator[FrankaLink]:
    link = Franka(sim.address, realtime="ignore").connect()
    yield link
    sim.block(None)
    sim.push(None)
    link.close()


def wait(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.002)
    return False


def swing(sim: FrankaSim, link: FrankaLink, seconds: float, gripper: np.ndarray = OPEN) -> np.ndarray:
    """Joint 1 goes 1 rad to the other side in 1.5 s and back; the greatest following errors, (7,) [rad]."""
    began, start, worst = sim.elapsed(), link.state().qpos, np.zeros(7)
    way = np.eye(7)[0] * np.copysign(0.5, -start[0])
    for i in range(1, int(seconds * 100) + 1):
        assert wait(lambda due=began + i / 100: sim.elapsed() >= due)
        target = start + way * (1 - np.cos(2 * np.pi * i / 300))
        worst = np.maximum(worst, np.abs(sim.qpos() - target))
        link.send(Action(target, gripper))
    return worst


def error_of(call: Callable[[], object], seconds: float = 5.0) -> tuple[RobotError, float]:
    """What a call that is repeated raises in the end, and after how many seconds."""
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        try:
            call()
        except RobotError as error:
            return error, time.monotonic() - began
        time.sleep(0.005)
    raise AssertionError(f"no error within {seconds} s")


def test_connecting_moves_nothing(sim: FrankaSim, link: FrankaLink) -> None:
    before = sim.qpos()
    time.sleep(0.1)
    state = link.state()
    np.testing.assert_allclose(sim.qpos(), before, atol=1e-9)
    np.testing.assert_allclose(state.qpos, before, atol=1e-6)
    np.testing.assert_allclose(state.qvel, 0, atol=1e-6)
    np.testing.assert_allclose(state.effort, 0, atol=1e-6)
    assert state.gripper == pytest.approx([sim.gripper()])
    assert 0 <= time.monotonic() - state.time < 1


@pytest.mark.parametrize(("control", "bound"), [("impedance", 0.05), ("waypoints", 0.09)])
def test_the_arm_follows_a_sine_and_comes_to_rest_from_full_motion(sim: FrankaSim, control: str, bound: float) -> None:
    link = Franka(sim.address, realtime="ignore", control=control).connect()
    try:
        worst = swing(sim, link, 0.75)
        assert worst[0] < bound, worst  # 0.012 and 0.05 on an idle machine
        assert worst[1:].max() < 0.02
        assert np.abs(sim.memory.qvel()).max() > 0.8
        before, began = sim.qpos(), sim.elapsed()
        link.stop()
        assert sim.elapsed() - began < 1.5  # 0.4 s and 0.1 s on an idle machine
        assert wait(lambda: np.abs(sim.memory.qvel()).max() < 0.01)
        assert np.abs(sim.qpos() - before).max() < 0.2
        rest = sim.qpos()
        link.stop()
        time.sleep(0.1)
        np.testing.assert_allclose(sim.qpos(), rest, atol=0.01)
        link.send(Action(link.state().qpos, OPEN))  # and on it goes
    finally:
        link.close()


@pytest.mark.slow
@pytest.mark.parametrize("control", ["impedance", "waypoints"])
def test_the_arm_follows_through_turns(sim: FrankaSim, control: str) -> None:
    link = Franka(sim.address, realtime="ignore", control=control).connect()
    try:
        worst = swing(sim, link, 4.5)
    finally:
        link.close()
    assert worst[0] < 0.1, worst
    assert worst[1:].max() < 0.02


def test_a_stop_from_another_thread_ends_the_stream(sim: FrankaSim, link: FrankaLink) -> None:
    swing(sim, link, 0.3)
    target = link.state().qpos
    stopper = threading.Thread(target=link.stop)
    stopper.start()
    error, _ = error_of(lambda: link.send(Action(target, OPEN)))
    stopper.join()
    assert "coming to rest" in str(error)
    assert wait(lambda: np.abs(sim.memory.qvel()).max() < 0.01)


def test_stop_and_close_work_in_any_state(sim: FrankaSim) -> None:
    link = Franka(sim.address, realtime="ignore").connect()
    link.stop()
    link.send(Action(link.state().qpos, OPEN))
    threads = [threading.Thread(target=link.stop) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(2):
        link.close()
        link.stop()
    for call in (link.state, lambda: link.send(Action(HOME, OPEN)), link.recover):
        with pytest.raises(ArmLost, match="closed"):
            call()
    assert not [t.name for t in threading.enumerate() if t.name.startswith("franka")]


def test_a_servo_that_hangs_leaves_the_arm_at_rest(sim: FrankaSim, link: FrankaLink) -> None:
    swing(sim, link, 0.4)
    target = sim.qpos()
    assert wait(lambda: np.abs(sim.memory.qvel()).max() < 0.01)
    assert np.abs(sim.qpos() - target).max() < 0.3


def test_the_first_setpoint_must_not_jump(sim: FrankaSim, link: FrankaLink) -> None:
    before = sim.qpos()
    with pytest.raises(ActionError, match=r"0\.200 rad"):
        link.send(Action(link.state().qpos + 0.2, OPEN))
    time.sleep(0.05)
    np.testing.assert_allclose(sim.qpos(), before, atol=1e-6)


def test_what_is_not_finite_or_not_of_this_arm_never_reaches_it(sim: FrankaSim, link: FrankaLink) -> None:
    before = sim.qpos()
    for spoilt in (np.nan, np.inf):
        action = Action(link.state().qpos.copy(), np.ones(1))
        action.qpos[3] = spoilt  # an array may be changed after Action has looked at it
        with pytest.raises(ActionError, match="finite"):
            link.send(action)
        action = Action(link.state().qpos.copy(), np.ones(1))
        action.gripper[0] = spoilt
        with pytest.raises(ActionError, match="finite"):
            link.send(action)
    for action in (Action(np.zeros(6), OPEN), Action(HOME, np.zeros(0)), Action(HOME, np.zeros(2))):
        with pytest.raises(ActionError, match="shapes"):
            link.send(action)
    time.sleep(0.05)
    np.testing.assert_allclose(sim.qpos(), before, atol=1e-9)
    assert sim.gripper() == pytest.approx(link.state().gripper[0])


def grip(link: FrankaLink, opening: float) -> None:
    link.send(Action(link.state().qpos, np.array([opening])))


def test_the_hand_closes_and_opens(sim: FrankaSim, link: FrankaLink) -> None:
    grip(link, 0.7)
    assert wait(lambda: abs(sim.gripper() - 0.7) < 0.01)
    assert wait(lambda: abs(link.state().gripper[0] - 0.7) < 0.01)
    grip(link, 0.02)
    assert wait(lambda: sim.gripper() < 0.001)  # a grasp closes until it meets something
    grip(link, 1.0)
    assert wait(lambda: sim.gripper() > 0.99)


def test_an_object_is_held_through_wobbling_wishes_and_a_stop(sim: FrankaSim, link: FrankaLink) -> None:
    sim.block(0.4)
    for wish in (0.0, 0.03, 0.0, 0.1, 0.0):
        grip(link, wish)
        time.sleep(0.02)
    assert link.hand is not None
    holding = link.hand
    assert wait(lambda: abs(sim.gripper() - 0.4) < 1e-6 and holding._grasping)
    assert wait(lambda: holding._hand.is_grasped)
    link.stop()
    assert holding._hand.is_grasped
    grip(link, 0.0)
    time.sleep(0.1)
    assert holding._hand.is_grasped
    grip(link, 1.0)
    assert wait(lambda: sim.gripper() > 0.99)
    sim.block(None)


def test_the_hand_turns_round_in_the_middle_of_a_motion_and_rests_at_a_stop(sim: FrankaSim, link: FrankaLink) -> None:
    grip(link, 1.0)
    assert wait(lambda: sim.gripper() > 0.99)
    grip(link, 0.0)
    assert wait(lambda: sim.gripper() < 0.8)
    grip(link, 1.0)
    assert wait(lambda: sim.gripper() > 0.99)
    grip(link, 0.0)
    assert wait(lambda: sim.gripper() < 0.8)
    link.stop()
    rest = sim.gripper()
    assert rest > 0.05
    time.sleep(0.1)
    assert sim.gripper() == pytest.approx(rest, abs=0.02)


def test_a_collision_is_reported_in_the_arms_words_and_only_a_person_recovers(sim: FrankaSim, link: FrankaLink) -> None:
    swing(sim, link, 0.3)
    target = link.state().qpos
    sim.reflex()
    error, _ = error_of(lambda: link.send(Action(target, OPEN)))
    assert not isinstance(error, ArmLost)
    assert "joint_reflex" in str(error)
    link.stop()
    for call in (link.state, lambda: link.send(Action(target, OPEN))):
        with pytest.raises(RobotError, match="reflex"):
            call()
    link.recover()
    link.send(Action(link.state().qpos, OPEN))
    assert link.state().qpos.shape == (7,)


def test_an_arm_at_fault_is_not_connected_to(sim: FrankaSim) -> None:
    sim.reflex()
    with pytest.raises(RobotError, match=r"mode Reflex.*joint_reflex.*Desk"):
        Franka(sim.address, realtime="ignore").connect()
    sim.memory.fail(None)
    Franka(sim.address, realtime="ignore").connect().close()


def test_contact_torques_are_measured(sim: FrankaSim, link: FrankaLink) -> None:
    push = np.array([0, 6.0, 0, -4.0, 0, 0, 0])
    link.send(Action(link.state().qpos, OPEN))
    sim.push(push)
    assert wait(lambda: np.abs(link.state().effort - push).max() < 0.1)
    sim.push(None)
    assert wait(lambda: np.abs(link.state().effort).max() < 0.1)


@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)], ids=["power lost", "network cut"])
def test_a_lost_arm_is_noticed_soon(how: signal.Signals) -> None:
    with FrankaSim(tuple(HOME + 0.1)) as sim:
        np.testing.assert_allclose(sim.qpos(), HOME + 0.1)
        link = Franka(sim.address, realtime="ignore").connect()
        swing(sim, link, 0.2)
        target = link.state().qpos
        os.kill(sim.pid, how)
        error, seconds = error_of(lambda: link.send(Action(target, OPEN)))
        assert isinstance(error, ArmLost)
        assert seconds < 1.5  # 0.46 s on an idle machine
        with pytest.raises(ArmLost, match="has not measured itself"):
            link.state()
        began = time.monotonic()
        link.stop()
        link.stop()
        assert time.monotonic() - began < 5
        os.kill(sim.pid, signal.SIGKILL)
        link.close()


CLIENT = """
import sys, time
import numpy as np
from hardware.api import Action
from hardware.drivers.franka import Franka
link = Franka(sys.argv[1], realtime="ignore").connect()
target, speed = link.state().qpos, float(sys.argv[2])
while True:
    target = target + np.eye(7)[0] * speed / 100
    link.send(Action(target, np.ones(1)))
    if abs(link.state().qvel[0]) > 0.8 * abs(speed):
        print("moving", flush=True)
    time.sleep(0.01)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)], ids=["killed", "frozen"])
def test_the_arm_stands_when_its_client_is_gone(sim: FrankaSim, how: signal.Signals) -> None:
    speed = "0.5" if sim.qpos()[0] < 0 else "-0.5"
    command = [sys.executable, "-c", CLIENT, sim.address, speed]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ARMS.parents[1]) as client:
        try:
            assert client.stdout is not None
            assert client.stdout.readline() == "moving\n"
            client.send_signal(how)
            began = time.monotonic()
            assert wait(lambda: np.abs(sim.memory.qvel()).max() < 0.01)
            assert time.monotonic() - began < 4  # at once when killed; frozen, the emulated arm gives it 0.5 s, a real one 0.02 s
        finally:
            client.kill()
    sim.memory.fail(None)


def test_a_wrong_address_is_one_clear_line_soon() -> None:
    began = time.monotonic()
    with pytest.raises(RobotError, match=r"^127\.63\.1\.2: .*refused[^\n]*$"):
        Franka("127.63.1.2", realtime="ignore").connect()
    assert time.monotonic() - began < 3


def test_a_second_client_is_refused_and_does_not_disturb_the_first(sim: FrankaSim, link: FrankaLink) -> None:
    link.send(Action(link.state().qpos, OPEN))
    with pytest.raises(RobotError, match="another program has it"):
        Franka(sim.address, realtime="ignore", timeout=0.5).connect()
    assert swing(sim, link, 0.3)[1:].max() < 0.02


def test_without_a_real_time_kernel_it_refuses_to_run(sim: FrankaSim) -> None:
    if Path("/sys/kernel/realtime").exists():
        pytest.skip("this kernel has real-time capabilities")
    with pytest.raises(RobotError, match=r"realtime capabilities.*docs/drivers/franka\.md"):
        Franka(sim.address).connect()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "franky", None)
    with pytest.raises(RobotError, match="pip install franky-control"):
        Franka().connect()


def test_another_arm_than_the_one_that_stands_there_is_refused(sim: FrankaSim, tmp_path: Path) -> None:
    table = json.loads((ARMS / "panda.json").read_text())
    table["joints"][3]["pos"][0] += 0.02
    (tmp_path / "longer.json").write_text(json.dumps(table))
    with pytest.raises(RobotError, match=r"flange is 0\.0\d+ m from where"):
        Franka(sim.address, realtime="ignore", model=str(tmp_path / "longer.json")).connect()
    with pytest.raises(RobotError, match="6 joints"):
        Franka(model="ur5e").connect()


def test_without_a_hand_there_is_no_gripper_value(sim: FrankaSim) -> None:
    driver = Franka(sim.address, realtime="ignore", gripper=False)
    assert driver.arm.gripper == 0
    link = driver.connect()
    try:
        state = link.state()
        assert state.gripper.shape == (0,)
        link.send(Action(state.qpos, state.gripper))
    finally:
        link.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("control", "torque"),
        ("realtime", "maybe"),
        ("stiffness", (600.0,) * 6),
        ("stiffness", (600.0,) * 6 + (float("nan"),)),
        ("collision_torque", (20.0,) * 6 + (0.0,)),
        ("collision_force", (20.0,) * 7),
        ("gripper_speed", 1.0),
        ("gripper_force", 0.0),
        ("silence", 0.0),
        ("silence", float("nan")),
        ("timeout", float("nan")),
    ],
)
def test_a_setting_out_of_range_is_named_with_what_would_do(name: str, value: object) -> None:
    with pytest.raises(RobotError, match=f"robot=franka: {name}"):
        dataclasses.replace(Franka(), **{name: value})
