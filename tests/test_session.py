"""Sessions: the servo thread, one owner an arm, stops from anywhere, at rest however the block ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from hardware.api import Action, ArmLost, RobotError
from hardware.arm import ArmState
from hardware.limits import Limits
from hardware.model import ArmModel, load_arm
from hardware.reason import Reason
from hardware.session import GONE, Session, runtime_folder, session, stop_all

PANDA = load_arm("panda")
HOME = np.array(PANDA.home)


@dataclass
class FakeLink:
    """Joints that go where they are sent, at once."""

    qpos: np.ndarray = field(default_factory=HOME.copy)
    gripper: np.ndarray = field(default_factory=lambda: np.ones(1))
    sent: list[np.ndarray] = field(default_factory=list)
    stops: int = 0
    closed: bool = False
    fault: RobotError | None = None
    refuses: RobotError | None = None
    hangs: threading.Event | None = None
    """`state` waits for it."""

    def state(self) -> ArmState:
        if self.hangs:
            self.hangs.wait(10)
        if self.fault:
            raise self.fault
        return ArmState(self.qpos.copy(), np.zeros(7), np.zeros(7), self.gripper.copy(), time.monotonic())

    def send(self, setpoint: Action) -> None:
        if self.refuses:
            raise self.refuses
        self.qpos, self.gripper = setpoint.qpos, setpoint.gripper
        self.sent.append(setpoint.qpos)

    def stop(self) -> None:
        self.stops += 1

    def close(self) -> None:
        self.stop()
        self.closed = True


@dataclass
class FakeArm:
    """A driver."""

    link: FakeLink = field(default_factory=FakeLink)
    address: str = "test"
    servo_hz: float = 100.0

    @property
    def arm(self) -> ArmModel:
        return PANDA

    def connect(self) -> FakeLink:
        return self.link


@contextmanager
def opened(folder: Path, driver: FakeArm | None = None, speed: float = 1.0) -> Iterator[tuple[Session, FakeLink]]:
    driver = driver or FakeArm()
    limits = Limits(PANDA, speed=speed, state_age=1.0, heartbeat=2.0, action_age=2.0)  # a busy machine is no fault here
    with session(driver, limits=limits, folder=folder) as arm:
        yield arm, driver.link


def move(arm: Session, away: float = 0.3, seconds: float = 0.2) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        arm.offer(Action(HOME + away, np.ones(1)), time.monotonic())
        time.sleep(0.02)


def at_rest(link: FakeLink) -> bool:
    return len(link.sent) < 2 or bool((link.sent[-1] == link.sent[-2]).all())


def test_it_moves_and_comes_to_rest_with_the_block(tmp_path: Path) -> None:
    with opened(tmp_path) as (arm, link):
        np.testing.assert_array_equal(arm.state().qpos, HOME)
        move(arm)
        assert np.abs(link.qpos - HOME).max() > 0.01
        assert arm.stopped is None
    assert link.closed
    assert at_rest(link)


def test_nothing_is_sent_but_the_measured_pose_before_the_first_action(tmp_path: Path) -> None:
    with opened(tmp_path) as (_, link):
        time.sleep(0.1)
    assert link.sent
    assert all((q == HOME).all() for q in link.sent)


@pytest.mark.parametrize("error", [ValueError("what"), KeyboardInterrupt(), RobotError("no")])
def test_an_error_in_the_block_brakes_the_arm(tmp_path: Path, error: BaseException) -> None:
    link, arms = FakeLink(), []

    def fails() -> None:
        with opened(tmp_path, FakeArm(link)) as (arm, _):
            arms.append(arm)
            move(arm)
            raise error

    with pytest.raises(type(error)):
        fails()
    arm = arms[0]
    assert arm.stopped is not None
    assert arm.stopped.reason is (Reason.OPERATOR if isinstance(error, KeyboardInterrupt) else Reason.CRASH)
    assert at_rest(link)
    assert link.closed


def test_one_owner_an_arm(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(RobotError, match=r"panda at test is in use by process \d+"), opened(tmp_path):
        pass
    with opened(tmp_path):
        pass  # and free again


def test_two_arms_do_not_disturb_each_other(tmp_path: Path) -> None:
    with opened(tmp_path, FakeArm(address="left")), opened(tmp_path, FakeArm(address="right")):
        pass


def test_a_stop_from_another_process(tmp_path: Path) -> None:
    code = f"from hardware.session import stop_all; from pathlib import Path; print(stop_all(Path({str(tmp_path)!r})))"
    with opened(tmp_path) as (arm, link):
        answers: list[str] = []

        def ask() -> None:
            answers.append(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout)

        asking = threading.Thread(target=ask)
        asking.start()
        while arm.stopped is None and asking.is_alive():
            move(arm, seconds=0.05)
        asking.join()
        assert "at rest" in answers[0]
        assert arm.stopped is not None
        assert arm.stopped.reason is Reason.OPERATOR
        assert at_rest(link)
    assert stop_all(tmp_path) == {}


def test_a_session_that_was_killed_does_not_keep_the_arm(tmp_path: Path) -> None:
    code = (
        "import sys, time; sys.path.insert(0, 'tests'); from pathlib import Path; from test_session import opened\n"
        f"with opened(Path({str(tmp_path)!r})): print('in', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline().strip() == "in"
    child.kill()
    child.wait()
    assert list(stop_all(tmp_path).values()) == [GONE]
    assert stop_all(tmp_path) == {}, "said once"
    with opened(tmp_path) as (arm, _):
        assert arm.stopped is None


@pytest.mark.parametrize(("error", "reason"), [(RobotError("reflex"), Reason.ARM_FAULT), (ArmLost("power"), Reason.ARM_LOST)])
@pytest.mark.parametrize("place", ["fault", "refuses"])
def test_a_faulty_arm_is_stopped_by_its_own_means(tmp_path: Path, error: RobotError, reason: Reason, place: str) -> None:
    with opened(tmp_path) as (arm, link):
        move(arm)
        setattr(link, place, error)
        arm.rest()
        time.sleep(0.05)
        assert arm.stopped is not None
        assert arm.stopped.reason is reason
        assert str(error) in arm.stopped.detail
        assert link.stops >= 1
        link.fault = link.refuses = None
        if reason is Reason.ARM_FAULT:
            arm.rest()
            arm.clear()
            assert arm.stopped is None
            move(arm, away=0.05)
            assert arm.stopped is None


def test_a_faulty_arm_is_not_cleared_while_it_is_faulty(tmp_path: Path) -> None:
    with opened(tmp_path) as (arm, link):
        link.fault = RobotError("reflex")
        time.sleep(0.1)
        with pytest.raises(RobotError, match="reflex"):
            arm.clear()
        assert arm.stopped is not None


def test_stopping_twice_keeps_the_first_reason(tmp_path: Path) -> None:
    with opened(tmp_path) as (arm, _):
        arm.stop(Reason.CONTACT, "first")
        arm.stop()
        assert arm.stopped is not None
        assert arm.stopped.detail == "first"


def test_slow_by_default(tmp_path: Path) -> None:
    with session(FakeArm(), folder=tmp_path) as arm:
        assert arm.limits.speed == 0.1


def test_a_runtime_folder_open_to_others_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = runtime_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(RobotError, match="open to others"):
        runtime_folder()


def test_clearing_at_once_jumps_nowhere(tmp_path: Path) -> None:
    with opened(tmp_path) as (arm, link):
        move(arm, away=0.5)
        link.qpos = link.qpos - 0.02  # it trails
        arm.stop()
        arm.clear()
        assert arm.stopped is None
        time.sleep(0.1)
        path = np.array(link.sent)
    steps = np.diff(path, axis=0) * 100.0
    assert np.abs(np.diff(steps, axis=0)).max() * 100.0 <= arm.limits.full_acceleration.max() * 1.001 or at_rest(link)
    assert np.abs(steps).max() <= arm.limits.velocity.max() * 1.001


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_servo_that_has_ended_is_not_cleared(tmp_path: Path) -> None:
    with opened(tmp_path) as (arm, link):
        link.fault = ValueError("an error of the driver")  # pyright: ignore[reportAttributeAccessIssue]
        time.sleep(0.1)
        assert arm.stopped is not None
        assert arm.stopped.reason is Reason.CRASH
        assert link.stops == 1
        link.fault = None
        with pytest.raises(RobotError, match="servo thread has ended"):
            arm.clear()
        assert arm.stopped is not None, "nothing would carry setpoints to it"


def test_an_arm_that_hangs_is_stopped_by_its_own_means_from_another_process(tmp_path: Path) -> None:
    with opened(tmp_path) as (arm, link):
        move(arm)
        link.hangs = threading.Event()
        time.sleep(0.05)
        sent = len(link.sent)
        assert list(stop_all(tmp_path, timeout=5.0).values()) == ["stopped by its own means"]
        assert link.stops == 1
        link.hangs.set()
        time.sleep(0.1)
        assert len(link.sent) == sent, "nothing undoes that stop"
        link.hangs = None
        arm.clear()
        assert arm.stopped is None


def test_a_loop_is_told_that_the_arm_hangs(tmp_path: Path) -> None:
    limits = Limits(PANDA, state_age=0.2, heartbeat=0.3)
    driver = FakeArm()
    with session(driver, limits=limits, folder=tmp_path) as arm:
        driver.link.hangs = threading.Event()
        time.sleep(0.8)
        with pytest.raises(RobotError, match="has not answered for"):
            arm.state()
        assert arm.stopped is not None
        assert arm.stopped.reason is Reason.STATE_STALE
        assert driver.link.stops == 1
        driver.link.hangs.set()


def test_a_measurement_that_took_long_is_old(tmp_path: Path) -> None:
    class Slow(FakeLink):
        def state(self) -> ArmState:
            found = FakeLink.state(self)
            if self.hangs:
                time.sleep(0.4)
            return found

    driver = FakeArm(Slow())
    with session(driver, limits=Limits(PANDA, state_age=0.2), folder=tmp_path) as arm:
        driver.link.hangs = threading.Event()
        driver.link.hangs.set()
        time.sleep(1.0)
        assert arm.stopped is not None
        assert arm.stopped.reason is Reason.STATE_STALE


def test_nothing_is_sent_after_the_end_by_a_servo_that_hung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardware.session.REST", 0.1)
    driver = FakeArm()
    with opened(tmp_path, driver) as (arm, link):
        move(arm)
        link.hangs = threading.Event()
        time.sleep(0.05)
        sent = len(link.sent)
    assert link.closed
    link.hangs.set()
    time.sleep(0.1)
    assert len(link.sent) == sent


def test_a_rate_that_makes_no_sense_is_refused_before_the_arm_is_connected(tmp_path: Path) -> None:
    driver = FakeArm(servo_hz=2.0)
    with pytest.raises(RobotError, match=r"servo period of 0\.5 s"), session(driver, folder=tmp_path):
        pass
    assert driver.link.stops == 0


def test_a_link_is_given_back_however_often_ctrl_c_is_pressed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    driver, threads = FakeArm(), []

    def deploys() -> None:
        with opened(tmp_path, driver) as (arm, _):
            move(arm)
            threads.append(arm.servo._thread)
            monkeypatch.setattr(arm.servo, "rest", interrupted)
            monkeypatch.setattr(arm.servo._thread, "join", interrupted)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deploys()
    assert driver.link.closed
    monkeypatch.undo()
    threads[0].join(2.0)
    assert not threads[0].is_alive()
    with opened(tmp_path):
        pass  # the lock is free


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_program_that_is_asked_to_end_or_loses_its_terminal_brakes(tmp_path: Path, number: signal.Signals) -> None:
    code = (
        "import sys, time; sys.path.insert(0, 'tests'); from pathlib import Path; from test_session import opened\n"
        "try:\n"
        f"    with opened(Path({str(tmp_path)!r})) as (arm, link):\n"
        "        print('in', flush=True)\n"
        "        time.sleep(60)\n"
        "finally: print(arm.stopped.reason, link.closed, flush=True)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert child.stdout is not None
    assert child.stdout.readline().strip() == "in"
    child.send_signal(number)
    assert child.stdout.read().strip() == "operator True"
    child.wait()
    child.stdout.close()


def test_handlers_of_signals_are_given_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGHUP)
    with opened(tmp_path):
        pass
    assert signal.getsignal(signal.SIGHUP) is before


def test_all_arms_are_told_to_stop_before_any_is_waited_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as deaf, opened(tmp_path) as (arm, _):
        deaf.bind(str(tmp_path / "a-deaf-one.sock"))
        deaf.listen(1)
        begun = time.monotonic()
        answers = stop_all(tmp_path, timeout=2.0)
        assert sorted(answers.values()) == ["at rest", "silent"]
        assert arm.stopped is not None
        assert arm.stopped.time - begun < 1.5


def test_a_shell_without_a_runtime_folder_finds_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/there/is/no/such/folder")
    elsewhere = runtime_folder()
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert runtime_folder() == elsewhere
    assert elsewhere.is_dir()


def test_one_owner_a_port_by_whatever_name(tmp_path: Path) -> None:
    port, name = tmp_path / "ttyACM0", tmp_path / "by-id"
    port.touch()
    name.symlink_to(port)
    with (
        opened(tmp_path, FakeArm(address=str(port))),
        pytest.raises(RobotError, match="in use"),
        opened(tmp_path, FakeArm(address=str(name))),
    ):
        pass
