"""The black box: what goes in comes out, memory is fixed, recording never raises, and a stranger's file is refused."""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from deploy.blackbox.page import draw_page
from hardware.api import Action, ActionChunk, Observation, RobotError
from hardware.arm import ArmState
from hardware.blackbox import BLOCKED, RESTING, UNMEASURED, BlackBox, BoxPlan, RecordedWatch
from hardware.blackbox_file import HEAD, dump, open_blackbox
from hardware.camera import Frame
from hardware.limits import Limits
from hardware.model import ArmModel, load_arm
from hardware.reason import Reason, Stop
from hardware.safety import Tick
from hardware.session import session

CAMERAS = {"side": (12, 21), "wrist": (8, 8)}
PLAN = BoxPlan(("a", "b", "c"), CAMERAS, servo_hz=20, calls_hz=4, chunk=5, seconds=5, megabytes=1)
STOP = Stop(Reason.CONTACT, "b: 9.0 N m from outside, the limit is 3.0 N m", 104.0)


def state(value: float, n: int = 3) -> ArmState:
    return ArmState(np.full(n, value), np.full(n, value + 1), np.full(n, value + 2), np.full(1, 0.5), value)


def action(value: float, n: int = 3) -> Action:
    return Action(np.full(n, value), np.full(1, value % 1))


def tick(value: float, blocked: str = "", resting: bool = False) -> Tick:
    return Tick(action(value), np.full(3, -value), blocked, resting)


def observation(seed: int, cameras: dict[str, tuple[int, int]] = CAMERAS) -> Observation:
    rng = np.random.default_rng(seed)
    images = {name: rng.integers(0, 256, (*size, 3), np.uint8) for name, size in cameras.items()}
    masks = {name: rng.random(size) < 0.3 for name, size in cameras.items()}
    return Observation(images, masks, rng.normal(size=3), rng.random(1), 100.0 + seed)


def chunk(seed: int, steps: int = 5) -> ActionChunk:
    rng = np.random.default_rng([7, seed])
    return ActionChunk(rng.normal(size=(steps, 3)), rng.random((steps, 1)))


def filled(ticks: int = 40, calls: int = 6, plan: BoxPlan = PLAN) -> BlackBox:
    box = BlackBox(plan)
    box.reset("pick up the red mug", 100.0)
    for k in range(ticks):
        stopped = STOP if k >= 30 else None
        box.servo(
            100 + k / 20, None if k == 7 else state(k), action(k), tick(k, "links 2 and 5 3 mm apart" if k == 9 else "", k > 30), stopped
        )
    for k in range(calls):
        box.asked(k + 1, observation(k), 100 + k / 4)
        box.frame("wrist", Frame(np.zeros((8, 8, 3), np.uint8), 99.9 + k / 4, k), 100 + k / 4)
        if k != 3:
            box.answered(k + 1, chunk(k, 5 - k % 2), 100.03 + k / 4)
    return box


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return dump(filled(), tmp_path, STOP, {"robot": "stick", "speed": 0.1, "limits": ["a", "b"], "path": Path("x")})


def test_what_goes_in_comes_out(written: Path) -> None:
    tape = open_blackbox(written)
    assert (tape.stop, tape.plan, tape.fault) == (STOP, PLAN, "")
    assert tape.context == {"robot": "stick", "speed": 0.1, "limits": ["a", "b"], "path": "x"}
    assert tape.trials == {1: "pick up the red mug"}
    assert [text for _, text in tape.notes] == ["trial 1: pick up the red mug", "forbidden: links 2 and 5 3 mm apart"]
    np.testing.assert_array_equal(tape.servo("asked")[:, 1], np.arange(40))
    np.testing.assert_array_equal(tape.servo("sent_qvel")[:, 2], -np.arange(40))
    np.testing.assert_array_equal(np.isnan(tape.servo("effort")).all(axis=1), np.arange(40) == 7)
    flags = tape.servo("flags")[:, 0]
    assert (flags[7], flags[9], flags[10], flags[39]) == (UNMEASURED, BLOCKED, 0, RESTING)
    assert {tape.reasons[int(code)] for code in tape.servo("reason")[30:, 0]} == {"contact"}
    assert not tape.servo("reason")[:30].any()
    assert list(tape.pictured) == list(range(6))
    for k in tape.pictured:
        was, now = observation(k), tape.observation(k)
        assert all(np.array_equal(was.images[c], now.images[c]) and np.array_equal(was.masks[c], now.masks[c]) for c in CAMERAS)
        np.testing.assert_array_equal(was.qpos, now.qpos)
        np.testing.assert_array_equal(was.gripper, now.gripper)
        assert now.time == was.time
        answer = tape.chunk(k)
        if k == 3:
            assert answer is None
        else:
            assert answer is not None
            np.testing.assert_array_equal(answer.qpos, chunk(k, 5 - k % 2).qpos)
            np.testing.assert_array_equal(answer.gripper, chunk(k, 5 - k % 2).gripper)
    np.testing.assert_allclose(tape.call("answered") - tape.call("asked"), [0.03] * 3 + [np.nan] + [0.03] * 2)
    np.testing.assert_array_equal(tape.arrays["frames"][:, 1], [1] * 6)


def test_memory_is_fixed_and_the_newest_is_kept(tmp_path: Path) -> None:
    box = filled(ticks=1000, calls=100)
    assert sum(ring.nbytes for ring in box._rings.values()) == PLAN.nbytes <= PLAN.megabytes * 1e6
    tape = open_blackbox(dump(box, tmp_path, None, {}))
    assert tape.stop is None
    np.testing.assert_array_equal(tape.servo("asked")[:, 0], np.arange(900, 1000))  # 5 s at 20 Hz
    np.testing.assert_array_equal(tape.call("number"), np.arange(81, 101))
    np.testing.assert_array_equal(tape.observation(tape.pictured[-1]).images["side"], observation(99).images["side"])
    assert np.diff(tape.arrays["thumb_times"]).min() >= PLAN.seconds / 120 - 1e-9


def test_a_minute_of_a_franka_fits_and_what_does_not_fit_is_said() -> None:
    joints = tuple(f"joint{k}" for k in range(1, 8))
    small = BoxPlan(joints, {"side": (128, 128), "wrist": (128, 128)}, servo_hz=1000, calls_hz=2.5, chunk=16)
    assert small.nbytes <= 64e6
    assert small.pictures == 151  # all of them
    large = BoxPlan(joints, {"side": (480, 640), "wrist": (480, 640)}, servo_hz=1000, calls_hz=2.5, chunk=16)
    assert 10 <= large.pictures < 151
    assert 60e6 < large.nbytes <= 64e6
    with pytest.raises(RobotError, match=r"needs 26\.0 MB, megabytes=20; allow more"):
        BoxPlan(joints, {"side": (128, 128)}, servo_hz=1000, calls_hz=20, chunk=16, megabytes=20)


@pytest.mark.parametrize(
    "change",
    [{"servo_hz": 0}, {"seconds": 1e9}, {"chunk": 0}, {"cameras": {"../up": (8, 8)}}, {"cameras": {"side": (0, 8)}}, {"joints": ()}],
)
def test_impossible_plans_are_refused(change: dict) -> None:
    with pytest.raises(RobotError):
        BoxPlan(**{"joints": ("a",), "cameras": {}, "servo_hz": 100, "calls_hz": 2, "chunk": 4} | change)


def test_recording_never_raises_and_the_file_says_what_was_lost(tmp_path: Path) -> None:
    box = filled()
    box.servo(103.0, state(1, n=9), action(1), tick(1), None)
    box.servo(103.0, state(np.nan), action(1), tick(1), None)
    box.asked(7, observation(0, {"side": (12, 21)}), 103.0)
    box.asked(7, observation(0, {"side": (12, 20), "wrist": (8, 8)}), 103.0)
    box.answered(7, chunk(0), 103.0)
    box.answered(6, chunk(0, steps=9), 103.0)
    box.frame("unknown", Frame(np.zeros((8, 8, 3), np.uint8), 0.0, 0), 103.0)
    tape = open_blackbox(dump(box, tmp_path, STOP, {}))
    assert tape.fault.startswith("6 times, first: ValueError: could not broadcast")
    np.testing.assert_array_equal(tape.call("number"), range(1, 7))
    answer = tape.chunk(5)
    assert answer is not None
    np.testing.assert_array_equal(answer.qpos, chunk(5, 4).qpos)  # what was there stays


def test_a_servo_period_costs_microseconds() -> None:
    box, here, asked, done = BlackBox(PLAN), state(1.0), action(1), tick(1)
    taken = []
    for _ in range(30):
        begin = time.perf_counter()
        for _ in range(100):
            box.servo(1.0, here, asked, done, None)
        taken.append((time.perf_counter() - begin) / 100)
    assert min(taken) < 60e-6  # 3 us were measured on a quiet core


def test_two_writers_and_a_dump_at_once_leave_no_row_half_written() -> None:
    box, over = BlackBox(BoxPlan(("a", "b", "c"), CAMERAS, servo_hz=100, calls_hz=20, chunk=5, seconds=1, megabytes=1)), threading.Event()

    def servo() -> None:
        k = 0
        while not over.is_set():
            k += 1
            box.servo(k, state(k), action(k), tick(k), None)

    def loop() -> None:
        k, seen = 0, [observation(s) for s in range(3)]
        while not over.is_set():
            k += 1
            flat = {name: np.full_like(image, k % 251) for name, image in seen[0].images.items()}
            box.asked(k, Observation(flat, seen[0].masks, np.full(3, float(k)), np.ones(1), k), k)
            box.answered(k, ActionChunk(np.full((5, 3), float(k)), np.full((5, 1), float(k))), k)

    threads = [threading.Thread(target=servo), threading.Thread(target=loop)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for _ in range(60):
            found = box.snapshot()
            rows, n = found["servo"], 3
            assert (np.diff(rows[:, 0]) == 1).all()
            np.testing.assert_array_equal(rows[:, 3 : 3 + n], rows[:, [0]] * np.ones(n))
            np.testing.assert_array_equal(-rows[:, -n:], rows[:, [0]] * np.ones(n))
            number = found["calls"][:, 0]
            whole = ~np.isnan(found["calls"][:, 4])
            assert (np.diff(number) == 1).all()
            np.testing.assert_array_equal(found["chunks"][whole, -1, 0], number[whole])
            assert np.isnan(found["chunks"][~whole]).all()
            pictures = found["images/side"]
            np.testing.assert_array_equal(pictures, (number[len(number) - len(pictures) :] % 251)[:, None, None, None] + 0 * pictures)
    finally:
        over.set()
        sys.setswitchinterval(before)
        for thread in threads:
            thread.join()
    assert box.faults == 0


def test_a_watch_tells_the_box_and_still_decides() -> None:
    class Black:
        def look(self, name: str, frame: Frame, now: float) -> Stop | None:
            return Stop(Reason.CAMERA_BLACK, name, now)

    box = BlackBox(PLAN)
    said = RecordedWatch(Black(), box).look("side", Frame(np.zeros((12, 21, 3), np.uint8), 4.9, 17), 5.0)
    assert said == Stop(Reason.CAMERA_BLACK, "side", 5.0)
    np.testing.assert_array_equal(box.snapshot()["frames"], [[5.0, 0, 4.9, 17]])


def test_where_it_cannot_be_written_one_line_says_so_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RobotError, match=r"was not written to .*Not a directory; the arm is stopped all the same"):
        dump(filled(), tmp_path / "file", STOP, {})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))  # as on a disk that is full after 3000 bytes
    try:
        with pytest.raises(RobotError, match="was not written") as caught:
            dump(filled(), tmp_path, STOP, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@dataclass
class Still:
    """An arm that is where it was sent, and its link."""

    arm: ArmModel
    servo_hz: float = 200.0
    address: str = "still"
    sent: Action | None = None
    effort: float = 0.0

    def connect(self) -> Still:
        return self

    def state(self) -> ArmState:
        home, n = np.array(self.arm.home), len(self.arm.joints)
        at = self.sent or Action(home, np.ones(1))
        return ArmState(at.qpos, np.zeros(n), np.full(n, self.effort), at.gripper, time.monotonic())

    def send(self, setpoint: Action) -> None:
        self.sent = setpoint

    def stop(self) -> None: ...

    def close(self) -> None: ...


def test_a_stop_goes_through_though_its_black_box_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "full").write_text("")
    driver = Still(load_arm("panda"))
    limits = Limits(driver.arm, state_age=5.0, heartbeat=5.0)  # of a busy machine
    joints = tuple(joint.name for joint in driver.arm.joints)
    box = BlackBox(BoxPlan(joints, {}, driver.servo_hz, 2.5, 16, seconds=20))
    with session(driver, limits=limits, recorder=box, folder=tmp_path) as arm:
        arm.offer(Action(np.array(driver.arm.home) + 0.1, np.zeros(1)), time.monotonic())
        time.sleep(0.1)
        driver.effort = 500.0
        end = time.monotonic() + 10
        while arm.stopped is None and time.monotonic() < end:
            time.sleep(0.01)
        assert arm.stopped is not None
        assert arm.rest(10)
        with pytest.raises(RobotError, match="was not written"):
            dump(box, tmp_path / "full", arm.stopped, {})
        assert arm.stopped.reason == Reason.CONTACT
        time.sleep(0.1)
        resting = driver.sent
        tape = open_blackbox(dump(box, tmp_path / "boxes", arm.stopped, {}))
    assert resting is not None
    assert tape.fault == ""
    assert tape.stop == arm.stopped
    codes = tape.servo("reason")[:, 0].astype(int)
    assert codes[0] == 0
    assert tape.reasons[codes[-1]] == "contact"
    assert (np.diff(codes) != 0).sum() == 1
    np.testing.assert_allclose(tape.servo("asked")[codes > 0][0] - driver.arm.home, 0.1)
    np.testing.assert_array_equal(tape.servo("sent")[-1], tape.servo("sent")[-2])  # it rests
    assert np.abs(tape.servo("effort")[-1]).min() == 500.0


def edit(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        head = json.loads((path / HEAD).read_text())
        change(head)
        (path / HEAD).write_text(json.dumps(head))

    return apply


def unpickle(path: Path) -> None:
    with (path / "servo.npy").open("wb") as file:
        np.save(file, np.array([os.getcwd], dtype=object), allow_pickle=True)


def bomb(path: Path) -> None:
    """Four exabytes, says the header."""
    with (path / "servo.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (2**59, 1)})


def link(path: Path) -> None:
    (path / "calls.npy").rename(path.parent / "elsewhere.npy")
    (path / "calls.npy").symlink_to(path.parent / "elsewhere.npy")


def number(path: Path) -> None:
    calls = np.load(path / "calls.npy")
    calls[2, 5] = 6  # actions of an answer; 5 were planned
    np.save(path / "calls.npy", calls)


HOSTILE: dict[str, Callable[[Path], object]] = {
    "pickle": unpickle,
    "bomb": bomb,
    "link": link,
    "number": number,
    "cut": lambda path: (path / "images/side.npy").write_bytes((path / "images/side.npy").read_bytes()[:-1]),
    "longer": lambda path: (path / "images/side.npy").write_bytes((path / "images/side.npy").read_bytes() + b"x"),
    "missing": lambda path: (path / "chunks.npy").unlink(),
    "pipe": lambda path: ((path / "chunks.npy").unlink(), os.mkfifo(path / "chunks.npy")),
    "json": lambda path: (path / HEAD).write_text("[" * 100_000),
    "huge json": lambda path: (path / HEAD).write_text(" " * (5 * 2**20)),
    "no plan": edit(lambda head: head.pop("plan")),
    "other plan": edit(lambda head: head["plan"].update(joints=["a"])),
    "strange plan": edit(lambda head: head["plan"].update(surprise=1)),
    "huge plan": edit(lambda head: head["plan"].update(seconds=1e30)),
    "path": edit(lambda head: head["plan"]["cameras"].update({"../../side": [12, 21]})),
    "rows": edit(lambda head: head["rows"].update(servo=10**12)),
    "fewer rows": edit(lambda head: head["rows"].update(chunks=3)),
    "reason": edit(lambda head: head["stop"].update(reason="boredom")),
    "reasons": edit(lambda head: head.update(reasons=[])),
    "notes": edit(lambda head: head.update(notes=[1])),
}


@pytest.mark.parametrize("harm", HOSTILE)
def test_a_file_of_a_stranger_is_refused_in_one_line(written: Path, harm: str) -> None:
    HOSTILE[harm](written)
    with pytest.raises(RobotError, match="is no black box") as caught:
        open_blackbox(written)
    assert "\n" not in str(caught.value)


def test_another_version_is_refused(written: Path) -> None:
    edit(lambda head: head.update(format=2))(written)
    with pytest.raises(RobotError, match="it has format 2, this program reads 1"):
        open_blackbox(written)
    with pytest.raises(RobotError, match="No such file"):
        open_blackbox(written / "nothing")


def test_flipped_bits_are_read_or_refused_never_a_crash(written: Path) -> None:
    rng = np.random.default_rng(0)
    files = sorted(p for p in written.rglob("*") if p.is_file())
    for _ in range(300):
        file = files[rng.integers(len(files))]
        whole = file.read_bytes()
        broken = bytearray(whole)
        for place in rng.integers(0, min(len(whole), 400), 3):
            broken[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(broken)
        try:
            tape = open_blackbox(written)
            for call in tape.pictured:
                tape.observation(call)
                tape.chunk(call)
        except RobotError:
            pass
        file.write_bytes(whole)
    open_blackbox(written)


@pytest.mark.parametrize("stop", [STOP, None])
@pytest.mark.parametrize("full", [True, False])
def test_the_page_is_drawn(tmp_path: Path, stop: Stop | None, full: bool) -> None:
    from PIL import Image

    tape = open_blackbox(dump(filled() if full else BlackBox(PLAN), tmp_path, stop, {"robot": "stick"}))
    drawn = np.asarray(Image.open(draw_page(tape, tmp_path / "pages" / "report.png")).convert("RGB"))
    assert drawn.shape[0] > 500
    red = (np.abs(drawn.astype(int) - [197, 27, 27]).max(axis=2) < 30).sum()
    assert (red > 300) == (stop is not None or full)  # the stop's line and title; a box that was stopped shows its lane
