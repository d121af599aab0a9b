"""A calibrated SO-101 for tests: its numbers, and patience with an emulated chain on a busy machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
