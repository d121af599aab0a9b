"""UFACTORY's gripper, a Modbus device behind the arm: over a connection of its own, so that its slow bus never holds up a setpoint.

The SDK's own calls for it are not used: where they find the bus at another rate or at fault they clear the arm's errors and let it move
again without a word.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from hardware.api import RobotError
from hardware.drivers.xarm_sdk import CODES, close_client, error_words, open_client, refusal

BAUD = 2_000_000
"""Of the tool's bus, as the gripper wants it."""
PERIOD = 0.05
"""Between two commands or measurements [s]."""
ANSWERED = (0, 1, 2)
"""Codes of a reply: 1 and 2 say that the arm has an error or a warning, which the arm's own link tells."""


class XArmGripper:
    """An enabled gripper, its jaw where it was."""

    def __init__(self, address: str, counts: tuple[int, int], speed: int, fail: Callable[[RobotError], None]) -> None:
        """Connects. `counts` are closed and open; `fail` is told of a fault, once. Raises RobotError: none there, or at fault."""
        self._address, self._counts, self._fail = address, counts, fail
        self._client = open_client(address, reports=False)
        try:
            self._check_bus()
            core = self._client.core
            for what, (code, *_) in (
                ("enable", core.gripper_modbus_set_en(True)),
                ("position mode", core.gripper_modbus_set_mode(0)),
                ("speed", core.gripper_modbus_set_posspd(speed)),
            ):
                if code not in ANSWERED:
                    raise refusal(f"{address}: the gripper's {what}", code)
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
                    code, *_ = self._client.core.gripper_modbus_set_pos(target)
                    if code not in ANSWERED:
                        raise refusal(f"{self._address}: the gripper's position", code)
                    sent = target
                self._opening = self._measure()
                turn += 1
                if turn % 5 == 0:
                    self._check_fault()
        except Exception as error:
            self._fail(error if isinstance(error, RobotError) else RobotError(f"{self._address}: the gripper: {error}"))

    def _measure(self) -> float:
        code, counts = self._client.core.gripper_modbus_get_pos()
        if code not in ANSWERED:
            raise RobotError(f"{self._address}: the gripper gives no position: {CODES.get(code, 'refused')} (code {code})")
        closed, opened = self._counts
        return float(np.clip((counts - closed) / (opened - closed), 0, 1))

    def _check_bus(self) -> None:
        code, rate = self._client.get_rs485_baudrate()
        if code or rate != BAUD:
            raise RobotError(f"{self._address}: the tool's bus runs at {rate} baud, the gripper takes {BAUD}: set it in UFACTORY Studio")

    def _check_fault(self) -> None:
        code, fault = self._client.core.gripper_modbus_get_errcode()
        if code not in ANSWERED:
            raise RobotError(f"{self._address}: no gripper answers at the tool; give gripper=none where there is none")
        if fault:
            raise RobotError(f"{self._address}: {error_words(fault, 'Gripper')}")
