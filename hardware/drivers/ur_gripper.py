"""A Robotiq 2F gripper on a Universal Robots controller: the text socket of its URCap."""

from __future__ import annotations

import threading
import time

import numpy as np

from hardware.api import RobotError
from hardware.drivers.ur_dashboard import GRIPPER, PATIENCE, Refused, knock


class Robotiq:
    """A Robotiq 2F gripper at the socket of its URCap: one question at a time, asked by a thread of its own."""

    PERIOD = 0.04
    """Between questions [s]: the gripper's own bus keeps no higher rate."""

    def __init__(self, address: str, counts: tuple[int, int], force: float) -> None:
        """Counts open and closed; force [N], 20 to 235. Raises RobotError where the gripper is missing, or would move: activating does."""
        self._opened, self._closed = counts
        self._force = round(255 * (force - 20) / 215)
        try:
            self._socket = knock(address, GRIPPER, "Robotiq URCap")
        except Refused as error:
            raise RobotError(str(error)) from error
        self._wake = threading.Event()
        self._wish: int | None = None
        self._held = self._closing = False
        self._fault = ""
        try:
            if self._get("STA") != 3:
                raise RobotError(f"{address}: the gripper is not activated: do it at the pendant, it opens and closes once")
            self._counts, self._seen = self._get("POS"), time.monotonic()
        except RobotError:
            self._socket.close()
            raise
        self._thread = threading.Thread(target=self._serve, name="ur gripper", daemon=True)
        self._thread.start()

    def opening(self) -> float:
        """0 closed to 1 open. Raises RobotError where the gripper is silent."""
        if self._fault:
            raise RobotError(self._fault)
        age = time.monotonic() - self._seen
        if age > PATIENCE:
            raise RobotError(f"the gripper said nothing for {age:.1f} s")
        return float(np.clip((self._closed - self._counts) / (self._closed - self._opened), 0, 1))

    def go(self, opening: float) -> None:
        """Sets where the fingers go; returns at once. Raises RobotError after a fault."""
        if self._fault:
            raise RobotError(self._fault)
        self._wish = round(self._closed + (self._opened - self._closed) * float(np.clip(opening, 0, 1)))

    def hold(self) -> None:
        """The fingers stand where they are; what they hold stays held, their gear does not turn back."""
        self._wish, self._held = None, True
        self._wake.set()

    def close(self) -> None:
        """Gives the socket back."""
        self._closing = True
        self._wake.set()
        self._thread.join(PATIENCE)
        self._socket.close()

    def _serve(self) -> None:
        sent: int | None = None
        try:
            while not self._closing:
                wish = self._wish
                if self._held:
                    self._held, sent = False, None
                    self._set("GTO 0")
                elif wish is not None and wish != sent:
                    self._set(f"POS {wish} SPE 255 FOR {self._force} GTO 1")
                    sent = wish
                self._counts, self._seen = self._get("POS"), time.monotonic()
                self._wake.wait(self.PERIOD)
                self._wake.clear()
        except RobotError as error:
            self._fault = str(error)

    def _get(self, name: str) -> int:
        words = self._say(f"GET {name}").split()
        if len(words) != 2 or words[0] != name or not words[1].isdigit():
            raise RobotError(f"the gripper answered {' '.join(words)!r} when asked for {name}")
        return int(words[1])

    def _set(self, text: str) -> None:
        answer = self._say(f"SET {text}").strip()
        if answer != "ack":
            raise RobotError(f"the gripper answered {answer!r} to SET {text}")

    def _say(self, line: str) -> str:
        try:
            self._socket.sendall(line.encode() + b"\n")
            answer = self._socket.recv(1024)
        except OSError as error:
            raise RobotError(f"the gripper is gone: {error}") from error
        if not answer:
            raise RobotError("the gripper closed the connection")
        return answer.decode("ascii", "replace")
