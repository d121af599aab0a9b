"""The driver of Universal Robots' arms, driven by the vendor's own client against an emulated controller on loopback."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardware.api import Action, ArmLost, RobotError
from hardware.arm import Link
from hardware.drivers.ur import UR, _ControllerClock
from hardware.emulators.handle import Emulator
from hardware.emulators.ur import HOME, open_controller
from hardware.emulators.ur_packets import INPUTS, OUTPUTS, Kind, PacketError, package, recipe

pytest.importorskip("rtde_control", reason="ur-rtde is not installed")
ROOT = Path(__file__).resolve().parents[1]
DT = 0.008


def bare(address: str, **settings: Any) -> UR:
    return UR(address, gripper="none", **settings)


def action(qpos: Any, gripper: Any = ()) -> Action:
    return Action(np.array(qpos, dtype=float), np.array(gripper, dtype=float))


def stream(link: Link, path: Callable[[float], np.ndarray], seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Sends a path at the servo rate; returns what was sent and what was measured."""
    sent, measured = [], []
    start = time.monotonic()
    while (t := time.monotonic() - start) < seconds:
        measured.append(link.state().qpos)
        sent.append(path(t))
        link.send(action(sent[-1]))
        time.sleep(DT)
    return np.array(sent), np.array(measured)


def turning(start: np.ndarray, speed: float = 0.5) -> Callable[[float], np.ndarray]:
    """The first joint turns at a constant speed [rad/s]."""
    return lambda t: start + np.array([speed * t, 0, 0, 0, 0, 0])


def eventually(look: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if look():
            return True
        time.sleep(0.02)
    return False


def resting(controller: Emulator) -> bool:
    return not np.any(controller.look()["qd"])


def words_of(link: Link) -> str:
    try:
        link.state()
    except RobotError as error:
        return str(error)
    return ""


def fault(link: Link, kind: type[RobotError] = RobotError) -> str:
    """The words of the fault that shows within some time, while setpoints are sent."""

    def drive() -> None:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            link.send(action(link.state().qpos))
            time.sleep(DT)

    with pytest.raises(kind) as caught:
        drive()
    assert caught.type is kind
    return str(caught.value)


@pytest.fixture(scope="module")
def sound() -> Iterator[Emulator]:
    """A controller for tests that leave it as they found it."""
    with open_controller() as controller:
        yield controller


@pytest.fixture(scope="module")
def link(sound: Emulator) -> Iterator[Link]:
    """For tests that leave it as they found it."""
    link = bare(sound.address, watchdog_hz=1).connect()  # a busy machine may pause for long
    yield link
    link.close()


@pytest.fixture(scope="module")
def spare() -> Iterator[Emulator]:
    """A controller for tests that end what runs on it."""
    with open_controller() as controller:
        yield controller


@pytest.fixture
def faulty(spare: Emulator) -> Iterator[Link]:
    """For tests of a fault: not used again."""
    link = bare(spare.address, watchdog_hz=2).connect()
    yield link
    link.close()


def test_connecting_measures_and_moves_nothing(spare: Emulator, faulty: Link) -> None:
    before = spare.look()
    assert before["program"] == "PLAYING"
    time.sleep(0.7)  # longer than the watchdog waits: at rest nobody needs to send
    state = faulty.state()
    np.testing.assert_allclose(state.qpos, before["q"])
    assert not np.any(state.qvel)
    assert state.effort.shape == (6,)
    assert state.gripper.shape == (0,)
    assert 0 <= time.monotonic() - state.time < 0.5
    after = spare.look()
    assert after["q"] == before["q"]
    assert after["servos"] == before["servos"]


def test_the_arm_follows_a_sine(sound: Emulator, link: Link) -> None:
    start = link.state().qpos
    swing = np.array([0.3, 0.2, -0.2, 0.1, 0.1, 0.3])
    sent, measured = stream(link, lambda t: start + swing * np.sin(np.pi * t) ** 2, 1.0)
    assert np.ptp(measured, axis=0) == pytest.approx(np.abs(swing), abs=0.08)
    assert np.abs(sent - measured).max() < 0.25  # the lookahead is the lag: 0.1 s of at most 0.95 rad/s, and a busy machine's
    assert sound.look()["servos"] > 20
    link.stop()


def test_a_stop_comes_to_rest_holds_and_lets_go_on(sound: Emulator, link: Link) -> None:
    stream(link, turning(link.state().qpos), 0.3)
    threads = [threading.Thread(target=link.stop) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    link.stop()
    there = sound.look()
    assert not np.any(there["qd"])
    time.sleep(0.3)
    assert sound.look()["q"] == there["q"]
    assert there["program"] == "PLAYING"
    _, measured = stream(link, turning(link.state().qpos, -0.5), 0.5)
    assert measured[-1, 0] < measured[0, 0] - 0.05
    link.stop()


def test_stop_and_close_in_any_order(spare: Emulator) -> None:
    threads = threading.active_count()
    link = bare(spare.address).connect()
    link.stop()
    link.close()
    link.close()
    link.stop()
    assert spare.look()["program"] == "STOPPED"
    with pytest.raises(RobotError, match="closed"):
        link.state()
    with pytest.raises(RobotError, match="closed"):
        link.send(action(HOME))
    assert threading.active_count() == threads


def test_what_is_not_a_setpoint_is_refused_and_nothing_moves(sound: Emulator, link: Link) -> None:
    before = sound.look()
    spoiled = action(HOME)
    spoiled.qpos[3] = np.nan  # after Action has looked at it
    with pytest.raises(RobotError, match="finite"):
        link.send(spoiled)
    with pytest.raises(RobotError, match="takes 6 joints"):
        link.send(action([0.0] * 7))
    with pytest.raises(RobotError, match="takes 6 joints"):
        link.send(action(HOME, [1.0]))
    with pytest.raises(RobotError, match="joint limits"):
        link.send(action(np.degrees(HOME)))
    link.state()
    after = sound.look()
    assert (after["servos"], after["q"]) == (before["servos"], before["q"])


def test_efforts_are_currents_beyond_the_controllers_model(sound: Emulator, link: Link) -> None:
    sound.do("push", [0, 2.0, 0, 0, 0, -1.0])
    try:
        assert eventually(lambda: link.state().effort[1] > 1)
        expected = [0, 2.0 * 150 / 12, 0, 0, 0, -1.0 * 28 / 3]
        np.testing.assert_allclose(link.state().effort, expected, atol=0.1)
    finally:
        sound.do("push", [0] * 6)


def test_an_arm_that_lags_is_reported_where_it_is(sound: Emulator, link: Link) -> None:
    start = link.state().qpos
    sound.do("lag", 0)
    try:
        sent, measured = stream(link, turning(start), 0.3)
        assert np.abs(measured - start).max() < 1e-6 < np.abs(sent - start).max()
        link.stop()
    finally:
        sound.do("lag", 1)


def test_a_second_client_is_refused_and_the_first_goes_on(sound: Emulator, link: Link) -> None:
    with pytest.raises(RobotError, match="another session"):
        bare(sound.address).connect()  # the program of the first runs
    stream(link, turning(link.state().qpos, 0.1), 0.1)
    link.stop()


def test_half_speed_on_the_slider_is_noticed(spare: Emulator, faulty: Link) -> None:
    spare.do("slider", 0.5)
    try:
        assert "speed slider to 100" in fault(faulty)
    finally:
        spare.do("slider", 1.0)


def test_a_loop_that_hangs_is_stopped_by_the_controllers_watchdog(spare: Emulator, faulty: Link) -> None:
    stream(faulty, turning(faulty.state().qpos), 0.2)
    assert eventually(lambda: spare.look()["program"] == "STOPPED")
    assert eventually(lambda: resting(spare))
    assert "watchdog" in spare.look()["log"][-1]
    assert eventually(lambda: "watchdog" in words_of(faulty))


CLIENT = """
import sys, time
import numpy as np
from hardware.api import Action
from hardware.drivers.ur import UR
link = UR(sys.argv[1], gripper="none", watchdog_hz=3).connect()
q = link.state().qpos
for i in range(10**6):
    link.send(Action(q + np.array([0.4 * i * 0.008, 0, 0, 0, 0, 0]), np.zeros(0)))
    time.sleep(0.008)
    if i == 20:
        print("moving", flush=True)
"""


@contextlib.contextmanager
def client(address: str) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that drives the arm."""
    process = subprocess.Popen([sys.executable, "-c", CLIENT, address], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        assert process.stdout.readline() == "moving\n"
        yield process
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


def test_the_arm_rests_when_its_client_is_killed(spare: Emulator) -> None:
    with client(spare.address) as process:
        assert np.any(spare.look()["qd"])
        process.send_signal(signal.SIGKILL)
        assert eventually(lambda: spare.look()["program"] == "STOPPED" and resting(spare))
        assert eventually(lambda: spare.look()["clients"] == 0)


@pytest.mark.parametrize("signal_", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)])
def test_the_watchdog_stops_the_arm_when_the_vendors_process_does_not(spare: Emulator, signal_: signal.Signals) -> None:
    link = UR(spare.address, gripper="none", watchdog_hz=3).connect()
    stream(link, turning(link.state().qpos), 0.2)
    os.kill(link.process, signal_)
    assert eventually(lambda: spare.look()["program"] == "STOPPED" and resting(spare))
    fault(link, ArmLost)
    link.stop()
    link.close()
    assert not Path(f"/proc/{link.process}").exists()
    assert eventually(lambda: spare.look()["clients"] == 0)


def test_a_protective_stop_is_final_even_when_it_is_unlocked(spare: Emulator, faulty: Link) -> None:
    start = faulty.state().qpos
    stream(faulty, turning(start), 0.2)
    faulty.send(action(start + 1))
    spare.do("protective_stop", "C153A1: joint position deviates")
    assert "PROTECTIVE_STOP" in fault(faulty)
    assert eventually(lambda: spare.look()["program"] == "STOPPED" and resting(spare))
    spare.do("unlock")
    there = spare.look()["q"]
    with pytest.raises(RobotError, match="PROTECTIVE_STOP"):
        faulty.send(action(start))
    time.sleep(0.2)
    assert spare.look()["q"] == there  # and not on to where it was sent last
    faulty.close()
    again = bare(spare.address, servo_hz=500).connect()
    _, measured = stream(again, turning(again.state().qpos, -0.5), 0.3)
    assert measured[-1, 0] < measured[0, 0] - 0.02
    again.close()


def test_a_stop_at_the_pendant_is_noticed(spare: Emulator, faulty: Link) -> None:
    spare.do("end_program")
    assert "pressed stop" in fault(faulty)


def test_an_emergency_stop_is_told_in_the_controllers_words(spare: Emulator, faulty: Link) -> None:
    stream(faulty, turning(faulty.state().qpos), 0.1)
    spare.do("emergency_stop")
    try:
        assert "ROBOT_EMERGENCY_STOP" in fault(faulty)
        faulty.stop()
        assert eventually(lambda: resting(spare))
        with pytest.raises(RobotError, match="IDLE"):
            bare(spare.address).connect()
    finally:
        spare.do("unlock")
        spare.do("power", True)


def test_lost_power_is_noticed_and_stopping_still_returns() -> None:
    with open_controller() as controller:
        link = bare(controller.address).connect()
        stream(link, turning(link.state().qpos), 0.2)
        controller.do("power_loss")
        start = time.monotonic()
        assert controller.address in fault(link, ArmLost)
        with pytest.raises(ArmLost):
            link.send(action(HOME))
        link.stop()
        link.close()
        assert time.monotonic() - start < 10


def test_a_network_that_breaks_for_a_moment_is_not_reconnected_to(spare: Emulator, faulty: Link) -> None:
    start = faulty.state().qpos
    stream(faulty, turning(start), 0.2)
    faulty.send(action(start + 1))
    spare.do("cut")
    assert spare.address in fault(faulty, ArmLost)
    time.sleep(0.1)  # the vendor's client connects again by itself, meanwhile
    before = spare.look()["servos"]
    assert eventually(lambda: resting(spare))
    faulty.close()
    assert spare.look()["program"] == "STOPPED"
    assert spare.look()["servos"] == before


def test_a_silent_controller_is_noticed_before_its_sockets_close(spare: Emulator) -> None:
    link = bare(spare.address, silence=0.2).connect()
    stream(link, turning(link.state().qpos), 0.1)
    spare.do("mute", 0.5)
    assert "no measurement for 0.2" in fault(link, ArmLost)
    link.close()


@pytest.mark.parametrize("kind", ["short", pytest.param("long", marks=pytest.mark.slow), "header"])
def test_a_malformed_measurement_ends_it_and_never_us(spare: Emulator, faulty: Link, kind: str) -> None:
    """Too short: the vendor's client reads beyond it. A length below its own: the vendor's client ends its process."""
    stream(faulty, turning(faulty.state().qpos), 0.1)
    seen: list[str] = []
    for _ in range(200):  # a package is the newest for some milliseconds only
        spare.do("malformed", kind)
        try:
            assert np.abs(faulty.state().qpos).max() < 7
            faulty.send(action(faulty.state().qpos))
            time.sleep(0.01)
        except RobotError as error:
            seen.append(str(error))
            break
    assert any(word in seen[0] for word in ("malformed", "reports", "refused", "ended", "closed")), seen
    faulty.stop()
    assert eventually(lambda: spare.look()["program"] == "STOPPED" and resting(spare))


REFUSALS: dict[str, tuple[str, Any]] = {
    "is a 'UR10'": ("identity", {"model": "UR10"}),
    "not a ur5e": ("identity", {"version": (3, 15, 0, 0)}),
    "local control": ("identity", {"remote": False}),
    "already in use": ("identity", {"fieldbus": True}),
    "release its brakes": ("power", False),
    "50% speed": ("slider", 0.5),
}


@pytest.mark.parametrize("words", REFUSALS)
def test_a_controller_that_must_not_be_driven_is_refused_by_name(spare: Emulator, words: str) -> None:
    spare.do(*REFUSALS[words])
    try:
        with pytest.raises(RobotError, match=words):
            bare(spare.address).connect()
        assert spare.look()["program"] == "STOPPED"
    finally:
        for deed, value in (("identity", {}), ("power", True), ("slider", 1.0)):
            spare.do(deed, value)


def test_nobody_at_the_address() -> None:
    with pytest.raises(RobotError, match="does not answer at port 29999"):
        bare("127.0.0.254" if not listening("127.0.0.254") else "127.0.0.253").connect()


def listening(address: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, 29999)) == 0


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rtde_control", None)
    with pytest.raises(RobotError, match="pip install ur-rtde"):
        bare("127.0.0.1").connect()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"servo_hz": 50}, "125"),
        ({"lookahead": 0.5}, "lookahead"),
        ({"gain": 10}, "gain"),
        ({"gripper": "hand"}, "robotiq, none"),
        ({"watchdog_hz": 20}, "watchdog_hz=10"),
        ({"gripper_counts": (200, 100)}, "gripper_counts"),
        ({"address": ""}, "address="),
        ({"silence": float("nan")}, "silence"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(RobotError, match=words):
        UR(**{"address": "127.0.0.1", **settings})


def test_an_arm_with_other_joints_is_refused() -> None:
    with pytest.raises(RobotError, match="has 7 joints"):
        _ = UR("127.0.0.1", model="panda").arm
    with pytest.raises(dataclasses.FrozenInstanceError):
        UR("127.0.0.1").address = "127.0.0.2"  # pyright: ignore[reportAttributeAccessIssue]


def test_the_gripper_closes_holds_and_opens(spare: Emulator) -> None:
    link = UR(spare.address).connect()
    try:
        state = link.state()
        assert state.gripper == pytest.approx([1.0])
        link.send(action(state.qpos, [0.0]))
        assert eventually(lambda: spare.look()["grip"] > 40)
        link.stop()
        there = [0.0]

        def still() -> bool:
            before, there[0] = there[0], spare.look()["grip"]
            return before == there[0]

        assert eventually(still)
        assert 40 < there[0] < 230
        assert eventually(lambda: abs(link.state().gripper[0] - (230 - there[0]) / 227) < 0.01)
        link.send(action(state.qpos, [1.0]))
        assert eventually(lambda: link.state().gripper[0] == 1.0)
    finally:
        link.close()


def test_a_gripper_that_would_move_or_does_not_answer_is_refused(spare: Emulator) -> None:
    spare.do("gripper_active", False)
    with pytest.raises(RobotError, match="not activated"):
        UR(spare.address).connect()
    spare.do("gripper_active", True)
    link = UR(spare.address).connect()
    spare.do("gripper_dead", True)
    try:
        assert eventually(lambda: "answered 'POS ?'" in words_of(link))
    finally:
        spare.do("gripper_dead", False)
        link.close()


def test_measurements_are_dated_by_the_least_delay() -> None:
    clock = _ControllerClock()
    rng = np.random.default_rng(0)
    worst = 0.0
    for i in range(20_000):  # 160 s of a controller whose clock is 200 ppm slow, seen with delays of 1 to 30 ms
        taken = 1000 + i * DT
        dated = clock.read(5 + i * DT * (1 - 2e-4), taken + 0.001 + 0.029 * rng.random())
        worst = max(worst, abs(dated - taken)) if i > 100 else worst
    assert worst < 0.012
    again = clock.read(5 + i * DT * (1 - 2e-4), taken + 10)
    assert again == pytest.approx(dated)  # the same measurement ages


@pytest.mark.parametrize("stamp", [-1.0, np.nan, np.inf, 5e-324, 1e300])
def test_a_controllers_time_that_jumps_is_a_malformed_measurement(stamp: float) -> None:
    clock = _ControllerClock()
    clock.read(5.0, 1000.0)
    with pytest.raises(ArmLost, match="malformed"):
        clock.read(stamp, 1000.01)


def test_packets_survive_the_way_there_and_back() -> None:
    names = ["timestamp", "actual_q", "robot_mode", "output_int_register_3"]
    one, answer = recipe(1, names, OUTPUTS)
    assert one
    assert answer == b"\x01DOUBLE,VECTOR6D,INT32,INT32"
    values = {"timestamp": 1.5, "actual_q": np.arange(6.0), "robot_mode": -1, "output_int_register_3": 7}
    back = one.unpack(one.pack(values)[3:])
    assert back == values | {"actual_q": (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)}
    with pytest.raises(PacketError, match="takes 65 bytes, got 3"):
        one.unpack(b"\x01ab")
    assert recipe(1, ["nonsense"], OUTPUTS)[1] == b"\x00NOT_FOUND"
    assert recipe(2, ["input_int_register_0"], INPUTS, frozenset(INPUTS))[1] == b"\x00IN_USE"


def test_the_emulator_survives_garbage(spare: Emulator) -> None:
    rng = np.random.default_rng(0)
    for port in (29999, 30003, 30004, 63352):
        for start in (b"", struct.pack(">HB", 0, Kind.DATA), package(Kind.OUTPUTS, b"x"), package(Kind.DATA, b"\x09")):
            with socket.create_connection((spare.address, port), timeout=5) as raw:
                raw.sendall(start + rng.bytes(200) + b"\n")
    assert spare.look()["safety"] == "NORMAL"
    with socket.create_connection((spare.address, 29999), timeout=5) as raw, raw.makefile("rw", newline="\n") as lines:
        lines.readline()
        lines.write("get robot model\n")
        lines.flush()
        assert lines.readline() == "UR5\n"
