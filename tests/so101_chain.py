"""A calibrated SO-101 for tests: its numbers, and patience with an emulated chain on a busy machine."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardware.api import RobotError
from hardware.arm import Link
from hardware.drivers.lerobot import LeRobotArm
from hardware.emulators.feetech import Chain
from hardware.model import load_arm

HOME = np.array(load_arm("so101").home)
NAMES = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
RANGES = ((797, 3298), (910, 3185), (946, 3149), (967, 3128), (0, 4095), (2040, 3500))
"""Of a calibrated arm [ticks]: what the model says, and the whole turn that LeRobot gives the wrist."""
OFFSETS = (-120, 340, 15, -7, 260, 0)
TICKS = 2 * np.pi / 4095


def mid(joint: int) -> float:
    return sum(RANGES[joint]) / 2


def ticks(qpos: np.ndarray, gripper: float = 0.5) -> list[int]:
    """What the servos call a pose."""
    low, high = RANGES[5]
    return [*(round(mid(i) + q / TICKS) for i, q in enumerate(qpos)), round(low + gripper * (high - low))]


def calibrate(folder: Path, **changes: tuple[int, int]) -> None:
    table = {
        name: {"id": i + 1, "drive_mode": 0, "homing_offset": OFFSETS[i], "range_min": low, "range_max": high}
        for i, name in enumerate(NAMES)
        for low, high in [changes.get(name, RANGES[i])]
    }
    (folder / "mine.json").write_text(json.dumps(table))


def install(chain: Chain) -> None:
    """Puts the calibration into the servos, as lerobot-calibrate does."""
    chain.preset("Homing_Offset", [abs(offset) | (1 << 11 if offset < 0 else 0) for offset in OFFSETS])
    chain.preset("Min_Position_Limit", [low for low, _ in RANGES])
    chain.preset("Max_Position_Limit", [high for _, high in RANGES])


HOME = np.array(load_arm("so101").home)


def be_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets LeRobot's bus wait 0.3 s for an answer rather than 0.05 s: here servos share a busy machine, and one interpreter, with it."""

    def wait(self: Any, length: int) -> None:
        self.setPacketTimeoutMillis(300.0)

    monkeypatch.setattr("lerobot.motors.feetech.feetech.patch_setPacketTimeout", wait)


@contextlib.contextmanager
def lying(folder: Path) -> Iterator[Chain]:
    """A calibrated arm that lies limp at its home; its goal registers hold what some other program left."""
    calibrate(folder)
    with Chain(np.array(ticks(HOME)) + OFFSETS) as servos:
        install(servos)
        servos.preset("Goal_Position", [1000] * 6)
        yield servos


def arm_at(chain: Chain, folder: Path) -> LeRobotArm:
    """The driver of a chain, with a patience that a busy test machine does not exhaust: the arm's is 0.05 s."""
    return LeRobotArm(chain.port, id="mine", calibration=folder, silence=0.5)


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
