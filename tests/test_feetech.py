"""The emulated chain of servos: its packets, its memory, and an arm in MuJoCo behind it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import mujoco
import numpy as np
import pytest
from so101_chain import HOME, OFFSETS, TICKS, arm_at, be_patient, calibrate, install, lying, mid, ticks, until

from hardware.api import Action, ArmLost
from hardware.drivers.lerobot import LeRobotArm
from hardware.emulators.feetech import Chain
from hardware.model import ArmModel, load_arm

pytest.importorskip("lerobot")
pytest.importorskip("scservo_sdk")


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient(monkeypatch)


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    with lying(tmp_path) as servos:
        yield servos


@pytest.fixture
def driver(chain: Chain, tmp_path: Path) -> LeRobotArm:
    return arm_at(chain, tmp_path)


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


def test_the_chain_survives_any_bytes(chain: Chain) -> None:
    import serial

    rng = np.random.default_rng(1)
    with serial.Serial(chain.port, 1_000_000, timeout=3.0) as port:
        for _ in range(200):
            body = rng.bytes(int(rng.integers(3, 12)))
            port.write(b"\xff\xff" + bytes([body[0], len(body)]) + body[1:] + rng.bytes(1))
        port.write(b"\x00" * 260)  # ends whatever packet is open
        time.sleep(0.3)
        port.reset_input_buffer()
        chain.preset("Response_Status_Level", [1] * 6)
        chain.preset("Status", [0] * 6)
        port.write(b"\xff\xff\x02\x02\x01\xfa")
        assert port.read(6) == b"\xff\xff\x02\x02\x00\xfb"


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
