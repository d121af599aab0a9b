"""Recording by hand: what is stored trains as it is, and nothing that was finished is lost.

What takes long to import is imported where it is used: one test runs this module in a process of its own.
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.errors import DeployError
from deploy.recorder import Manner, record_episodes
from episodes import CameraInfo, DatasetInfo, DatasetWriter, StoreError, open_dataset
from hardware.api import Action, Observation, RobotError
from hardware.clock import ManualClock
from hardware.jog import Button, Hand, Jog, JointTargets
from hardware.model import load_arm
from hardware.reason import Reason, Stop

ROOT = Path(__file__).resolve().parents[1]
ARM = load_arm("panda")
SIZE = 16
LEFT, DOWN = Jog(linear=(0, 1, 0), live=True), Jog(linear=(0, 0, -1), live=True)
START, GOOD, BAD, DISCARD, UNDO, QUIT = (Jog(buttons=(b,)) for b in Button)
TAKE = [START, *[DOWN] * 8, Jog(toggle=True), *[LEFT] * 4, GOOD]


def info(**changes: Any) -> DatasetInfo:
    camera = CameraInfo(SIZE, SIZE, 45.0, np.eye(3), np.eye(4))
    joints = tuple(joint.name for joint in ARM.joints)
    return DatasetInfo(**{"fps": 20, "robot": "panda", "joints": joints, "cameras": {"side": camera, "wrist": camera}} | changes)


@dataclass
class Arm:
    """A robot that moves half of the way it is sent, and tells time by its pictures."""

    limit: float = 0.05
    """What its filter lets through in one step [rad]."""
    qpos: np.ndarray = field(default_factory=lambda: np.array(ARM.home))
    gripper: np.ndarray = field(default_factory=lambda: np.ones(1))
    asked: list[Action] = field(default_factory=list)
    stops: int = 0

    def connect(self) -> None: ...

    def observe(self) -> Observation:
        k = len(self.asked)
        images = {name: np.full((SIZE, SIZE, 3), k % 256, np.uint8) for name in ("side", "wrist")}
        mask = np.zeros((SIZE, SIZE), bool)
        mask[4:9, 3 + k % 5 : 9 + k % 5] = True
        return Observation(images, dict.fromkeys(images, mask), self.qpos.copy(), self.gripper.copy(), k * 0.05)

    def command(self, action: Action) -> Action:
        self.asked.append(action)
        sent = Action(self.qpos + np.clip(action.qpos - self.qpos, -self.limit, self.limit), action.gripper)
        self.qpos = self.qpos + 0.5 * (sent.qpos - self.qpos)
        self.gripper = self.gripper + np.clip(sent.gripper - self.gripper, -0.3, 0.3)
        return sent

    def stop(self) -> None:
        self.stops += 1


@dataclass
class Script:
    """Hands that do one thing a step, and end when there is nothing more to do."""

    hands: list[Hand | Callable[[], Hand]]
    closed: bool = False

    def read(self, now: float) -> Hand:
        hand = self.hands.pop(0) if self.hands else QUIT
        return hand if isinstance(hand, Jog | JointTargets) else hand()

    def close(self) -> None:
        self.closed = True


def wait(path: Path, count: int) -> Callable[[], Hand]:
    """A hand that rests until so many episodes are on the disk."""

    def hand() -> Hand:
        end = time.monotonic() + 20
        while len(list((path / "shards").glob("[!.]*.zarr"))) != count:
            assert time.monotonic() < end
            time.sleep(0.005)
        time.sleep(0.05)
        return Jog()

    return hand


def record(path: Path, hands: list, robot: Any = None, manner: Manner | None = None, **options: Any) -> tuple[dict, list[str], Any]:
    said: list[str] = []
    robot = robot or Arm()
    manner = manner or Manner("pick up the red mug", about={"teleop": "script"})
    writer = DatasetWriter(path, options.pop("info", info()))
    summary = record_episodes(robot, Script(list(hands)), writer, ManualClock(5.0), ARM, manner, say=said.append, **options)
    return summary, said, robot


def test_an_episode_holds_what_was_seen_asked_and_sent_at_each_step(tmp_path: Path) -> None:
    summary, said, robot = record(tmp_path, [Jog(), DOWN, *TAKE, wait(tmp_path, 1)])
    assert summary == {"episodes": 1, "successes": 1, "discarded": 0, "undone": 0, "missed_steps": 0}
    assert said[-1] == "stored 000000: success; 1 episodes"
    episode = open_dataset(tmp_path)[0]
    assert len(episode) == 14  # from the first motion to the step in which success was pressed
    first = int(episode.images["side"][0, 0, 0, 0])
    np.testing.assert_array_equal(episode.images["wrist"][:, 0, 0, 0], first + np.arange(14))
    asked = np.array([[*a.qpos, *a.gripper] for a in robot.asked[first : first + 14]])
    np.testing.assert_array_equal(episode.actions, asked)  # bit by bit, though stored as float32
    moved = np.abs(episode.sent[:, :7] - episode.qpos)
    assert moved.max() <= 0.05 + 1e-6
    np.testing.assert_allclose(np.diff(episode.qpos, axis=0), 0.5 * (episode.sent[:, :7] - episode.qpos)[:-1], atol=1e-6)
    np.testing.assert_array_equal(episode.actions[:, 7], [1] * 8 + [0] * 6)
    down = ARM.tool(episode.actions[7, :7].astype(float))[2, 3] - ARM.tool(episode.qpos[0].astype(float))[2, 3]
    assert down == pytest.approx(-8 * 0.05 * 0.1, abs=5e-3)
    assert episode.labelled.all()
    assert (episode.success, episode.instruction, episode.dt) == (True, "pick up the red mug", 0.05)
    assert episode.state.shape == (15, 0)
    assert episode.provenance == {"source": "teleoperation", "teleop": "script", "missed_steps": 0, "cut_steps": 0}


def test_failures_are_kept_without_labels_and_others_leave_nothing(tmp_path: Path) -> None:
    failed, dropped = [*TAKE[:-1], BAD], [*TAKE[:-1], DISCARD]
    hands = [*failed, wait(tmp_path, 1), *dropped, *TAKE, wait(tmp_path, 2), UNDO, wait(tmp_path, 1), *TAKE, wait(tmp_path, 2)]
    summary, said, _ = record(tmp_path, hands)
    assert summary == {"episodes": 2, "successes": 1, "discarded": 1, "undone": 1, "missed_steps": 0}
    held = open_dataset(tmp_path)
    assert [episode.success for episode in held] == [False, True]
    assert [bool(episode.labelled.any()) for episode in held] == [False, True]
    assert held.verify() == {}
    assert "removed 000001" in said
    assert not [p for p in (tmp_path / "shards").iterdir() if p.name.startswith(".")]
    again, said, _ = record(tmp_path, [UNDO, *TAKE, wait(tmp_path, 3)])
    assert "nothing was stored since the start: older episodes are not undone" in said
    assert again["episodes"] == 1
    assert [path.name for path in sorted((tmp_path / "shards").iterdir())] == ["000000.zarr", "000001.zarr", "000002.zarr"]


def test_buttons_at_the_wrong_time_say_why_and_lose_nothing(tmp_path: Path) -> None:
    hands = [GOOD, DISCARD, START, GOOD, *TAKE[:6], START, UNDO, QUIT, *[DOWN] * 3, GOOD, wait(tmp_path, 1)]
    summary, said, _ = record(tmp_path, hands)
    assert summary["episodes"] == 1
    assert len(open_dataset(tmp_path)[0]) == 5 + 3 + 3 + 1
    for words in ("no episode is running; start one first", "undo removes the last one", "nothing was recorded"):
        assert any(words in line for line in said)
    assert sum("an episode is running" in line for line in said) == 3


def test_long_rests_are_cut_and_short_ones_kept(tmp_path: Path) -> None:
    rest = [Jog()] * 60
    record(tmp_path, [START, *[DOWN] * 5, *rest, *[LEFT] * 5, *rest, GOOD, wait(tmp_path, 1)], manner=Manner("x", pause=0.25))
    episode = open_dataset(tmp_path)[0]
    still = np.abs(np.diff(episode.qpos, axis=0)).max(axis=1) < 1e-3
    longest = max(len(run) for run in "".join("s" if s else "m" for s in still).split("m"))
    assert 4 <= longest <= 8
    assert episode.provenance["cut_steps"] > 80
    assert len(episode) + episode.provenance["cut_steps"] == 131


def test_nothing_is_recorded_beyond_the_longest_episode(tmp_path: Path) -> None:
    hands = [START, *[DOWN, LEFT] * 15, GOOD, wait(tmp_path, 1)]
    _, said, _ = record(tmp_path, hands, manner=Manner("x", seconds=1.0, episodes=1))
    assert len(open_dataset(tmp_path)[0]) == 20
    assert "1 s are full, nothing more is recorded: success, failure or discard?" in said


def test_a_stop_drops_the_episode_until_a_person_clears_it(tmp_path: Path) -> None:
    stops: list[Stop] = []
    cleared: list[int] = []

    def trip() -> Hand:
        stops.append(Stop(Reason.CONTACT, "joint4: 60 N m", 5.0))
        return DOWN

    def clear() -> None:
        cleared.append(1)
        if len(cleared) == 1:
            raise RobotError("link 3 below the table")
        stops.clear()

    hands = [*TAKE[:6], trip, DOWN, DOWN, START, START, *TAKE, wait(tmp_path, 1)]
    summary, said, robot = record(tmp_path, hands, stopped=lambda: stops[0] if stops else None, clear=clear)
    assert summary["episodes"] == 1
    told = [line for line in said if "STOPPED" in line or "cannot go on" in line or line == "cleared"]
    assert told == [
        "STOPPED contact: joint4: 60 N m; the episode is dropped. Look at the arm; start clears it, quit ends",
        "it cannot go on: link 3 below the table",
        "cleared",
    ]
    assert len(robot.asked) < len(hands)  # nothing was commanded while it was stopped
    jumps = np.abs(np.diff(open_dataset(tmp_path)[0].actions[:, :7], axis=0))
    assert jumps.max() < 0.05


def test_a_hand_that_pushes_against_the_table_stays_there_and_is_told_once(tmp_path: Path) -> None:
    floor = ARM.tool(np.array(ARM.home))[2, 3] - 0.033

    def forbidden(qpos: np.ndarray) -> str:
        return "link 7 3 mm below the workspace in z" if ARM.tool(qpos)[2, 3] < floor else ""

    hands = [START, *[DOWN] * 60, Jog(linear=(0, 0, -1), toggle=True, live=True), *[LEFT] * 5, GOOD, wait(tmp_path, 1)]
    _, said, robot = record(tmp_path, hands, forbidden=forbidden)
    heights = [ARM.tool(action.qpos)[2, 3] for action in robot.asked]
    assert floor - 1e-6 < min(heights) < floor + 0.006
    assert said.count("no further: link 7 3 mm below the workspace in z") == 1
    episode = open_dataset(tmp_path)[0]
    assert episode.actions[-1, 7] == 0  # the gripper still obeys
    assert ARM.tool(episode.actions[-1, :7].astype(float))[1, 3] == pytest.approx(5 * 0.005, abs=2e-3)  # and so does the way along it


def test_a_start_that_cannot_be_prepared_is_none(tmp_path: Path) -> None:
    def prepare(number: int) -> dict[str, Any]:
        raise DeployError("no camera sees 'the red mug'")

    summary, said, _ = record(tmp_path, [START, DOWN, GOOD], prepare=prepare)
    assert summary["episodes"] == 0
    assert said[0] == "not started: no camera sees 'the red mug'"


def test_an_error_stops_the_arm(tmp_path: Path) -> None:
    def gone() -> Hand:
        raise RobotError("the gamepad is gone")

    robot = Arm()
    with pytest.raises(RobotError, match="gamepad"):
        record(tmp_path, [*TAKE, wait(tmp_path, 1), *TAKE[:5], gone], robot)
    assert robot.stops == 1
    assert len(open_dataset(tmp_path)) == 1


def test_periods_that_are_missed_are_counted_and_not_made_up_for(tmp_path: Path) -> None:
    clock = ManualClock(5.0)

    def hiccup() -> Hand:
        clock.time += 0.2
        return DOWN

    writer, times = DatasetWriter(tmp_path, info()), []

    class Timed(Arm):
        def command(self, action: Action) -> Action:
            times.append(clock.now())
            return super().command(action)

    hands = [START, *[DOWN] * 4, hiccup, *[DOWN] * 4, GOOD, wait(tmp_path, 1)]
    summary = record_episodes(Timed(), Script(hands), writer, clock, ARM, Manner("x"))
    assert summary["missed_steps"] in (3, 4)
    assert open_dataset(tmp_path).provenance(0)["missed_steps"] == summary["missed_steps"]
    gaps = np.diff(times)
    assert gaps.max() == pytest.approx(0.2, abs=0.06)
    assert gaps.min() > 0.049


def test_a_data_set_of_another_contract_is_refused(tmp_path: Path) -> None:
    record(tmp_path, [*TAKE, wait(tmp_path, 1)])
    for change in ({"fps": 10}, {"robot": "fr3"}, {"cameras": {"side": info().cameras["side"]}}):
        with pytest.raises(StoreError, match="another contract"):
            record(tmp_path, TAKE, info=info(**change))
    assert len(open_dataset(tmp_path)) == 1


@pytest.mark.parametrize("change", ["rate=0", "size=8", "speed=2", "seconds=0", "pause=-1", "linear=100", "seed=-1"])
def test_impossible_values_are_refused_by_name(change: str) -> None:
    from deploy.record import RecordConfig

    name, value = change.split("=")
    values: dict[str, Any] = {name: int(value) if name in ("size", "seed") else float(value)}
    with pytest.raises((DeployError, RobotError), match=f"{name}="):
        RecordConfig(**values)


def test_a_killed_recorder_loses_the_running_episode_alone(tmp_path: Path) -> None:
    code = """
import sys, time
from test_record import DOWN, TAKE, Path, record, wait
path = Path(sys.argv[1])
def hang():
    print("running", flush=True)
    time.sleep(600)
record(path, [*TAKE, wait(path, 1), *TAKE, wait(path, 2), *TAKE[:9], hang])
"""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"running\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    held = open_dataset(tmp_path)
    assert (len(held), held.verify()) == (2, {})
    record(tmp_path, [*TAKE, wait(tmp_path, 3)])  # and it is continued
    assert len(open_dataset(tmp_path)) == 3


def test_a_full_disk_is_said_and_what_was_stored_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from episodes import writer

    write = writer.write_shard

    def full(folder: Path, episodes: Any, about: Any) -> None:
        if any(folder.parent.glob("[!.]*.zarr")):
            raise OSError(28, "No space left on device")
        write(folder, episodes, about)

    monkeypatch.setattr(writer, "write_shard", full)
    robot = Arm()
    with pytest.raises(StoreError, match="No space left on device; what was stored before is kept"):
        record(tmp_path, [*TAKE, wait(tmp_path, 1), *TAKE, *[Jog()] * 500], robot)
    assert robot.stops == 1
    assert len(open_dataset(tmp_path)) == 1


def test_three_episodes_of_the_simulated_robot_train_as_they_are(tmp_path: Path) -> None:
    from policy_world import tiny_policy, tiny_train

    from assets.toys import sample_toy
    from episodes.view import ViewConfig
    from episodes.view import run as view
    from policies import load_policy
    from policies.train import run as train
    from sim.camera import SIDE, WRIST, described
    from sim.scene import SceneConfig
    from sim.simrobot import SimRobot

    data, size = tmp_path / "mine", 32
    with SimRobot(SceneConfig(sample_toy(np.random.default_rng(3)), size=size)) as robot:
        cameras = {camera.name: described(camera, size) for camera in (SIDE, WRIST)}
        about = DatasetInfo(1 / robot.dt, "panda", robot.arm.joints, cameras)

        def prepare(number: int) -> dict[str, Any]:
            robot.place(np.array([0.02 * number, 0.0]), np.random.default_rng(number))
            return {"seed": number}

        hands = [hand for k in (1, 2, 3) for hand in (*TAKE, wait(data, k))]
        summary, _, _ = record(data, hands, robot, info=about, prepare=prepare)
    assert summary["episodes"] == 3
    held = open_dataset(data)
    assert held.verify() == {}
    assert all(episode.masks["wrist"].any() for episode in held)
    assert np.abs(held[0].qpos[-1] - held[0].actions[-1, :7]).max() < 0.05  # the arm went where it was sent
    trained = train(tiny_train(data, tmp_path / "run", steps=3, policy=tiny_policy()))
    assert np.isfinite(trained["validation_loss"])
    policy = load_policy(trained["checkpoint"])
    first = held[0]
    seen = Observation(
        {c: v[0] for c, v in first.images.items()}, {c: v[0] for c, v in first.masks.items()}, first.qpos[0], first.gripper[0], 0.0
    )
    assert np.isfinite(policy.predict(seen).qpos).all()
    shown = view(ViewConfig(data=str(data), out=str(tmp_path / "view")))
    assert Path(shown["video"]).stat().st_size > 1000


def test_a_device_that_is_missing_is_said_before_anything_starts(tmp_path: Path) -> None:
    from deploy.record import RecordConfig, run

    with pytest.raises(RobotError, match="teleop=gamepad cannot read /dev/input/js77"):
        run(RecordConfig(teleop="gamepad", device={"address": "/dev/input/js77"}, out=str(tmp_path / "mine")))
    with pytest.raises(RobotError, match="robot='toaster' is not known"):
        run(RecordConfig(robot="toaster", out=str(tmp_path / "mine")))
    with pytest.raises(DeployError, match="robot=ur needs cameras"):
        run(RecordConfig(robot="ur", out=str(tmp_path / "mine")))
    assert not (tmp_path / "mine").exists()


def test_a_physical_arms_cameras_are_described_by_their_calibration(tmp_path: Path) -> None:
    from deploy.record import RecordConfig, info_of
    from deploy.rig import Rig
    from hardware.calibration import Calibration, HandEye, Intrinsics, rows
    from hardware.cameras import open_camera

    @dataclass(frozen=True)
    class Driver:
        arm: Any = ARM
        servo_hz: float = 100.0

        def connect(self) -> Any:
            raise AssertionError("nothing connects before the cameras are known")

    lens = Intrinsics(150.0, 150.0, 63.5, 63.5, (0.0, 0.0, 0.0, 0.0, 0.0), (128, 128))
    pose = np.eye(4)
    pose[:3, 3] = 0.4, 0.5, 0.6
    Calibration("side", "", lens, HandEye("base", rows(pose))).save(tmp_path / "side.json")
    Calibration("wrist", "", lens).save(tmp_path / "wrist.json")

    def rig(*names: str) -> Rig:
        cameras = tuple(open_camera(name, "opencv:0", (128, 128)) for name in names)
        return Rig(Driver(), cameras, None)  # pyright: ignore[reportArgumentType]

    cfg = RecordConfig(robot="ur", calibration={"side": str(tmp_path / "side.json"), "wrist": str(tmp_path / "wrist.json")})
    found = info_of(cfg, rig("side"), ("side",))
    assert (found.robot, found.joints, found.gripper, found.fps) == ("panda", info().joints, 1, 20.0)
    np.testing.assert_array_equal(found.cameras["side"].extrinsics, pose)
    assert found.cameras["side"].intrinsics[0][0] == 150.0
    assert found.cameras["side"].fovy == pytest.approx(2 * np.degrees(np.arctan(64 / 150)))
    with pytest.raises(DeployError, match="camera 'wrist': where it stands is unknown"):
        info_of(cfg, rig("side", "wrist"), ("side", "wrist"))
    with pytest.raises(DeployError, match="camera 'top' has no calibration: `cezanne calibrate` makes one"):
        info_of(cfg, rig("top"), ("top",))
    cfg.calibration["wrist"] = cfg.calibration["side"]
    with pytest.raises(RobotError, match="calibration of camera 'side', not of 'wrist'"):
        info_of(cfg, rig("wrist"), ("wrist",))


# --- the verb, in a terminal, on the simulated world


@contextmanager
def at_a_terminal(code: str, *arguments: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A program whose standard input is a terminal; its end, and the program."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    os.close(slave)
    try:
        yield master, process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
        process.communicate()
        os.close(master)


def heard(process: subprocess.Popen[bytes], pattern: str, seconds: float = 90) -> str:
    """What it says on stderr, up to a pattern."""
    assert process.stderr is not None
    said, end = b"", time.monotonic() + seconds
    while not re.search(pattern.encode(), said):
        assert time.monotonic() < end, said.decode()
        if select.select([process.stderr], [], [], 0.5)[0]:
            more = os.read(process.stderr.fileno(), 1)
            assert more, said.decode()
            said += more
    return said.decode()


@pytest.mark.slow
def test_the_verb_records_in_a_terminal_and_a_hangup_leaves_whole_episodes(tmp_path: Path) -> None:
    code = """
import json, signal, sys
from sim import gl
gl.setup()
from deploy.record import RecordConfig, run
signal.signal(signal.SIGTERM, signal.default_int_handler)
print(json.dumps(run(RecordConfig(out=sys.argv[1], stops=sys.argv[1] + "-stops", size=32, episodes=int(sys.argv[2])))))
"""
    out = tmp_path / "mine"

    def demonstrate(master: int, process: subprocess.Popen[bytes]) -> None:
        os.write(master, b"\r")
        heard(process, "begins with the first motion")
        for key in (b"f", b"a"):
            end = time.monotonic() + 0.7
            while time.monotonic() < end:
                os.write(master, key)
                time.sleep(0.04)

    with at_a_terminal(code, str(out), "1") as (master, process):
        heard(process, "stop at once")
        demonstrate(master, process)
        os.write(master, b"y")
        heard(process, "stored 000000")
        assert process.wait(30) == 0
        assert process.stdout is not None
        summary = json.loads(process.stdout.read().splitlines()[-1])
    assert (summary["episodes"], summary["data_episodes"]) == (1, 1)
    episode = open_dataset(out)[0]
    assert 10 <= len(episode) <= 200
    assert episode.masks["side"].any()
    assert episode.provenance["toy"] == 0
    before, after = (ARM.tool(episode.qpos[k].astype(float))[:3, 3] for k in (0, -1))
    assert after[2] < before[2] - 0.01
    assert after[1] > before[1] + 0.01
    with at_a_terminal(code, str(out), "0") as (master, process):
        heard(process, "stop at once")
        demonstrate(master, process)
        process.send_signal(signal.SIGHUP)  # as when ssh is cut
        assert process.wait(30) != 0
    assert len(open_dataset(out)) == 1
