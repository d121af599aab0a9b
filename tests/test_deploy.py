"""`cezanne deploy` on the simulated arm, with a policy that is served; what does not fit is refused before anything moves."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assets.toys import sample_toy
from deploy.cameras.view_check import Look
from deploy.cameras.views import check_views
from deploy.deploy import DeployConfig, run
from deploy.errors import DeployError
from deploy.judge import GripJudge
from deploy.motion import raised
from deploy.person import ask
from deploy.policy import check_first
from deploy.rig import RigConfig, check_cameras, limits_of
from deploy.trial import attempt
from hardware.api import Action, ActionChunk, Observation, RobotError, SegmenterError
from hardware.arm import ArmState
from hardware.blackbox_file import open_blackbox
from hardware.catalogue import ROBOTS, find_robot, open_driver
from hardware.limits import Limits
from hardware.model import load_arm
from hardware.reason import Reason
from hardware.serve import PolicyServer, Serving
from hardware.session import stop_all
from policies.contract import Contract
from policies.errors import PolicyError
from sim.camera import SIDE, WRIST, described
from sim.scene import SceneConfig
from sim.simrobot import SimRobot

PANDA = load_arm("panda")
HOME = np.array(PANDA.home)
CONTRACT = Contract((SIDE.name, WRIST.name), (64, 64), tuple(j.name for j in PANDA.joints), 1, "panda", 0.05, 16, 8, 1)
TOKEN = "a token of these tests, not a secret"


class Wave:
    """A policy that turns the first joint a little, and says what a test wants it to."""

    def __init__(self, change: Callable[[int, np.ndarray], np.ndarray] = lambda resets, qpos: qpos) -> None:
        self.change, self.resets = change, 0

    def reset(self, instruction: str) -> None:
        self.resets += 1

    def predict(self, observation: Observation) -> ActionChunk:
        qpos = np.stack([observation.qpos] * 16)
        qpos[:, 0] += 0.01 * np.arange(16)
        return ActionChunk(self.change(self.resets, qpos), np.ones((16, 1)))


@contextmanager
def served(tmp_path: Path, policy: Wave, contract: Contract = CONTRACT) -> Iterator[DeployConfig]:
    """The config of a deployment with this policy."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    with PolicyServer(policy, Serving(TOKEN), contract.to_json(), {"made": "for a test"}) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield DeployConfig(
                server=f"127.0.0.1:{server.port}", token_file=str(token), trials=1, seconds=1.0, suite="toys", out=str(tmp_path / "out")
            )
        finally:
            server.stop()
            thread.join(20)


def test_trials_are_run_judged_and_reported(tmp_path: Path) -> None:
    with served(tmp_path, Wave()) as cfg:
        summary = run(replace(cfg, trials=2))
    assert (summary["trials"], summary["successes"], summary["stops"]) == (2, 0, 0)
    table = json.loads((tmp_path / "out/deploy.json").read_text())
    assert [row["reason"] for row in table["rows"]] == ["never_closed"] * 2
    assert table["policy"] == {"made": "for a test"}
    assert summary["timing"]["commands"] >= 20
    page = (tmp_path / "out/report.html").read_text()
    assert "0 of 2 picked up on sim" in page
    assert page.count("data:image/jpeg") >= 4


def test_a_stop_is_counted_and_its_black_box_kept(tmp_path: Path) -> None:
    def jump(resets: int, qpos: np.ndarray) -> np.ndarray:
        return qpos + (1.0 if resets > 1 else 0.0)  # the dry run sees nothing of it

    with served(tmp_path, Wave(jump)) as cfg:
        summary = run(replace(cfg, seconds=3.0))
    assert summary["stops"] == 1
    row = json.loads((tmp_path / "out/deploy.json").read_text())["rows"][0]
    assert row["reason"] == "action_jump"
    tape = open_blackbox(row["blackbox"])
    assert tape.stop is not None
    assert tape.stop.reason.value == "action_jump"
    sent = tape.servo("sent")
    assert np.abs(np.diff(sent, axis=0)).max() < 0.05, "the jump was never sent"


def test_what_was_done_before_ctrl_c_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def second_is_interrupted(*given, **named):
        if tried:
            raise KeyboardInterrupt
        tried.append(attempt(*given, **named))
        return tried[0]

    monkeypatch.setattr("deploy.deployment.attempt", second_is_interrupted)
    with served(tmp_path, Wave()) as cfg, pytest.raises(KeyboardInterrupt):
        run(replace(cfg, trials=3))
    assert len(json.loads((tmp_path / "out/deploy.json").read_text())["rows"]) == 1
    assert (tmp_path / "out/report.html").is_file()
    stop = open_blackbox(next((tmp_path / "out/blackbox/end").iterdir())).stop
    assert stop is not None
    assert stop.reason is Reason.OPERATOR


def test_a_person_who_stops_a_simulated_arm_ends_its_deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    def stopped(resets: int, qpos: np.ndarray) -> np.ndarray:
        if resets == 2:
            stop_all(timeout=0.2)
        return qpos

    with served(tmp_path, Wave(stopped)) as cfg:
        summary = run(replace(cfg, trials=3, seconds=3.0))
    assert (summary["trials"], summary["stops"]) == (1, 1)
    assert json.loads((tmp_path / "out/deploy.json").read_text())["rows"][0]["reason"] == "operator"


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_report_that_could_not_be_written_is_said_before_anything_moves(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DeployError, match="no folder that can be written to"):
        run(DeployConfig(checkpoint="x", out=str(tmp_path / place)))


def test_where_nobody_answers_the_arm_does_not_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", closed)
    with pytest.raises(DeployError, match="nobody answers"):
        ask("go? ")


@pytest.mark.slow
def test_the_same_over_the_real_protocol_of_a_franka(tmp_path: Path) -> None:
    pytest.importorskip("franky")
    with served(tmp_path, Wave()) as cfg:
        summary = run(replace(cfg, robot="franka_sim", trials=2, seconds=2.0))
    assert (summary["trials"], summary["stops"], summary["speed"]) == (2, 0, 0.5)
    rows = json.loads((tmp_path / "out/deploy.json").read_text())["rows"]
    assert [row["reason"] for row in rows] == ["never_closed"] * 2
    assert summary["timing"]["commands"] > 20


def test_a_shadow_moves_nothing(tmp_path: Path) -> None:
    with served(tmp_path, Wave()) as cfg:
        summary = run(replace(cfg, shadow=True))
    assert summary["trials"] == 1
    assert summary["timing"]["commands"] > 5
    assert summary["successes"] == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda resets, qpos: qpos * np.nan, "not finite"),
        (lambda resets, qpos: np.degrees(qpos), "are these degrees"),
        (lambda resets, qpos: qpos[:, ::-1].copy(), "another order of joints|it can go from"),
    ],
    ids=["nan", "degrees", "order"],
)
def test_a_policy_that_makes_no_sense_is_refused_in_the_dry_run(change: Callable, said: str) -> None:
    seen = Observation({}, {}, HOME, np.ones(1), 0.0)
    chunk = Wave(change).predict(seen)
    with pytest.raises(DeployError, match=said):
        check_first(chunk, seen, Limits(PANDA), CONTRACT)
    check_first(Wave().predict(seen), seen, Limits(PANDA), CONTRACT)


@pytest.mark.parametrize(
    ("contract", "said"),
    [
        (replace(CONTRACT, embodiment="ur5e"), "trained with robot 'ur5e', here it is 'panda'"),
        (replace(CONTRACT, joints=CONTRACT.joints[::-1]), "trained with joints"),
        (replace(CONTRACT, gripper=6), "gripper values 6"),
    ],
    ids=["another arm", "order of joints", "a hand"],
)
def test_a_checkpoint_of_another_arm_is_refused_before_it_is_connected(tmp_path: Path, contract: Contract, said: str) -> None:
    with served(tmp_path, Wave(), contract) as cfg, pytest.raises(PolicyError, match=said):
        run(cfg)


def test_a_camera_that_the_scene_has_not_is_refused(tmp_path: Path) -> None:
    contract = replace(CONTRACT, cameras=("side", "ceiling"))
    with (
        served(tmp_path, Wave(), contract) as cfg,
        pytest.raises(DeployError, match="camera 'ceiling'; the simulated scene has side, wrist"),
    ):
        run(cfg)


def test_an_unknown_target_is_refused(tmp_path: Path) -> None:
    with served(tmp_path, Wave()) as cfg, pytest.raises(SegmenterError, match="names no colour"):
        run(replace(cfg, segmenter="tabletop", target="the gizmo"))
    assert not (tmp_path / "out").exists(), "nothing was connected, nothing is left"


def test_a_target_that_is_not_there_is_no_persons_stop(tmp_path: Path) -> None:
    with served(tmp_path, Wave()) as cfg, pytest.raises(SegmenterError, match="on the table"):
        run(replace(cfg, segmenter="tabletop", target="the purple one"))
    stop = open_blackbox(next((tmp_path / "out/blackbox/end").iterdir())).stop
    assert stop is not None
    assert stop.reason is Reason.CRASH


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"workspace_upper": [0.3, 1.0, 1.0]}, DeployError, "home pose is outside the limits"),
        ({"workspace_lower": [0.0, 0.0]}, DeployError, "give x, y, z"),
        ({"limits": {"contatc": 1.0}}, DeployError, r"limits.contatc is not known; known: .*contact"),
        ({"limits": {"contact": -1.0}}, RobotError, r"contact=-1.0"),
        ({"speed": 1.5}, DeployError, "speed=1.5"),
        ({"trials": 0}, DeployError, "trials=0"),
        ({"seconds": 0.0}, DeployError, "seconds=0.0"),
        ({"robot": "atlas"}, RobotError, "robot='atlas' is not known; known: sim"),
        ({"robot": "franka"}, DeployError, "nobody can be asked here"),
        ({"click": {"ceiling": [1, 2]}}, DeployError, "camera 'ceiling'"),
        ({"cameras": {"side": "opencv:0"}}, DeployError, "brings its own cameras"),
        ({"server": "here"}, DeployError, "no host:port"),
        ({"server": "", "robot": "ur", "yes": True}, DeployError, "either checkpoint=FOLDER or server"),
        ({"token_file": ""}, DeployError, "needs token_file"),
        ({"address": "10.0.0.1"}, DeployError, "robot=sim has no address"),
        ({"settings": {"gripper": "none"}}, DeployError, "robot=sim has no address and no settings"),
        ({"robot": "franka_sim", "settings": {"colour": 1}}, RobotError, "no setting 'colour'"),
        ({"camera_hz": 0.0}, DeployError, "camera_hz=0.0"),
        ({"click": {"side": [1]}}, DeployError, r"click.side=\[1\]; give x, y"),
        ({"box": {"side": [1, 2]}}, DeployError, r"box.side=\[1, 2\]; give x0, y0, x1, y1"),
        ({"seed": -1}, DeployError, "seed=-1"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, change: dict, error: type[Exception], said: str) -> None:
    with served(tmp_path, Wave()) as cfg, pytest.raises(error, match=said):
        run(replace(cfg, **change))


def test_a_report_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").touch()
    with pytest.raises(DeployError, match="is not empty"):
        run(DeployConfig(checkpoint="x", out=str(tmp_path / "out")))


def test_physical_arms_need_their_cameras_named() -> None:
    with pytest.raises(DeployError, match=r"cameras side, wrist; say which is which: cameras.wrist="):
        check_cameras(RigConfig(robot="ur", cameras={"side": "opencv:0"}), CONTRACT)
    with pytest.raises(DeployError, match="camera 'front' is none of the policy's"):
        check_cameras(RigConfig(robot="ur", cameras={"side": "opencv:0", "wrist": "opencv:1", "front": "opencv:2"}), CONTRACT)


@pytest.mark.parametrize("row", [row for row in ROBOTS if not row.simulated], ids=lambda row: row.name)
def test_every_driver_is_made_by_its_name_and_connects_to_nothing(row) -> None:
    driver = open_driver(row.name, "127.0.0.1")
    assert len(driver.arm.joints) >= 5
    assert driver.servo_hz >= 20
    assert Path(row.guide).is_file()
    with pytest.raises(RobotError, match=rf"robot={row.name} has no setting 'colour'; it has: address"):
        open_driver(row.name, "127.0.0.1", {"colour": "red"})
    assert limits_of(driver, 0.1, {}, simulated=False).contact < 1


def test_a_setting_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(RobotError, match="model=3 should be of type str"):
        open_driver("franka", settings={"model": 3})


def test_an_arm_without_an_address_is_refused() -> None:
    with pytest.raises(RobotError, match="robot=ur needs address="):
        open_driver("ur")


def test_simulated_worlds_have_no_driver_of_their_own() -> None:
    assert find_robot("sim").simulated
    with pytest.raises(RobotError, match="simulated world"):
        open_driver("sim")


class Held:
    """A session as the grip judge sees it."""

    limits = Limits(PANDA)

    def __init__(self) -> None:
        self.q, self.opening, self.asked = HOME, 1.0, 1.0

    def state(self) -> ArmState:
        return ArmState(self.q, np.zeros(7), np.zeros(7), np.array([self.opening]), 0.0)

    @property
    def setpoint(self) -> Action:
        return Action(self.q, np.array([self.asked]))


@pytest.mark.parametrize(("opening", "verdict"), [(0.4, "success"), (0.0, "missed")])
def test_the_grip_judge_wants_something_between_the_fingers_and_a_lift(opening: float, verdict: str) -> None:
    arm = Held()
    judge = GripJudge(arm)  # pyright: ignore[reportArgumentType]
    assert not judge.step(0.0)
    assert judge.reason() == "never_closed"
    arm.asked, arm.opening = 0.0, opening
    assert not judge.step(1.0)
    arm.q = raised(PANDA, HOME, 0.15)
    for k in range(20):
        judge.step(2.0 + 0.1 * k)
    assert judge.reason() == verdict


def test_cameras_are_compared_with_the_checkpoints_before_anything_moves() -> None:
    toy = sample_toy(np.random.default_rng(0))
    with SimRobot(SceneConfig(toy, size=64)) as robot:
        robot.place(np.zeros(2), np.random.default_rng(0))
        seen, views = robot.observe(), {camera.name: described(camera, 64) for camera in (SIDE, WRIST)}
    contract = replace(CONTRACT, views=views)
    right = check_views(contract, PANDA, {}, [Look(seen.images, seen.qpos)])
    assert all("is seen there" in line for line in right)
    swapped = {"side": seen.images["wrist"], "wrist": seen.images["side"]}
    with pytest.raises(DeployError, match="it is the picture of 'side'"):
        check_views(contract, PANDA, {}, [Look(swapped, seen.qpos)])
    turned = {name: np.rot90(image, 2).copy() for name, image in seen.images.items()}
    with pytest.raises(DeployError, match="turned by 180 degrees"):
        check_views(contract, PANDA, {}, [Look(turned, seen.qpos)])
    assert "does not say where its cameras stood" in check_views(CONTRACT, PANDA, {}, [Look(seen.images, seen.qpos)])[0]


def test_rising_keeps_the_hand_as_it_is() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        q = HOME + rng.uniform(-0.2, 0.2, 7)
        before, after = PANDA.tool(q), PANDA.tool(raised(PANDA, q, 0.08))
        np.testing.assert_allclose(after[:3, 3] - before[:3, 3], [0, 0, 0.08], atol=1e-3)
        np.testing.assert_allclose(after[:3, :3], before[:3, :3], atol=5e-3)
