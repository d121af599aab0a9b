"""Teleoperation: small steps, an orientation that is kept, and no motion without a hand on the dead man's switch."""

from __future__ import annotations

import os
import pty
import struct
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from hardware.api import RobotError
from hardware.jog import Aim, Button, Control, Jog, JointTargets, Rates, advance, aim_at, apart
from hardware.model import ArmModel, load_arm
from hardware.teleop import DEVICES, Beside, find_device
from hardware.teleop.gamepad import AXIS, BUTTON, EVENT, GREATEST, INITIAL, Gamepad
from hardware.teleop.keyboard import BUTTONS, MOVES, Keyboard
from hardware.teleop.leader import Leader

DT, RATES = 0.05, Rates()
FORWARD = Jog(linear=(1, 0, 0), live=True)


def start(name: str = "panda") -> tuple[ArmModel, Aim]:
    arm = load_arm(name)
    return arm, aim_at(arm, np.array(arm.home), np.ones(arm.gripper))


def turned(here: np.ndarray, there: np.ndarray) -> float:
    """Angle between two poses [rad]."""
    return float(np.arccos(np.clip((np.trace(here[:3, :3].T @ there[:3, :3]) - 1) / 2, -1, 1)))


# --- jogging


@pytest.mark.parametrize("name", ["panda", "ur5e"])
@pytest.mark.parametrize("axis", range(6))
def test_the_tool_goes_where_it_is_pushed_and_nowhere_else(name: str, axis: int) -> None:
    arm, aim = start(name)
    push = np.eye(6)[axis]
    before, hand = arm.tool(aim.qpos), Jog(tuple(push[:3]), tuple(push[3:]), live=True)
    for _ in range(12):
        aim = advance(arm, aim, hand, aim.qpos, DT, Rates(joint=2.0))
    after = arm.tool(aim.qpos)
    np.testing.assert_allclose(after[:3, 3] - before[:3, 3], 12 * DT * RATES.linear * push[:3], atol=2e-3)
    turn = after[:3, :3] @ before[:3, :3].T
    angle = 12 * DT * RATES.angular * push[3:].sum()
    assert turned(before, after) == pytest.approx(angle, abs=5e-3)
    if angle:
        vee = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
        np.testing.assert_allclose(vee / np.linalg.norm(vee), push[3:], atol=0.02)


def test_long_random_jogging_does_not_tilt_the_tool_nor_leave_the_joints_range() -> None:
    arm, aim = start()
    rng, before = np.random.default_rng(0), arm.tool(np.array(arm.home))
    hand, steps = FORWARD, []
    for k in range(500):
        if k % 10 == 0:
            x, y, z = rng.uniform(-1, 1, 3).tolist()
            hand = Jog((x, y, z), live=True)
        new = advance(arm, aim, hand, aim.qpos, DT, RATES)
        steps.append(np.abs(new.qpos - aim.qpos).max())
        aim = new
        assert turned(before, arm.tool(aim.qpos)) < 0.03
        assert (aim.qpos > arm.lower).all()
        assert (aim.qpos < arm.upper).all()
    assert max(steps) <= RATES.joint * DT * (1 + 1e-9)
    assert np.mean(np.array(steps) > 0) > 0.5  # it moved most of the time


def test_joints_that_are_too_slow_slow_the_tool_and_nothing_is_made_up_for_later() -> None:
    arm, aim = start()
    slow = Rates(joint=0.1)
    for _ in range(30):
        aim = advance(arm, aim, Jog(angular=(0, 1, 0), live=True), aim.qpos, DT, slow)
    assert 0.05 < turned(arm.tool(np.array(arm.home)), arm.tool(aim.qpos)) < 0.3  # 0.9 was asked for
    assert turned(aim.tool, arm.tool(aim.qpos)) < 5e-3


def test_beyond_its_reach_it_stays_and_comes_back_without_delay() -> None:
    arm, aim = start()
    for _ in range(250):
        aim = advance(arm, aim, FORWARD, aim.qpos, DT, RATES)
    far = arm.tool(aim.qpos)[:3, 3]
    aim = advance(arm, aim, FORWARD, aim.qpos, DT, RATES)
    np.testing.assert_allclose(arm.tool(aim.qpos)[:3, 3], far, atol=2e-3)
    back = advance(arm, aim, replace(FORWARD, linear=(-1, 0, 0)), aim.qpos, DT, RATES)
    assert arm.tool(back.qpos)[0, 3] < far[0] - 1e-3


def test_an_arm_of_five_joints_places_its_tool() -> None:
    arm, aim = start("so101")
    before = arm.tool(aim.qpos)[:3, 3]
    for _ in range(10):
        aim = advance(arm, aim, Jog(linear=(0.6, 0.5, -0.3), live=True), aim.qpos, DT, Rates(linear=0.05))
    np.testing.assert_allclose(arm.tool(aim.qpos)[:3, 3] - before, np.array([0.6, 0.5, -0.3]) * 0.025, atol=2e-3)


@pytest.mark.parametrize("hand", [Jog(), replace(FORWARD, live=False), Jog(home=True), Jog(live=True)])
def test_without_a_live_hand_nothing_moves(hand: Jog) -> None:
    arm, _ = start()
    aim = aim_at(arm, np.array(arm.home) + 0.1, np.ones(1))
    new = advance(arm, aim, hand, aim.qpos, DT, RATES)
    np.testing.assert_array_equal(new.qpos, aim.qpos)
    np.testing.assert_array_equal(new.gripper, aim.gripper)


def test_home_is_reached_in_small_steps_and_the_gripper_toggles() -> None:
    arm, _ = start()
    aim = aim_at(arm, np.array(arm.home) + 0.1, np.ones(1))
    for _ in range(10):
        aim = advance(arm, aim, Jog(home=True, live=True), aim.qpos, DT, RATES)
    np.testing.assert_allclose(aim.qpos, arm.home, atol=1e-9)
    aim = advance(arm, aim, Jog(toggle=True), aim.qpos, DT, RATES)
    assert aim.gripper == [0.0]
    assert advance(arm, aim, Jog(), aim.qpos, DT, RATES).gripper == [0.0]
    assert advance(arm, aim, Jog(toggle=True), aim.qpos, DT, RATES).gripper == [1.0]


def test_a_target_waits_for_an_arm_that_does_not_follow() -> None:
    arm, aim = start()
    measured = aim.qpos
    for _ in range(300):
        aim = advance(arm, aim, FORWARD, measured, DT, RATES)
    assert 0.5 * RATES.leash < np.abs(aim.qpos - measured).max() <= RATES.leash
    back = advance(arm, aim, Jog(home=True, live=True), measured, DT, RATES)
    assert np.abs(back.qpos - measured).max() < np.abs(aim.qpos - measured).max()  # the way back is always open


def test_a_leader_is_followed_slowly_and_only_from_nearby() -> None:
    arm, aim = start()
    far = JointTargets(aim.qpos + 0.5 * np.eye(7)[3], np.zeros(1))
    np.testing.assert_array_equal(advance(arm, aim, far, aim.qpos, DT, RATES).qpos, aim.qpos)
    assert apart(arm, aim, far, RATES) == "bring the leader to the arm: its joint4 is +0.50 rad away, 0.35 would do"
    near = replace(far, qpos=aim.qpos + 0.2)
    assert apart(arm, aim, near, RATES) == ""
    one = advance(arm, aim, near, aim.qpos, DT, RATES)
    assert np.abs(one.qpos - aim.qpos).max() == pytest.approx(RATES.joint * DT)
    assert one.gripper == [0.0]
    silent = replace(near, live=False)
    np.testing.assert_array_equal(advance(arm, aim, silent, aim.qpos, DT, RATES).qpos, aim.qpos)
    with pytest.raises(RobotError, match=r"gives 5 joints and 1 gripper values; panda has 7 and 1"):
        advance(arm, aim, JointTargets(np.zeros(5), np.zeros(1)), aim.qpos, DT, RATES)


def test_unknown_devices_and_settings_are_refused_by_name() -> None:
    for row in DEVICES:
        assert find_device(row.name).help
    with pytest.raises(RobotError, match="'mouse' is not known; known: keyboard, gamepad, leader"):
        find_device("mouse")
    with pytest.raises(RobotError, match="no setting 'port'; it has: hold, descriptor"):
        find_device("keyboard", {"port": 1})
    with pytest.raises(RobotError, match="no dead man's switch"):
        find_device("keyboard", {"hold": 3.0})


def jog(control: Control, now: float) -> Jog:
    """What a device that jogs says."""
    hand = control.read(now)
    assert isinstance(hand, Jog)
    return hand


# --- keyboard


@dataclass
class Terminal:
    """A pseudo-terminal: `type` is the person."""

    master: int
    slave: int

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)
        time.sleep(0.02)  # through the line discipline


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    master, slave = pty.openpty()
    yield Terminal(master, slave)
    for end in (master, slave):
        os.close(end)


def test_a_key_moves_for_as_long_as_it_repeats(terminal: Terminal) -> None:
    keys = Keyboard(hold=0.15, descriptor=terminal.slave).open()
    try:
        assert keys.read(0.0) == Jog()
        terminal.type(b"w")
        assert keys.read(1.0) == Jog((1, 0, 0), live=True)
        assert keys.read(1.14).live
        assert keys.read(1.16) == Jog()
        for k in range(20):
            terminal.type(b"a")
            assert jog(keys, 2 + k / 30).linear == (0, 1, 0)
        terminal.type(b"r")  # another key: the one before has gone silent in the terminal
        assert jog(keys, 2.65).linear == (0, 0, 1)
        terminal.type(b"q")
        assert jog(keys, 2.7).angular == (0, 0, 1)
        terminal.type(b"h")
        assert (jog(keys, 2.8).home, keys.read(2.8).live) == (True, True)
    finally:
        keys.close()


def test_arrows_buttons_and_the_gripper(terminal: Terminal) -> None:
    keys = Keyboard(descriptor=terminal.slave).open()
    try:
        terminal.type(b"\x1b")
        assert keys.read(0.0) == Jog()
        terminal.type(b"[A")  # the rest of the sequence, as a slow line brings it
        assert jog(keys, 0.0).linear == (1, 0, 0)
        terminal.type(b"\x1bOD")
        assert jog(keys, 0.1).linear == (0, 1, 0)
        terminal.type(b"\x1b[5~\x1b[200;3~?\x00")  # keys that mean nothing
        assert keys.read(5.0) == Jog()
        terminal.type(b"\ry nxz\x04")
        hand = jog(keys, 6.0)
        assert hand.buttons == (Button.START, Button.SUCCESS, Button.FAILURE, Button.DISCARD, Button.UNDO, Button.QUIT)
        assert hand.toggle
        assert keys.read(6.1) == Jog()
    finally:
        keys.close()


def test_every_key_has_one_meaning_and_every_button_a_key() -> None:
    assert not MOVES.keys() & BUTTONS.keys()
    assert set(BUTTONS.values()) == set(Button)


def test_the_terminal_is_given_back_as_it_was(terminal: Terminal) -> None:
    before = termios.tcgetattr(terminal.slave)
    keys = Keyboard(descriptor=terminal.slave).open()
    inside = termios.tcgetattr(terminal.slave)
    assert not inside[3] & termios.ECHO
    assert not inside[3] & termios.ICANON
    assert inside[3] & termios.ISIG  # Ctrl-C stays what it is
    terminal.type(b"rm -rf x\n")  # typed and never read: not for the shell
    keys.close()
    keys.close()
    assert termios.tcgetattr(terminal.slave) == before
    os.set_blocking(terminal.slave, False)
    with pytest.raises(BlockingIOError):
        os.read(terminal.slave, 100)


def test_a_terminal_that_is_closed_is_an_error_and_a_pipe_is_none() -> None:
    master, slave = pty.openpty()
    keys = Keyboard(descriptor=slave).open()
    os.close(master)
    with pytest.raises(RobotError, match="the terminal of teleop=keyboard is gone"):
        keys.read(0.0)
    keys.close()
    os.close(slave)
    read, write = os.pipe()
    with pytest.raises(RobotError, match="needs a terminal, standard input is none"):
        Keyboard(descriptor=read).open()
    os.close(read)
    os.close(write)


# --- gamepad


@dataclass
class Pad:
    """The kernel's end of a joystick device."""

    path: Path
    end: int

    def send(self, *events: tuple[int, int, int]) -> None:
        """Kind, number, value of each."""
        os.write(self.end, b"".join(struct.pack("<IhBB", 0, value, kind, number) for kind, number, value in events))


@pytest.fixture
def pad(tmp_path: Path) -> Iterator[Pad]:
    path = tmp_path / "js0"
    os.mkfifo(path)
    end = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    found = Pad(path, end)
    yield found
    if found.end >= 0:
        os.close(found.end)


def test_sticks_count_while_the_dead_man_is_held(pad: Pad) -> None:
    control = Gamepad(str(pad.path)).open()
    assert EVENT.size == 8
    assert control.read(0.0) == Jog((0, 0, 0), (0.0, 0.0, 0.0))
    pad.send((AXIS, 1, -GREATEST), (AXIS, 0, GREATEST), (AXIS, 5, 0), (AXIS, 2, -GREATEST))
    assert control.read(0.0) == Jog((0, 0, 0), (0.0, 0.0, 0.0))
    pad.send((BUTTON, 4, 1))
    hand = jog(control, 0.1)
    assert hand.live
    np.testing.assert_allclose(hand.linear, [1, -1, (0.5 - 0.15) / 0.85], atol=1e-3)
    pad.send((AXIS, 1, -3000), (AXIS, 0, 0), (AXIS, 5, -GREATEST), (AXIS, 3, -GREATEST))
    hand = jog(control, 0.2)
    assert (hand.linear, hand.angular) == ((0, 0, 0), (0, 0, 1))  # the dead zone
    pad.send((BUTTON, 4, 0))
    assert not control.read(0.3).live
    control.close()
    control.close()


def test_the_kernels_own_events_never_press_the_dead_man(pad: Pad) -> None:
    control = Gamepad(str(pad.path)).open()
    pad.send((BUTTON | INITIAL, 4, 1), (AXIS | INITIAL, 1, -GREATEST), (BUTTON | INITIAL, 5, 1), (BUTTON | INITIAL, 0, 1))
    assert control.read(0.0) == Jog((0, 0, 0), (0.0, 0.0, 0.0))
    pad.send((BUTTON, 4, 1))
    assert control.read(0.0).live
    pad.send((BUTTON | INITIAL, 4, 0))  # events were lost, this is how it stands
    assert not control.read(0.0).live
    control.close()


def test_buttons_half_events_and_a_pad_that_is_unplugged(pad: Pad) -> None:
    control = Gamepad(str(pad.path)).open()
    pad.send((BUTTON, 7, 1), (BUTTON, 7, 0), (BUTTON, 0, 1), (BUTTON, 5, 1))
    hand = jog(control, 0.0)
    assert (hand.buttons, hand.toggle) == ((Button.START, Button.SUCCESS), True)
    whole = struct.pack("<IhBB", 0, 1, BUTTON, 6)
    os.write(pad.end, whole[:5])
    assert control.read(0.1).buttons == ()
    os.write(pad.end, whole[5:])
    assert control.read(0.2).buttons == (Button.UNDO,)
    os.close(pad.end)
    pad.end = -1
    with pytest.raises(RobotError, match=r"the gamepad at .*js0 is gone"):
        control.read(0.3)
    control.close()
    with pytest.raises(RobotError, match="cannot read /dev/input/js77: No such file"):
        Gamepad("/dev/input/js77").open()


def test_a_device_beside_another_adds_its_buttons_alone(pad: Pad, terminal: Terminal) -> None:
    both = Beside(Gamepad(str(pad.path)), Keyboard(descriptor=terminal.slave))
    assert "Ctrl-D" in both.help
    control = both.open()
    pad.send((BUTTON, 0, 1))
    terminal.type(b"wz")
    assert control.read(0.0) == Jog((0, 0, 0), (0.0, 0.0, 0.0), buttons=(Button.SUCCESS, Button.UNDO))
    control.close()
    with pytest.raises(RobotError, match="js77"):
        Beside(Keyboard(descriptor=terminal.slave), Gamepad("/dev/input/js77")).open()
    assert termios.tcgetattr(terminal.slave)[3] & termios.ECHO  # the first one was given back


# --- leader: LeRobot's own class on an emulated chain of servos


@pytest.fixture
def leader(tmp_path: Path) -> Iterator[tuple[Leader, object]]:
    pytest.importorskip("lerobot")
    pytest.importorskip("scservo_sdk")
    from test_driver_lerobot import HOME, OFFSETS, calibrate, install, ticks

    from hardware.emulators.feetech import Chain

    calibrate(tmp_path)
    with Chain(np.array(ticks(HOME, 0.25)) + OFFSETS) as chain:
        install(chain)
        yield Leader(chain.port, id="mine", calibration=str(tmp_path)), chain


def test_lerobots_leader_is_read_in_radians_and_left_limp(leader: tuple[Leader, object]) -> None:
    from test_driver_lerobot import HOME

    device, chain = leader
    control = device.open()
    hand = control.read(0.0)
    assert isinstance(hand, JointTargets)
    np.testing.assert_allclose(hand.qpos, HOME, atol=4e-3)
    np.testing.assert_allclose(hand.gripper, [0.25], atol=0.01)
    assert hand.live
    assert not chain.registers("Torque_Enable").any()  # pyright: ignore[reportAttributeAccessIssue]
    chain.unplug()  # pyright: ignore[reportAttributeAccessIssue]
    end = time.monotonic() + 10
    while control.read(0.0).live and time.monotonic() < end:
        time.sleep(0.02)
    assert not control.read(0.0).live  # not followed any more, and soon an error
    time.sleep(2.0)
    with pytest.raises(RobotError, match="has said nothing for"):
        control.read(0.0)
    control.close()


def test_a_leader_that_cannot_be_is_refused(leader: tuple[Leader, object], tmp_path: Path) -> None:
    device, _ = leader
    with pytest.raises(RobotError, match=r"no calibration .*other\.json; make it with: lerobot-calibrate --teleop\.type=so101_leader"):
        replace(device, id="other").open()
    with pytest.raises(RobotError, match="no leader of panda"):
        replace(device, model="panda").open()
    with pytest.raises(RobotError, match=r"LeRobot knows no leader 'so102'; known: .*so101_leader"):
        replace(device, kind="so102").open()
    with pytest.raises(RobotError, match="does not connect"):
        replace(device, address=str(tmp_path / "nothing")).open()
