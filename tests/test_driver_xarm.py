"""The driver of UFACTORY's xArm, driven by the vendor's own client against an emulated control box on loopback."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from hardware.api import Action, ArmLost, RobotError
from hardware.arm import Link
from hardware.drivers import xarm_sdk
from hardware.drivers.xarm import XArm
from hardware.drivers.xarm_gravity import MASSES, Load, weight
from hardware.drivers.xarm_reports import Reports
from hardware.emulators.handle import Emulator, EmulatorError
from hardware.emulators.xarm import open_box
from hardware.emulators.xarm_frames import NORMAL, REAL, RICH, FrameError, body_length
from hardware.model import ArmModel, load_arm
from hardware.reason import Reason
from hardware.session import session, stop_all

if find_spec("xarm") is None:  # importing it makes folders, in which two processes may collide
    pytest.skip("xarm-python-sdk is not installed", allow_module_level=True)
ROOT = Path(__file__).resolve().parents[1]
DT = 0.01
FIRST = np.eye(7)[0]
"""The first joint of an xArm 7 alone."""


def bare(address: str, **settings: Any) -> XArm:
    return XArm(address, gripper="none", **settings)


def action(qpos: Any, gripper: Any = ()) -> Action:
    return Action(np.array(qpos, dtype=float), np.array(gripper, dtype=float))


def stream(link: Link, path: Callable[[float], np.ndarray], seconds: float, gripper: Any = ()) -> tuple[np.ndarray, np.ndarray]:
    """Sends a path at the servo rate; returns what was sent and what was measured."""
    sent, measured = [], []
    start = time.monotonic()
    while (t := time.monotonic() - start) < seconds:
        measured.append(link.state().qpos)
        sent.append(path(t))
        link.send(action(sent[-1], gripper))
        time.sleep(DT)
    return np.array(sent), np.array(measured)


def turning(start: np.ndarray, speed: float = 0.5) -> Callable[[float], np.ndarray]:
    """The first joint turns at a constant speed [rad/s]."""
    return lambda t: start + np.array([speed * t, *[0.0] * (len(start) - 1)])


def eventually(look: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if look():
            return True
        time.sleep(0.02)
    return False


def resting(box: Emulator) -> bool:
    return not np.any(np.abs(box.look()["qd"]) > 1e-3)


def fault(link: Link, kind: type[RobotError] = RobotError, seconds: float = 4.0) -> str:
    """The words of the fault that shows within some time, while setpoints are sent."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            link.send(action(link.state().qpos))
        except RobotError as error:
            return str(error) if type(error) is kind else f"a {type(error).__name__}, not a {kind.__name__}: {error}"
        time.sleep(DT)
    raise AssertionError("no fault came")


@contextlib.contextmanager
def emulated(dof: int) -> Iterator[Emulator]:
    try:
        with open_box(dof) as box:
            yield box
    except EmulatorError as error:
        if "port 502 cannot be bound" in str(error):
            pytest.skip(str(error))
        raise


@pytest.fixture(scope="module", autouse=True)
def nothing_left() -> Iterator[None]:
    """The vendor's threads end some seconds after their connections."""
    threads = set(threading.enumerate())
    yield
    assert eventually(lambda: set(threading.enumerate()) <= threads, 15.0)


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    """One control box for all tests: starting it takes a while."""
    with emulated(7) as box:
        yield box


@pytest.fixture
def box(running: Emulator) -> Emulator:
    """A control box that has just been switched on."""
    running.do("restart")
    return running


@pytest.fixture
def link(box: Emulator) -> Iterator[Link]:
    link = bare(box.address).connect()
    yield link
    link.close()


@pytest.fixture(scope="module")
def sound() -> Iterator[Emulator]:
    """A control box for tests that leave it as they found it."""
    with emulated(7) as box:
        yield box


@pytest.fixture(scope="module")
def steady(sound: Emulator) -> Iterator[Link]:
    """A connection for them, since connecting takes a while; they stop it in the end."""
    link = bare(sound.address).connect()
    yield link
    link.close()


# --- the way it should be


def test_connecting_moves_nothing_and_keeps_stdout_and_sockets_as_they_were(box: Emulator, capfd: pytest.CaptureFixture[str]) -> None:
    before = box.look()
    link = XArm(box.address, sensitivity=2).connect()
    state = link.state()
    time.sleep(0.3)
    after = box.look()
    assert after["q"] == before["q"]
    assert not np.any(after["qd"])
    assert (after["servos"], after["cleaned"], after["jaw"]) == (0, 0, before["jaw"])
    assert (after["enabled"], after["mode"], after["sensitivity"]) == (True, 1, 2)
    np.testing.assert_allclose(after["load"], [0.82, 0, 0, 48])
    np.testing.assert_allclose(state.qpos, before["q"], atol=1e-6)
    assert not np.any(state.qvel)
    assert state.effort.shape == (7,)
    assert state.gripper == pytest.approx([before["jaw"] / 850], abs=1e-3)
    assert 0 <= time.monotonic() - state.time < 1
    link.close()
    assert socket.getdefaulttimeout() is None
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("dof", [7, pytest.param(6, marks=pytest.mark.slow)])
def test_the_arm_follows_a_sine(running: Emulator, dof: int) -> None:
    with contextlib.nullcontext(running) if dof == 7 else emulated(dof) as box:
        box.do("restart")
        link = bare(box.address, dof=dof).connect()
        start = link.state().qpos
        swing = np.array([0.3, 0.2, -0.2, 0.1, 0.1, 0.3, -0.2])[:dof]
        sent, measured = stream(link, lambda t: start + swing * np.sin(np.pi * t) ** 2, 0.8)
        assert np.ptp(measured, axis=0) == pytest.approx(np.abs(swing), abs=0.08)
        assert np.abs(sent - measured).max() < 0.25  # of at most 0.95 rad/s: the emulator's lag, and a busy machine's
        assert box.look()["servos"] > 20
        link.close()


def test_speeds_are_those_of_the_arm(steady: Link) -> None:
    start = steady.state().qpos
    seen = []
    for i in range(60):
        steady.send(action(start + 0.005 * i * FIRST))
        seen.append(steady.state().qvel)
        time.sleep(DT)
    seen = np.array(seen[20:])  # 0.5 rad/s where periods are kept; less where the machine is busy
    assert 0.1 < np.median(seen[:, 0]) < 0.6
    assert not np.any(seen[:, 1:])
    steady.stop()
    assert eventually(lambda: abs(steady.state().qvel[0]) < 1e-3)


def test_a_stop_comes_to_rest_holds_and_lets_go_on(box: Emulator, link: Link) -> None:
    stream(link, turning(link.state().qpos), 0.3)
    threads = [threading.Thread(target=link.stop) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    link.stop()
    assert eventually(lambda: resting(box), 1.0)
    there = box.look()
    assert there["state"] == 4
    time.sleep(0.2)
    np.testing.assert_allclose(box.look()["q"], there["q"], atol=1e-6)
    start = link.state().qpos
    assert eventually(lambda: link.send(action(start)) or box.look()["mode"] == 1)
    stream(link, lambda t: start, 0.3)
    _, measured = stream(link, turning(start, -0.5), 0.5)
    assert measured[-1, 0] < start[0] - 0.05


def test_stop_and_close_in_any_order(box: Emulator) -> None:
    link = XArm(box.address).connect()
    link.stop()
    link.close()
    link.close()
    link.stop()
    assert box.look()["state"] == 4
    with pytest.raises(ArmLost, match="closed"):
        link.state()
    with pytest.raises(ArmLost, match="closed"):
        link.send(action([0] * 7, [0]))
    assert eventually(lambda: box.look()["clients"] == 0)


def test_a_session_drives_it_and_is_stopped_from_elsewhere(box: Emulator, tmp_path: Path) -> None:
    with session(XArm(box.address), speed=0.5, folder=tmp_path) as arm:
        target = arm.state().qpos + np.array([0.1, 0, 0, 0, 0, 0, 0])
        end = time.monotonic() + 1.5  # longer than the vendor's client would let any socket wait
        while time.monotonic() < end:
            arm.offer(Action(target, np.array([0.5])), time.monotonic())
            time.sleep(0.05)
        assert arm.stopped is None
        assert list(stop_all(tmp_path).values()) == ["at rest"]
        assert arm.stopped is not None
        assert arm.stopped.reason is Reason.OPERATOR
    truth = box.look()
    np.testing.assert_allclose(truth["q"], target, atol=0.01)
    assert truth["jaw"] == pytest.approx(425, abs=30)
    assert truth["state"] == 4


def test_the_gripper_opens_closes_and_keeps_its_goal_when_the_arm_stops(box: Emulator) -> None:
    link = XArm(box.address).connect()
    start = link.state().qpos
    stream(link, lambda t: start, 0.1, [0.0])
    link.stop()
    assert eventually(lambda: link.state().gripper[0] == 0)
    assert box.look()["jaw"] == 0
    link.close()


# --- setpoints that must not reach the arm


def test_what_is_not_a_setpoint_is_refused_and_nothing_is_sent(box: Emulator, link: Link) -> None:
    start = link.state().qpos
    spoiled = action(start)
    spoiled.qpos[3] = np.nan  # after Action has looked at it
    with pytest.raises(RobotError, match="finite"):
        link.send(spoiled)
    with pytest.raises(RobotError, match="takes 7 joints"):
        link.send(action([0.0] * 6))
    with pytest.raises(RobotError, match="takes 7 joints and 0 gripper"):
        link.send(action(start, [1.0]))
    with pytest.raises(RobotError, match="joint limits"):
        link.send(action(np.degrees(start)))
    with pytest.raises(RobotError, match=r"first setpoint is 0.30 rad from where joint2 stands"):
        link.send(action(start + 0.3 * np.eye(7)[1]))
    time.sleep(0.1)
    link.state()
    truth = box.look()
    assert (truth["servos"], truth["bad"]) == (0, 0)
    np.testing.assert_allclose(truth["q"], start, atol=1e-6)


def test_after_a_stop_the_next_setpoint_must_be_where_the_arm_stands(box: Emulator, link: Link) -> None:
    start = link.state().qpos
    stream(link, turning(start), 0.3)
    link.stop()
    with pytest.raises(RobotError, match="begin at the measured pose"):
        link.send(action(start + 0.6 * FIRST))


# --- faults


@pytest.mark.parametrize(
    ("code", "words"),
    [(31, "error 31: Collision Caused Abnormal Current. Please check"), pytest.param(22, "Self-Collision", marks=pytest.mark.slow)],
)
def test_an_error_is_told_in_the_vendors_words_and_not_cleared(box: Emulator, link: Link, code: int, words: str) -> None:
    stream(link, turning(link.state().qpos), 0.1)
    box.do("error", code)
    assert words in fault(link)
    link.stop()
    assert eventually(lambda: resting(box))
    link.close()
    with pytest.raises(RobotError, match=r"error .* recover\(\) clears it"):
        bare(box.address).connect()
    truth = box.look()
    assert (truth["error"], truth["cleaned"]) == (code, 0)


def test_recovering_is_explicit_and_moves_nothing(box: Emulator) -> None:
    driver = bare(box.address)
    assert driver.recover() == "there was no error"
    before = box.do("error", 31)["q"]
    assert "Collision" in driver.recover()
    truth = box.look()
    assert (truth["error"], truth["state"], truth["q"]) == (0, 4, before)
    driver.connect().close()
    box.do("error", 1)
    with pytest.raises(RobotError, match=r"Emergency Stop Button .* does not go away"):
        driver.recover()


def test_a_refused_setpoint_is_a_fault(box: Emulator, link: Link) -> None:
    stream(link, turning(link.state().qpos), 0.1)
    box.do("refuse", True)
    assert "not ready to move" in fault(link)
    assert eventually(lambda: box.look()["state"] == 4)


def test_a_stop_in_the_vendors_program_is_noticed(box: Emulator, link: Link) -> None:
    stream(link, turning(link.state().qpos), 0.1)
    box.do("studio_stop")
    assert "somebody else had it stopped" in fault(link)


def test_an_arm_that_lags_is_reported_where_it_is(sound: Emulator, steady: Link) -> None:
    start = steady.state().qpos
    sound.do("lag", 0)
    try:
        sent, measured = stream(steady, turning(start, 0.3), 0.2)
        steady.stop()
    finally:
        sound.do("lag", 1)
    assert np.abs(measured - start).max() < 1e-6 < np.abs(sent - start).max()


@pytest.mark.parametrize("deed", ["cut", pytest.param("power_loss", marks=pytest.mark.slow)])
def test_a_lost_connection_is_final_and_stopping_still_returns(running: Emulator, deed: str) -> None:
    with contextlib.nullcontext(running) if deed == "cut" else emulated(7) as box:
        box.do("restart")
        link = bare(box.address).connect()
        start = link.state().qpos
        stream(link, turning(start), 0.2)
        box.do(deed)
        begun = time.monotonic()
        assert box.address in fault(link, ArmLost)
        before = box.look()["servos"]
        with pytest.raises(ArmLost):
            link.send(action(start))
        link.stop()
        link.close()
        assert time.monotonic() - begun < 8
        assert resting(box)
        assert box.look()["servos"] == before


def test_a_silent_arm_is_noticed_before_its_connections_break(box: Emulator, link: Link) -> None:
    stream(link, turning(link.state().qpos), 0.1)
    box.do("mute", True)
    assert "sent no report for 0." in fault(link, ArmLost)


@pytest.mark.slow
def test_a_controller_that_hangs_is_noticed_and_stopping_still_returns(box: Emulator, link: Link) -> None:
    stream(link, turning(link.state().qpos), 0.1)
    box.do("hang", True)
    assert "answer" in fault(link, ArmLost)
    begun = time.monotonic()
    link.stop()
    assert time.monotonic() - begun < 5


def test_connecting_to_a_controller_that_hangs_gives_up(box: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xarm_sdk, "PATIENCE", 0.5)
    box.do("hang", True)
    with pytest.raises(ArmLost, match=r"did not answer on port 502 within 0.5 s"):
        bare(box.address).connect()


@pytest.mark.parametrize(
    ("kind", "words", "error"),
    [
        ("nan", "malformed report: joints at [nan", RobotError),
        pytest.param("far", "malformed report: joints at [1000", RobotError, marks=pytest.mark.slow),
        pytest.param("long", "no report", ArmLost, marks=pytest.mark.slow),
        pytest.param("short", "no report", ArmLost, marks=pytest.mark.slow),
        pytest.param("noise", "no report", ArmLost, marks=pytest.mark.slow),
    ],
)
def test_a_malformed_report_is_a_fault_and_never_filled_in(
    box: Emulator, link: Link, kind: str, words: str, error: type[RobotError]
) -> None:
    """The vendor's client puts the last value where it finds NaN."""
    stream(link, turning(link.state().qpos), 0.1)
    box.do("malformed", kind)
    assert words in fault(link, error)
    assert eventually(lambda: resting(box))


@pytest.mark.slow
def test_noise_on_the_control_connection_is_a_fault(box: Emulator, link: Link) -> None:
    stream(link, turning(link.state().qpos), 0.1)
    box.do("noise")
    assert box.address in fault(link, ArmLost)
    assert eventually(lambda: resting(box))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"error": 11}, "error 11: Gripper Current Overlimit"),
        pytest.param({"present": False}, "End Effector Communication Error|no gripper answers", marks=pytest.mark.slow),
    ],
)
def test_a_gripper_at_fault_is_a_fault_of_the_arm(box: Emulator, changed: dict[str, Any], words: str) -> None:
    link = XArm(box.address).connect()
    start = link.state().qpos
    box.do("jaw", changed)
    with pytest.raises(RobotError, match=words):
        stream(link, lambda t: start, 3.0, [0.5])
    link.close()
    assert box.look()["cleaned"] == 0


CLIENT = """
import sys, time
import numpy as np
from hardware.api import Action
from hardware.drivers.xarm import XArm
link = XArm(sys.argv[1], gripper="none").connect()
q = link.state().qpos
for i in range(10**6):
    link.send(Action(q + np.array([0.2 * i * 0.01, 0, 0, 0, 0, 0, 0]), np.zeros(0)))
    time.sleep(0.002)
    if i == 20:
        print("moving", flush=True)
"""


def test_the_arm_rests_when_its_client_is_killed(box: Emulator) -> None:
    process = subprocess.Popen([sys.executable, "-c", CLIENT, box.address], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        assert process.stdout.readline() == "moving\n"  # and nothing of the vendor's before it
        assert not resting(box)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        assert eventually(lambda: resting(box))
        there = box.look()
        assert (there["error"], there["clients"]) == (0, 0)
        time.sleep(0.2)
        np.testing.assert_allclose(box.look()["q"], there["q"], atol=1e-3)
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


# --- arms that must not be driven


@pytest.mark.parametrize(
    ("deed", "value", "settings", "words"),
    [
        ("look", None, {"dof": 6}, "is an arm of 7 axes .* not an xArm 6: give dof="),
        ("identity", {"kind": 9}, {}, r"device type 9\), not an xArm 7"),
        ("identity", {"version": "v1.6.9"}, {}, r"firmware 1.6.9; at least 1.8.0"),
        ("push", [0, 0, 0, 20.0], {}, r"at rest joint4 has \+20.0 N m more than its weight explains"),
        ("look", None, {"gripper": "xarm", "load": (6.0, 0.0, 0.0, 0.1)}, ""),
        ("jaw", {"present": False}, {"gripper": "xarm"}, "no gripper answers"),
        pytest.param("jaw", {"error": 11}, {"gripper": "xarm"}, "Gripper Current Overlimit", marks=pytest.mark.slow),
        pytest.param("baud", 115_200, {"gripper": "xarm"}, "runs at 115200 baud", marks=pytest.mark.slow),
    ],
)
def test_an_arm_that_must_not_be_driven_is_refused_by_name(
    box: Emulator, deed: str, value: Any, settings: dict[str, Any], words: str
) -> None:
    box.do(deed, value)
    driver = XArm(box.address, **{"gripper": "none", **settings})
    if words:
        with pytest.raises(RobotError, match=words):
            driver.connect()
    else:
        driver.connect().close()  # a heavy load that the controller knows of is no push
    truth = box.look()
    assert (truth["servos"], truth["state"]) == (0, 4)
    if deed in ("look", "identity") and words:
        assert not truth["enabled"]


@pytest.mark.slow
def test_a_second_program_takes_a_resting_arm_and_the_first_is_told(box: Emulator, link: Link) -> None:
    start = link.state().qpos
    stream(link, lambda t: start, 0.1)
    second = bare(box.address).connect()
    with pytest.raises(RobotError, match="left servo mode"):
        link.state()
    second.state()
    second.close()
    np.testing.assert_allclose(box.look()["q"], start, atol=1e-6)


def test_an_arm_in_motion_is_not_taken_over(box: Emulator, link: Link) -> None:
    seen: list[str] = []

    def take_over() -> None:
        with pytest.raises(RobotError) as caught:
            bare(box.address).connect()
        seen.append(str(caught.value))

    other = threading.Thread(target=take_over)
    other.start()
    path, begun = turning(link.state().qpos, 0.1), time.monotonic()
    while other.is_alive() and time.monotonic() - begun < 5:
        link.send(action(path(time.monotonic() - begun)))
        time.sleep(DT)
    other.join(5)
    assert "the arm is moving" in seen[0]
    link.state()


def test_nobody_at_the_address() -> None:
    with pytest.raises(ArmLost, match="does not answer on port 502"):
        bare("127.0.0.1").connect()
    with pytest.raises(RobotError, match="cannot be resolved"):
        bare("no such host").connect()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xarm.wrapper", None)
    with pytest.raises(RobotError, match="pip install xarm-python-sdk"):
        bare("127.0.0.1").connect()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"dof": 5}, "known: 6, 7"),
        ({"gripper": "hand"}, "known: xarm, none"),
        ({"servo_hz": 500}, "20 to 200"),
        ({"sensitivity": 0}, "1 to 5"),
        ({"load": (9.0, 0, 0, 0)}, "0 to 7 kg"),
        ({"address": ""}, "needs address="),
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(RobotError, match=words):
        XArm(**{"address": "arm", **settings})


# --- efforts


def test_efforts_are_torques_beyond_the_arms_own_weight(sound: Emulator, steady: Link) -> None:
    start = steady.state().qpos
    np.testing.assert_allclose(steady.state().effort, 0, atol=1e-3)
    stream(steady, lambda t: start + np.array([0, 0.4, 0, 0, 0, 0, 0]) * min(t, 0.5), 0.6)
    steady.stop()
    sound.do("push", [0, 7.5, 0, 0, 0, -2.0])
    try:
        assert eventually(lambda: steady.state().effort[1] > 7)
        np.testing.assert_allclose(steady.state().effort, [0, 7.5, 0, 0, 0, -2.0, 0], atol=0.2)
    finally:
        sound.do("push", [])


@pytest.mark.parametrize("dof", [6, 7])
def test_the_weight_is_what_a_physics_engine_finds(dof: int) -> None:
    arm, load = load_arm(f"xarm{dof}"), (1.3, 0.01, -0.02, 0.09)
    model = chain(arm, load)
    data, rng = mujoco.MjData(model), np.random.default_rng(0)
    for _ in range(20):
        q = rng.uniform(np.maximum(arm.lower, -3), np.minimum(arm.upper, 3))
        data.qpos[:] = q
        mujoco.mj_forward(model, data)
        np.testing.assert_allclose(weight(arm, q, load), data.qfrc_bias, atol=1e-6)


def chain(arm: ArmModel, load: Load) -> mujoco.MjModel:
    """The arm's joints with UFACTORY's masses, as points."""
    spec = mujoco.MjSpec()
    body = spec.worldbody
    for joint, (mass, *centre) in zip(arm.joints, MASSES[len(arm.joints)], strict=True):
        body = body.add_body(pos=joint.pos, quat=joint.quat)
        body.add_joint(type=mujoco.mjtJoint.mjJNT_HINGE, axis=joint.axis)
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.001, 0, 0], pos=centre, mass=mass)
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.001, 0, 0], pos=load[1:], mass=load[0])
    return spec.compile()


def test_reports_that_were_held_up_make_no_speed() -> None:
    class Client:
        report_data: Any = None

        def register_report_callback(self, take: Callable[[Any], None], *_: bool) -> None:
            self.take = take

    class Data:
        state, mode, estimated_joint_torque = 2, 1, [0.0] * 7

        def __init__(self, q: float) -> None:
            self.actual_joint_angle = [q] * 7

    client = Client()
    reports = Reports(client, 7)
    for i in range(8):
        client.report_data = Data(0.01 * i)
        client.take(None)  # all at once: 0.07 rad in next to no time
    assert len(reports.samples) <= 2


# --- arm files


PUBLISHED: dict[int, list[tuple[float, float, float, float]]] = {
    7: [
        (0.267, 0, 0, 0),
        (0, -np.pi / 2, 0, 0),
        (0.293, np.pi / 2, 0, 0),
        (0, np.pi / 2, 0.0525, 0),
        (0.3425, np.pi / 2, 0.0775, 0),
        (0, np.pi / 2, 0, 0),
        (0.097, -np.pi / 2, 0.076, 0),
    ],
    6: [
        (0.267, 0, 0, 0),
        (0, -np.pi / 2, 0, -1.3849179),
        (0, 0, 0.28948866, 1.3849179),
        (0.3425, -np.pi / 2, 0.0775, 0),
        (0, np.pi / 2, 0, 0),
        (0.097, -np.pi / 2, 0.076, 0),
    ],
}
"""UFACTORY's modified DH tables: d [m], alpha [rad], a [m], offset [rad]."""


def flange(dof: int, q: np.ndarray) -> np.ndarray:
    pose = np.eye(4)
    for (d, alpha, a, offset), turn in zip(PUBLISHED[dof], q, strict=True):
        ct, st, ca, sa = np.cos(turn + offset), np.sin(turn + offset), np.cos(alpha), np.sin(alpha)
        pose = pose @ [[ct, -st, 0, a], [st * ca, ct * ca, -sa, -d * sa], [st * sa, ct * sa, ca, d * ca], [0, 0, 0, 1]]
    return pose


@pytest.mark.parametrize("dof", [6, 7])
def test_the_arm_files_are_the_published_dh_tables(dof: int) -> None:
    arm, rng = load_arm(f"xarm{dof}"), np.random.default_rng(0)
    zero = arm.frames(np.zeros(dof))[-1]
    np.testing.assert_allclose(zero[:3, 3], {7: [0.206, 0, 0.1205], 6: [0.207, 0, 0.112]}[dof], atol=1e-6)  # as the manual shows it
    for _ in range(20):
        q = rng.uniform(arm.lower, arm.upper)
        np.testing.assert_allclose(arm.frames(q)[-1], flange(dof, q), atol=3e-6)


@pytest.mark.parametrize("dof", [6, 7])
def test_home_is_above_the_table_and_points_down(dof: int) -> None:
    arm = load_arm(f"xarm{dof}")
    home = np.array(arm.home)
    tool = arm.tool(home)
    assert tool[2, 2] < -np.cos(np.radians(1))
    np.testing.assert_allclose(tool[:3, 3], [0.4, 0, 0.25], atol=1e-3)
    assert arm.gaps(home).min() > 0.05
    assert arm.gaps(np.zeros(dof)).min() > 0.01  # where it is delivered and switched on
    joints = {frozenset(pair) for pair in arm.apart}
    assert all(max(pair) - min(pair) > 1 for pair in joints)


# --- wire format


def test_reports_have_the_lengths_that_they_say(running: Emulator) -> None:
    for port, size in ((REAL, 135), (NORMAL, 145), (RICH, 587)):
        with socket.create_connection((running.address, port), timeout=3) as client:
            data = b""
            while len(data) < size:
                data += client.recv(size - len(data))
        assert int.from_bytes(data[:4], "big") == size


@pytest.mark.parametrize("header", [b"\0\1\0\7\0\2", b"\0\1\0\2\xff\xff", b"\0\1\0\2\0\0"])
def test_a_header_of_another_protocol_is_refused(header: bytes) -> None:
    with pytest.raises(FrameError):
        body_length(header)


def test_a_client_that_sends_noise_harms_nobody(sound: Emulator, steady: Link) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        with socket.create_connection((sound.address, 502), timeout=3) as client:
            client.sendall(rng.bytes(64))
    start = steady.state().qpos
    stream(steady, turning(start), 0.1)
    steady.stop()
