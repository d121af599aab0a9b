"""Cezanne's arms from LeRobot's side: found as a plug-in, configured by its command line, moved behind the safety filter."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distribution import pretend_installed

pytest.importorskip("lerobot")
pytest.importorskip("scservo_sdk")

import draccus
from lerobot.robots import RobotConfig
from so101_chain import HOME, OFFSETS, be_patient, calibrate, install, ticks

import hardware.session
from hardware.api import Action, RobotError
from hardware.arm import ArmState
from hardware.emulators.feetech import Chain
from hardware.reason import Reason, Stop
from lerobot_robot_cezanne import Cezanne, CezanneConfig

JOINTS = ["shoulder_pan.pos", "shoulder_lift.pos", "elbow_flex.pos", "wrist_flex.pos", "wrist_roll.pos", "gripper.pos"]
FOLDER = Path(__file__).resolve().parents[1] / "lerobot_robot_cezanne"


@dataclass
class Command:
    """As LeRobot's scripts have one."""

    robot: RobotConfig


@dataclass
class FakeSession:
    """Does at once what it is asked, but for the limits of a filter that allows 0.1 rad."""

    qpos: np.ndarray = field(default_factory=HOME.copy)
    gripper: np.ndarray = field(default_factory=lambda: np.array([0.5]))
    stopped: Stop | None = None
    offered: list[tuple[Action, float]] = field(default_factory=list)
    held: int = 0

    def state(self) -> ArmState:
        return ArmState(self.qpos, 0 * self.qpos, 0 * self.qpos, self.gripper, 12.5)

    def offer(self, action: Action, observed: float) -> Action:
        self.offered.append((action, observed))
        self.qpos = self.qpos + np.clip(action.qpos - self.qpos, -0.1, 0.1)
        self.gripper = action.gripper
        return Action(self.qpos, self.gripper)

    def hold(self) -> None:
        self.held += 1


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSession]:
    made = FakeSession()
    opened: list[Any] = []

    @contextlib.contextmanager
    def session(driver: Any, *, limits: Any) -> Iterator[FakeSession]:
        opened.append((driver, limits))
        yield made
        opened.pop()

    monkeypatch.setattr(hardware.session, "session", session)
    yield made
    assert not opened, "the session outlived its robot"
    assert not [thread for thread in threading.enumerate() if thread.name == "cezanne pauses"]


def robot(folder: Path, **settings: Any) -> Cezanne:
    return Cezanne(CezanneConfig(calibration_dir=folder, **{"driver": "lerobot", "address": "/dev/ttyNOWHERE", **settings}))


def test_features_are_known_unconnected_and_agree_with_what_comes(tmp_path: Path, fake: FakeSession) -> None:
    arm = robot(tmp_path)
    assert list(arm.action_features) == list(arm.observation_features) == JOINTS
    assert not arm.is_connected
    assert arm.is_calibrated
    arm.connect(calibrate=False)
    assert list(arm.get_observation()) == JOINTS
    arm.disconnect()
    assert not arm.is_connected


def test_the_action_that_was_sent_comes_back(tmp_path: Path, fake: FakeSession) -> None:
    with robot(tmp_path) as arm:
        seen = arm.get_observation()
        np.testing.assert_allclose(list(seen.values()), [*HOME, 0.5])
        sent = arm.send_action({**seen, "shoulder_pan.pos": seen["shoulder_pan.pos"] + 0.5, "gripper.pos": 1.0})
        assert sent["shoulder_pan.pos"] == pytest.approx(HOME[0] + 0.1)
        assert sent["gripper.pos"] == 1.0
        asked, observed = fake.offered[-1]
        assert asked.qpos[0] == pytest.approx(HOME[0] + 0.5)
        assert observed == 12.5


def test_degrees_are_the_same_poses(tmp_path: Path, fake: FakeSession) -> None:
    with robot(tmp_path, use_degrees=True) as arm:
        seen = arm.get_observation()
        np.testing.assert_allclose(list(seen.values()), [*np.degrees(HOME), 50.0])
        arm.send_action({**seen, "gripper.pos": 75.0})
        np.testing.assert_allclose(fake.offered[-1][0].qpos, HOME)
        np.testing.assert_allclose(fake.offered[-1][0].gripper, 0.75)


def test_actions_that_name_other_joints_are_refused(tmp_path: Path, fake: FakeSession) -> None:
    with robot(tmp_path) as arm:
        action = arm.get_observation()
        del action["elbow_flex.pos"]
        with pytest.raises(RobotError, match=r"missing: \['elbow_flex.pos'\], not known: \['elbow.pos'\]"):
            arm.send_action({**action, "elbow.pos": 0.0})
        with pytest.raises(RobotError, match="finite"):
            arm.send_action({**arm.get_observation(), "elbow_flex.pos": float("nan")})
        assert not fake.offered


def test_a_stop_ends_lerobots_loop(tmp_path: Path, fake: FakeSession) -> None:
    with robot(tmp_path) as arm:
        fake.stopped = Stop(Reason.CONTACT, "elbow_flex: 2.0 N m", 0.0)
        with pytest.raises(RobotError, match=r"stopped, contact: elbow_flex: 2\.0 N m; look at the arm"):
            arm.send_action(arm.get_observation())


def test_a_loop_that_does_something_else_is_paused_not_stopped(tmp_path: Path, fake: FakeSession) -> None:
    with robot(tmp_path) as arm:
        arm.send_action(arm.get_observation())
        end = time.monotonic() + 3
        while not fake.held and time.monotonic() < end:
            time.sleep(0.02)
    assert fake.held


def test_what_is_not_connected_says_so(tmp_path: Path) -> None:
    arm = robot(tmp_path)
    for call in (arm.get_observation, lambda: arm.send_action({}), arm.disconnect):
        with pytest.raises(ConnectionError):
            call()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"driver": "kuka"}, "robot='kuka' is not known"),
        ({"driver": "franka_sim"}, "of the simulated worlds LeRobot gets sim alone"),
        ({"settings": {"colour": "red"}}, "no setting 'colour'"),
        ({"limits": {"warp": 9.0}}, "limits.warp is not known; known: .*contact"),
        ({"speed": 3.0}, "speed=3.0"),
        ({}, "no calibration"),
    ],
)
def test_what_cannot_be_driven_is_refused_by_name(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    values = {"settings": {"calibration": str(tmp_path), "id": "none"}, **settings}
    with pytest.raises(RobotError, match=said):
        robot(tmp_path, **values).connect()


def test_lerobot_finds_the_distribution_and_makes_the_robot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lerobot.robots import make_robot_from_config
    from lerobot.utils.import_utils import register_third_party_plugins

    pretend_installed(FOLDER, tmp_path, monkeypatch)
    monkeypatch.delitem(RobotConfig._choice_registry, "cezanne")
    register_third_party_plugins()
    made = make_robot_from_config(RobotConfig.get_choice_class("cezanne")(driver="lerobot", calibration_dir=tmp_path))  # type: ignore[call-arg]
    assert type(made).__name__ == "Cezanne"
    assert made.name == "cezanne"


def test_lerobots_command_line_configures_it() -> None:
    args = ["--robot.type=cezanne", "--robot.driver=ur", "--robot.address=192.0.2.1", "--robot.speed=0.3"]
    args += ["--robot.settings={gripper: none, gain: 300}", "--robot.limits={contact: 0.6}", "--robot.use_degrees=true"]
    parsed = draccus.parse(Command, args=args).robot
    assert isinstance(parsed, CezanneConfig)
    assert (parsed.driver, parsed.address, parsed.speed, parsed.use_degrees) == ("ur", "192.0.2.1", 0.3, True)
    assert parsed.settings == {"gripper": "none", "gain": 300}
    assert parsed.limits == {"contact": 0.6}


def test_lerobot_moves_an_so101_through_the_filter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # LeRobot's command, our filter, LeRobot's bus, an emulated chain of servos.
    be_patient(monkeypatch)
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    calibrate(tmp_path)
    with Chain(np.array(ticks(HOME)) + OFFSETS) as chain:
        install(chain)
        settings = {"id": "mine", "calibration": str(tmp_path), "silence": 0.5}
        limits = {"state_age": 0.5, "heartbeat": 2.0}
        with robot(tmp_path, address=chain.port, settings=settings, speed=0.5, limits=limits) as arm:
            goal = {**arm.get_observation(), "shoulder_pan.pos": 0.3}
            end = time.monotonic() + 4
            while (seen := arm.get_observation())["shoulder_pan.pos"] < 0.28 and time.monotonic() < end:
                sent = arm.send_action(goal)
                assert abs(sent["shoulder_pan.pos"]) <= 0.31
                time.sleep(0.05)
            assert seen["shoulder_pan.pos"] == pytest.approx(0.3, abs=0.03)
            with pytest.raises(RobotError, match=r"stopped, action_jump: shoulder_pan"):
                arm.send_action({**goal, "shoulder_pan.pos": -57.0})  # degrees
        assert chain.registers("Torque_Enable").all()


@pytest.mark.slow
def test_lerobot_sees_and_moves_the_simulated_arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    with robot(tmp_path, driver="sim", address="", speed=0.5) as arm:
        seen = arm.get_observation()
        assert set(seen) == set(arm.observation_features)
        assert seen["side"].shape == arm.observation_features["side"]
        assert seen["side"].std() > 5
        goal = {name: seen[name] for name in arm.action_features} | {"gripper.pos": 0.2}
        goal["joint1.pos"] += 0.2
        end = time.monotonic() + 20
        while abs(arm.get_observation()["joint1.pos"] - goal["joint1.pos"]) > 0.02 and time.monotonic() < end:
            arm.send_action(goal)
            time.sleep(0.05)
        assert arm.get_observation()["joint1.pos"] == pytest.approx(goal["joint1.pos"], abs=0.02)
