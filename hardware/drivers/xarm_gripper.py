"""UFACTORY's gripper, a Modbus device behind the arm: over a connection of its own, so that its slow bus never holds up a setpoint.

The SDK's own calls for it are not used: where they find the bus at another rate or at fault they clear the arm's errors and let it move
again without a word.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from hardware.api import RobotError
from hardware.drivers.xarm_sdk import LOST, close_client, error_words, open_client, refusal

BAUD = 2_000_000
"""Of the tool's bus, as the gripper wants it."""
PERIOD = 0.05
"""Between two commands or measurements [s]."""
DEVICE = 8
"""The gripper's number on the bus."""
ENABLE, MODE, SPEED, GOAL, POSITION, FAULT = 0x0100, 0x0101, 0x0303, 0x0700, 0x0702, 0x000F
"""Its registers; goal and position are two wide."""


class XArmGripper:
    """An enabled gripper, its jaw where it was."""

    def __init__(self, address: str, counts: tuple[int, int], speed: int, fail: Callable[[RobotError], None]) -> None:
        """Connects. `counts` are closed and open; `fail` is told of a fault, once. Raises RobotError: none there, or at fault."""
        self._address, self._counts, self._fail = address, counts, fail
        self._client = open_client(address, reports=False)
        try:
            self._check_bus()
            self._check_fault()
            for register, value in ((ENABLE, 1), (MODE, 0), (SPEED, speed)):
                self._write(register, value.to_bytes(2, "big"))
            self._check_fault()
            self._opening = self._measure()
        except BaseException:
            close_client(self._client)
            raise
        self._target: int | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="xarm gripper", daemon=True)
        self._thread.start()

    def opening(self) -> float:
        """The newest measurement, 0 closed to 1 open."""
        return self._opening

    def go(self, opening: float) -> None:
        """Moves the jaw, 0 closed to 1 open; returns at once."""
        closed, opened = self._counts
        self._target = round(closed + float(np.clip(opening, 0, 1)) * (opened - closed))

    def close(self) -> None:
        """Gives the connection back; the jaw keeps its goal. Idempotent."""
        self._closing.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(2.0)
        close_client(self._client)

    def _run(self) -> None:
        sent: int | None = None
        turn = 0
        try:
            while not self._closing.wait(PERIOD):
                target = self._target
                if target is not None and target != sent:
                    self._write(GOAL, target.to_bytes(4, "big", signed=True))
                    sent = target
                self._opening = self._measure()
                turn += 1
                if turn % 5 == 0:
                    self._check_fault()
        except Exception as error:
            self._fail(error if isinstance(error, RobotError) else RobotError(f"{self._address}: the gripper: {error}"))

    def _measure(self) -> float:
        counts = int.from_bytes(self._read(POSITION, 2), "big", signed=True)
        closed, opened = self._counts
        return float(np.clip((counts - closed) / (opened - closed), 0, 1))

    def _read(self, register: int, width: int) -> bytes:
        """Registers of the gripper. Raises RobotError where no whole answer comes: the SDK would make it a 0."""
        answer = self._client.core.gripper_modbus_r16s(register, width)
        if answer[2:5] != [DEVICE, 3, 2 * width] or len(answer) != 5 + 2 * width:
            raise self._silent(answer[0])
        return bytes(answer[5:])

    def _write(self, register: int, value: bytes) -> None:
        answer = self._client.core.gripper_modbus_w16s(register, value, len(value) // 2)
        if answer[2:4] != [DEVICE, 0x10]:
            raise self._silent(answer[0])

    def _silent(self, code: int) -> RobotError:
        if code in LOST:
            return refusal(f"{self._address}: the gripper's connection", code)
        return RobotError(f"{self._address}: no gripper answers at the tool; give gripper='none' where there is none")

    def _check_bus(self) -> None:
        code, rate = self._client.get_rs485_baudrate()
        if code or rate != BAUD:
            raise RobotError(f"{self._address}: the tool's bus runs at {rate} baud, the gripper takes {BAUD}: set it in UFACTORY Studio")

    def _check_fault(self) -> None:
        fault = int.from_bytes(self._read(FAULT, 1), "big")
        if fault:
            raise RobotError(f"{self._address}: {error_words(fault, 'Gripper')}")
