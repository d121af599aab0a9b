"""LeRobot's real bus code and SO-101 class against an emulated chain of servos on a pseudo-terminal; the arm file against the published."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
from so101_chain import HOME, OFFSETS, RANGES, TICKS, be_patient, calibrate, install, mid, ticks

from hardware.api import Action, ArmLost, RobotError
from hardware.arm import Link
from hardware.drivers.lerobot import LeRobotArm
from hardware.emulators.feetech import OVERLOAD, Chain
from hardware.limits import Limits
from hardware.model import ArmModel, load_arm
from hardware.reason import Reason
from hardware.session import session

pytest.importorskip("lerobot")
pytest.importorskip("scservo_sdk")


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient(monkeypatch)


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    """A calibrated arm that lies limp at its home; its goal registers hold what some other program left."""
    calibrate(tmp_path)
    with Chain(np.array(ticks(HOME)) + OFFSETS) as servos:
        install(servos)
        servos.preset("Goal_Position", [1000] * 6)
        yield servos


@pytest.fixture
def driver(chain: Chain, tmp_path: Path) -> LeRobotArm:
    # A patience that a busy test machine does not exhaust; the arm's is 0.05 s.
    return LeRobotArm(chain.port, id="mine", calibration=tmp_path, silence=0.5)


@pytest.fixture
def link(driver: LeRobotArm) -> Iterator[Link]:
    opened = driver.connect()
    yield opened
    opened.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lerobot")]


def until(truth: Callable[[], Any], seconds: float = 3.0) -> Any:
    """Waits for something to be so."""
    end = time.monotonic() + seconds
    while not (found := truth()):
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.005)
    return found


def failure(link: Link) -> RobotError | None:
    try:
        link.state()
    except RobotError as error:
        return error
    return None


def goals_sent(chain: Chain) -> list[tuple[int, ...]]:
    """Goal positions of all sync writes that came [ticks]."""
    found = []
    for _, instruction, data in list(chain.received):
        if instruction == 0x83 and data[0] == 42:
            found.append(tuple(int.from_bytes(data[i + 1 : i + 3], "little") for i in range(2, len(data), 3)))
    return found


# --- before motion


def test_connecting_moves_nothing_and_holds_a_limp_arm_where_it_lies(chain: Chain, driver: LeRobotArm) -> None:
    before = chain.positions
    link = driver.connect()
    time.sleep(0.2)
    assert np.abs(chain.positions - before).max() <= 1
    assert chain.registers("Torque_Enable").all()
    state = link.state()
    np.testing.assert_allclose(state.qpos, HOME, atol=2 * TICKS)
    np.testing.assert_allclose(state.gripper, [0.5], atol=0.01)
    assert np.abs(state.qvel).max() < 0.1
    link.close()
    assert np.abs(chain.positions - before).max() <= 1
    assert chain.registers("Torque_Enable").all(), "a limp arm falls: closing keeps holding"


def test_lerobots_own_connect_jumps_to_the_old_goal(chain: Chain, tmp_path: Path) -> None:
    # Why the driver does not use it; where this fails, LeRobot has mended it.
    from lerobot.robots.so_follower import SO101Follower, SO101FollowerConfig

    before = chain.positions
    robot = SO101Follower(SO101FollowerConfig(port=chain.port, id="mine", calibration_dir=tmp_path))
    robot.connect(calibrate=False)
    until(lambda: np.abs(chain.positions - before).max() > 50)
    robot.disconnect()


def test_an_arm_that_holds_is_not_let_go(chain: Chain, driver: LeRobotArm) -> None:
    chain.preset("Goal_Position", ticks(HOME))
    chain.preset("Torque_Enable", [1] * 6)
    chain.motors.push[:] = [0, 0.3, 0.2, 0.1, 0, 0]  # gravity
    time.sleep(0.3)
    before = chain.positions
    assert np.abs(before - ticks(HOME))[1] > 10, "it sags under its weight"
    link = driver.connect()
    assert np.abs(chain.positions - before).max() <= 2
    torques_off = [data for _, instruction, data in chain.received if instruction == 3 and data == bytes([40, 0])]
    assert not torques_off
    assert link.state().effort[1] != 0
    link.close()


def test_hold_on_close_off_lets_go_but_a_refused_arm_keeps_holding(chain: Chain, driver: LeRobotArm) -> None:
    chain.preset("Goal_Position", ticks(HOME))
    chain.preset("Torque_Enable", [1] * 6)
    letting_go = replace(driver, hold_on_close=False)
    chain.report(3)
    with pytest.raises(RobotError, match=r"motor check failed|overload"):
        letting_go.connect()
    assert chain.registers("Torque_Enable").all()
    chain.report(3, 0)
    letting_go.connect().close()
    assert not chain.registers("Torque_Enable").any()


def test_a_missing_calibration_names_the_command(driver: LeRobotArm) -> None:
    with pytest.raises(
        RobotError, match=r"no calibration .*other\.json.*lerobot-calibrate --robot\.type=so101_follower .*--robot\.id=other"
    ):
        replace(driver, id="other").connect()


def test_the_calibration_of_another_arm_is_refused(chain: Chain, driver: LeRobotArm) -> None:
    chain.preset("Homing_Offset", [0] * 6)
    with pytest.raises(RobotError, match="another calibration"):
        driver.connect()
    assert not chain.registers("Torque_Enable").any()


def test_a_joint_that_was_not_moved_through_its_range_is_refused(driver: LeRobotArm, tmp_path: Path) -> None:
    calibrate(tmp_path, elbow_flex=(1400, 3149))
    with pytest.raises(
        RobotError, match=r"elbow_flex was calibrated over 2\.68 rad of its range of 3\.38 rad: its zero may be off by 0\.35"
    ):
        driver.connect()


def test_a_pose_beyond_the_limits_is_refused_before_torque(chain: Chain, driver: LeRobotArm, tmp_path: Path) -> None:
    pose = HOME.copy()
    pose[4] = 3.1  # LeRobot lets the wrist turn all the way, the cable does not
    with Chain(np.array(ticks(pose)) + OFFSETS) as turned:
        install(turned)
        with pytest.raises(RobotError, match=r"wrist_roll measures 3\.10 rad, its limits are -2\.74 to 2\.84"):
            replace(driver, address=turned.port).connect()
        assert not turned.registers("Torque_Enable").any()


def test_two_owners_of_one_bus_are_one_too_many(chain: Chain, driver: LeRobotArm, link: Link) -> None:
    before = len(chain.received)
    with pytest.raises(RobotError, match="in use by another program"):
        driver.connect()
    assert {instruction for _, instruction, _ in list(chain.received)[before:]} <= {0x82}, "the second one sent nothing"
    assert failure(link) is None


def test_a_missing_servo_is_named(chain: Chain, driver: LeRobotArm) -> None:
    chain.silence(4)
    with pytest.raises(RobotError, match=r"Missing motor IDs: - 4"):
        driver.connect()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "ur5e"}, r"so101_follower is no ur5e: it lacks elbow_joint\.pos"),
        ({"kind": "so102"}, "knows no robot 'so102'; known: .*so101_follower"),
        ({"settings": {"use_degrees": False}}, r"measure .*range_m100_100.*both must be degrees"),
        ({"unit": "rad"}, "both must be degrees"),
        ({"settings": {"speed": 3}}, "configured by .*port.*settings name speed"),
        ({"address": "/dev/ttyNOWHERE"}, "cannot open /dev/ttyNOWHERE: No such file.*lerobot-find-port"),
        ({"kind": "lekiwi_client"}, "lekiwi_client.*(zmq|is no so101)"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(driver: LeRobotArm, change: dict, said: str) -> None:
    with pytest.raises(RobotError, match=said):
        replace(driver, **change).connect()


@pytest.mark.parametrize("change", [{"unit": "grad"}, {"servo_hz": 0}, {"silence": 0.0}, {"gripper_range": (5, 5)}])
def test_settings_that_mean_nothing_are_refused(change: dict) -> None:
    with pytest.raises(RobotError):
        LeRobotArm(**change)


def test_without_lerobot_the_package_is_named(driver: LeRobotArm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lerobot.robots", None)
    with pytest.raises(RobotError, match=r"robot=lerobot needs lerobot .*pip install"):
        driver.connect()


# --- motion


def test_a_sine_is_followed_at_the_servo_rate(chain: Chain, link: Link) -> None:
    start, errors, times = time.monotonic(), [], set()
    for i in range(1, 51):
        swing = 0.3 * np.sin(2 * np.pi * 0.5 * i / 50)
        link.send(Action(HOME + np.array([1, 0.5, -0.5, -0.5, 1]) * swing, np.array([0.5 + swing])))
        time.sleep(max(0.0, start + i / 50 - time.monotonic()))
        state = link.state()
        errors.append(np.abs(state.qpos - HOME - np.array([1, 0.5, -0.5, -0.5, 1]) * swing).max())
        times.add(state.time)
    assert np.median(errors) < 0.06  # 0.94 rad/s at most, one period late and a motor's lag
    assert len(times) > 25
    sent = goals_sent(chain)
    assert len(sent) > 35
    np.testing.assert_allclose(sent[-1][:5], ticks(HOME + np.array([1, 0.5, -0.5, -0.5, 1]) * swing)[:5], atol=2)
    until(lambda: np.abs(chain.positions - sent[-1]).max() <= 2)
    np.testing.assert_allclose(link.state().gripper, [0.5 + swing], atol=0.02)


def test_velocities_are_those_of_the_motion(link: Link) -> None:
    start, seen = time.monotonic(), []
    for i in range(1, 41):
        link.send(Action(HOME + np.array([0.4 * i / 50, 0, 0, 0, 0]), np.array([0.5])))
        time.sleep(max(0.0, start + i / 50 - time.monotonic()))
        seen.append(link.state().qvel[0])
    assert 0.3 < np.median(seen[15:]) < 0.5


def test_stop_holds_the_pose_and_the_grip(chain: Chain, link: Link) -> None:
    chain.motors.push[5] = 0.4  # something between the jaws
    link.send(Action(HOME + np.array([1.2, 0, 0, 0, 0]), np.array([0.0])))
    until(lambda: link.state().qpos[0] > 0.3)
    for _ in range(3):
        link.stop()
    at = link.state().qpos[0]
    time.sleep(0.3)
    assert abs(link.state().qpos[0] - at) < 0.3
    assert np.abs(link.state().qvel).max() < 0.1
    assert goals_sent(chain)[-1][5] == RANGES[5][0], "the jaw goes on closing"


def test_an_arm_that_is_pushed_beyond_its_limits_can_still_be_told_to_stop(chain: Chain, link: Link) -> None:
    chain.motors.push[0] = 2.5  # more than the servo can hold
    until(lambda: link.state().qpos[0] > 2.2)
    link.stop()
    sent = until(lambda: goals_sent(chain))
    chain.motors.push[0] = 0
    assert sent[-1][0] <= RANGES[0][1]
    until(lambda: link.state().qpos[0] < 2.0)


def test_a_stop_does_not_let_a_loaded_arm_sink(chain: Chain, link: Link) -> None:
    link.send(Action(HOME, np.array([0.5])))
    chain.motors.push[1] = 0.2
    time.sleep(0.3)
    before = chain.positions
    for _ in range(5):
        link.stop()
        time.sleep(0.05)
    assert np.abs(chain.positions - before).max() <= 3


def test_what_pushes_shows_as_effort(chain: Chain, link: Link) -> None:
    link.send(Action(HOME, np.array([0.5])))
    time.sleep(0.1)
    free = np.abs(link.state().effort).max()
    chain.motors.push[2] = 0.5
    time.sleep(0.3)
    effort = link.state().effort
    assert free < 0.1
    assert abs(effort[2]) == pytest.approx(0.5 * 2.94, rel=0.1)
    assert np.abs(np.delete(effort, 2)).max() < 0.1


def test_a_board_without_current_gives_effort_by_load(chain: Chain, driver: LeRobotArm) -> None:
    chain.preset("Phase", [12 | 0x20] * 6)
    link = driver.connect()
    chain.motors.push[2] = 0.5
    time.sleep(0.3)
    assert abs(link.state().effort[2]) == pytest.approx(0.5 * 2.94, rel=0.1)
    link.close()


@pytest.mark.parametrize(
    ("qpos", "gripper", "said"),
    [
        (np.degrees(HOME), [0.5], "degrees given for radians"),
        (HOME[:4], [0.5], r"takes \(5,\)"),
        (HOME, [0.5, 0.5], r"takes \(5,\)"),
    ],
)
def test_a_setpoint_that_cannot_be_meant_is_refused(chain: Chain, link: Link, qpos: np.ndarray, gripper: list, said: str) -> None:
    before = len(goals_sent(chain))
    with pytest.raises(RobotError, match=said):
        link.send(Action(np.array(qpos), np.array(gripper)))
    time.sleep(0.1)
    assert len(goals_sent(chain)) == before


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_no_number_that_is_not_finite_reaches_the_bus(chain: Chain, link: Link, bad: float) -> None:
    before = len(goals_sent(chain))
    sneaky = Action(HOME.copy(), np.array([0.5]))
    sneaky.qpos[2] = bad  # Action refuses it when made; arrays can be written to
    with pytest.raises(RobotError, match="not finite"):
        link.send(sneaky)
    sneaky = Action(HOME.copy(), np.array([0.5]))
    sneaky.gripper[0] = bad
    with pytest.raises(RobotError, match="not finite"):
        link.send(sneaky)
    time.sleep(0.1)
    assert len(goals_sent(chain)) == before


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


# --- other robots of LeRobot's


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., LeRobotArm]]:
    import lerobot_arms

    lerobot_arms.ROBOTS.clear()
    yield lambda start="10 20 30 -40 50", unit="deg", **settings: LeRobotArm(
        "bench", kind="bench_arm", calibration=tmp_path, unit=unit, settings={"start": start, **settings}
    )
    assert not any(robot.open for robot in lerobot_arms.ROBOTS)


def test_any_robot_with_torques_is_driven_by_name(bench: Callable[..., LeRobotArm]) -> None:
    import lerobot_arms

    link = bench().connect()
    state = link.state()
    np.testing.assert_allclose(state.qpos, np.radians([10, 20, 30, -40, 50]))
    np.testing.assert_allclose(state.effort, 0.25)
    link.send(Action(np.radians([11.0, 20, 30, -40, 50]), np.array([1.0])))
    sent = until(lambda: lerobot_arms.ROBOTS[0].sent)[-1]
    assert sent == pytest.approx(
        {
            "shoulder_pan.pos": 11,
            "shoulder_lift.pos": 20,
            "elbow_flex.pos": 30,
            "wrist_flex.pos": -40,
            "wrist_roll.pos": 50,
            "gripper.pos": 100,
        }
    )
    link.close()


def test_a_robot_that_counts_radians_is_driven_where_it_is_said(bench: Callable[..., LeRobotArm]) -> None:
    link = bench("0.1 0.2 0.3 -0.4 0.5", unit="rad").connect()
    np.testing.assert_allclose(link.state().qpos, [0.1, 0.2, 0.3, -0.4, 0.5])
    link.close()


@pytest.mark.parametrize(
    ("start", "settings", "said"),
    [
        ("0.3 -1.2 1.1 0.4 -1.5", {}, r'measures .*: radians\? Give unit="rad"'),
        ("10 20 30 -40 50", {"unit": "rad"}, r'measures 50\.00 rad, its limits are .*degrees\? Give unit="deg"'),
        ("10 20 30 -140 50", {}, r"wrist_flex measures -2\.44 rad, .*calibration of this arm"),
        ("nan 20 30 -40 50", {}, "not finite"),
        ("10 20 30 -40 50", {"torque": False}, r"measures no torque \(shoulder_pan\.torque"),
        ("10 20 30 -40 50", {"calibrated": False}, "not calibrated: lerobot-calibrate"),
        ("10 20 30 -40 50", {"fault": "no route"}, "bench_arm at bench: no route"),
    ],
)
def test_what_another_robot_measures_is_doubted(bench: Callable[..., LeRobotArm], start: str, settings: dict, said: str) -> None:
    with pytest.raises(RobotError, match=said):
        bench(start, **settings).connect()


# --- behind the safety filter


def test_behind_the_filter_the_arm_goes_where_it_is_asked(driver: LeRobotArm, tmp_path: Path) -> None:
    with session(driver, limits=Limits(driver.arm, speed=0.5, state_age=0.5), folder=tmp_path) as arm:
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
    limits = Limits(driver.arm, speed=0.3, state_age=1.0, following=0.3)
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
        assert arm.stopped.time - began < 1.0


# --- the chain itself


def test_the_chain_speaks_the_packets_of_the_servos(chain: Chain) -> None:
    import serial

    def packet(*body: int) -> bytes:
        return bytes([255, 255, *body, ~sum(body) & 0xFF])

    with serial.Serial(chain.port, 1_000_000, timeout=0.5) as port:
        port.write(b"\x00\xff" + packet(2, 2, 1))  # garbage, then a ping
        assert port.read(6) == packet(2, 2, 0)
        port.write(packet(2, 4, 2, 3, 2))
        assert port.read(8) == packet(2, 4, 0, 0x09, 0x03)  # model 777
        port.write(packet(2, 5, 4, 42, 0x34, 0x08))  # a goal, registered
        assert port.read(6) == packet(2, 2, 0)
        assert chain.registers("Goal_Position")[1] == 1000
        port.write(packet(0xFE, 2, 5))
        port.write(packet(2, 4, 3, 56, 9))  # positions cannot be written
        assert port.read(6) == packet(2, 2, 0)
        assert chain.registers("Goal_Position")[1] == 0x834
        assert chain.positions[1] == ticks(HOME)[1]
        port.write(b"\xff\xff" + bytes([2, 2, 1, 0]) + packet(2, 2, 2) + packet(2, 2, 1))  # wrong checksum; a read of nothing; a ping
        assert port.read(6) == packet(2, 2, 0)
        assert port.read(1) == b""


def test_a_locked_servo_forgets_its_eeprom_with_the_power(chain: Chain, driver: LeRobotArm) -> None:
    driver.connect().close()
    assert set(chain.registers("P_Coefficient")) == {16}
    chain.power(False)
    chain.power(True)
    assert set(chain.registers("P_Coefficient")) == {16}, "LeRobot unlocks before it configures"
    assert not chain.registers("Acceleration").any(), "SRAM is gone"


# --- with an arm in MuJoCo behind the servos


def mujoco_arm(arm: ArmModel) -> tuple[mujoco.MjModel, mujoco.MjData]:
    """The arm of a file, its capsules for mass, servos as the published model has them."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    spec.option.timestep = 0.002
    body = spec.worldbody
    for i, joint in enumerate(arm.joints):
        body = body.add_body(name=joint.name, pos=joint.pos, quat=joint.quat)
        body.add_joint(name=joint.name, axis=joint.axis, range=(joint.lower, joint.upper), damping=0.6, frictionloss=0.052, armature=0.028)
        capsules = [c for c in arm.capsules if c.link == i + 1][:2]  # the jaw's swept volume weighs nothing
        for c in capsules:
            body.add_geom(
                type=mujoco.mjtGeom.mjGEOM_CAPSULE, fromto=[*c.start, *c.end], size=[c.radius, 0, 0], mass=0.05, contype=0, conaffinity=0
            )
        servo = spec.add_actuator(name=joint.name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        servo.set_to_position(kp=17.8)
        servo.forcerange, servo.forcelimited = [-joint.effort, joint.effort], True
    model = spec.compile()
    return model, mujoco.MjData(model)


@pytest.mark.slow
def test_a_mujoco_arm_behind_the_servos_holds_and_follows_under_gravity(tmp_path: Path) -> None:
    arm = load_arm("so101")
    model, data = mujoco_arm(arm)
    data.qpos[:] = HOME
    gains = model.actuator_gainprm.copy(), model.actuator_biasprm.copy()
    jaw = float(ticks(HOME)[5])
    left = 0.0

    def drive(goals: np.ndarray, dt: float) -> np.ndarray:
        nonlocal left
        limp = np.isnan(goals[:5])
        model.actuator_gainprm[:] = np.where(limp[:, None], 0, gains[0])
        model.actuator_biasprm[:] = np.where(limp[:, None], 0, gains[1])
        data.ctrl[:] = np.where(limp, 0, (goals[:5] - OFFSETS[:5] - [mid(i) for i in range(5)]) * TICKS)
        left += dt
        while left >= model.opt.timestep:
            mujoco.mj_step(model, data)
            left -= model.opt.timestep
        return np.append(data.qpos / TICKS + [mid(i) for i in range(5)] + OFFSETS[:5], jaw)

    calibrate(tmp_path)
    with Chain(np.array(ticks(HOME)) + OFFSETS, drive=drive) as chain:
        install(chain)
        chain.preset("Goal_Position", ticks(HOME))
        chain.preset("Torque_Enable", [1] * 6)
        link = LeRobotArm(chain.port, id="mine", calibration=tmp_path, silence=0.5).connect()
        try:
            time.sleep(0.4)
            state = link.state()
            sag = np.abs(state.qpos - HOME)
            assert 0.005 < sag.max() < 0.1, "gravity pulls, the servos hold"
            assert np.abs(state.effort[1:4]).max() > 0.1
            start = time.monotonic()
            for i in range(1, 51):
                wave = 0.25 * np.sin(2 * np.pi * i / 50)
                link.send(Action(HOME + np.array([wave, wave / 2, 0, 0, wave]), np.array([0.5])))
                time.sleep(max(0.0, start + i / 50 - time.monotonic()))
            until(lambda: np.abs(link.state().qvel).max() < 0.05)
            np.testing.assert_allclose(link.state().qpos, HOME, atol=0.1)
            np.testing.assert_allclose(link.state().qpos, data.qpos, atol=0.01)
            link.stop()
            high = arm.tool(link.state().qpos)[2, 3]
            time.sleep(0.3)
            assert arm.tool(link.state().qpos)[2, 3] > high - 0.005
            chain.power(False)
            time.sleep(0.6)
            with pytest.raises(ArmLost):
                link.state()
            assert chain.positions is not None
            assert arm.tool(data.qpos)[2, 3] < high - 0.02, "without power it falls"
        finally:
            link.close()


# --- the arm file


@pytest.mark.parametrize(
    ("qpos", "pos", "turn"),
    [
        ((0, 0, 0, 0, 0), (0.391362, -1.1e-5, 0.226469), ((0, 0, -1), (-0.04866, 0.99882, 0), (0.99882, 0.04866, 0))),
        (
            (0.3, -0.6, 0.8, 0.5, -1.0),
            (0.272266, -0.065341, 0.097879),
            ((0.05079, 0.68083, -0.73068), (-0.923, 0.31143, 0.22603), (0.38144, 0.66294, 0.64422)),
        ),
    ],
)
def test_forward_kinematics_is_that_of_the_published_model(qpos: tuple, pos: tuple, turn: tuple) -> None:
    # Site gripperframe and body gripper of so101_new_calib.xml, as MuJoCo computes them.
    arm = load_arm("so101")
    np.testing.assert_allclose(arm.tool(np.array(qpos))[:3, 3], pos, atol=2e-6)
    np.testing.assert_allclose(arm.frames(np.array(qpos))[-1][:3, :3], turn, atol=2e-5)


def test_home_points_down_over_the_table_and_closes_across() -> None:
    tool = load_arm("so101").tool(HOME)
    np.testing.assert_allclose(tool[:3, 2], [0, 0, -1], atol=1e-3)
    np.testing.assert_allclose(np.abs(tool[:3, 1]), [0, 1, 0], atol=1e-3)
    assert 0.05 < tool[2, 3] < 0.1
