"""What an emulated Franka shares with the scene around it: a file of 512 bytes, mapped by both, read and written in microseconds.

The arm's process writes where joints and fingers are; the scene's process writes what it does to them. No second client of the
arm's protocol is needed, which takes only one.
"""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np

from hardware.api import RobotError

SIZE = 512
"""Of the file [bytes]."""
TICK = 0.001
"""Period of the arm's controller, in which it is published once [s]."""
TIME, QPOS, QVEL, WIDTH, DRIVE, RECORD = 0, slice(1, 8), slice(8, 15), 15, 16, 17
"""Cells of a record, and how many they are."""
COUNT, RECORDS, BLOCK, PUSH, FAILURE = 0, 1, 35, slice(36, 43), 43
"""Cells of the file: how many records were written; two, written in turn, so that the newest is always whole; what the scene does."""
MAX_WIDTH = 0.08
"""Of the Franka Hand, open [m]."""


class FrankaMemory:
    """The arm as the scene sees it. Any process may open it by its path."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        """Maps the file. Raises RobotError where there is none."""
        self.path = path
        try:
            if create:
                path.touch(mode=0o600, exist_ok=False)
                path.write_bytes(bytes(SIZE))
            with path.open("r+b") as file:
                self._map = mmap.mmap(file.fileno(), SIZE)
        except OSError as error:
            raise RobotError(f"no emulated Franka at {path}: {error}; start one with FrankaSim().start()") from None
        self._cells = np.frombuffer(self._map, np.float64)

    def publish(self, qpos: np.ndarray, qvel: np.ndarray, width: float, drive: float, now: float) -> None:
        """The arm's process: where it is now; (7,) [rad], (7,) [rad/s], twice [m], [s, monotonic]."""
        count = int(self._cells[COUNT]) + 1
        record = self._slot(count)
        record[TIME], record[QPOS], record[QVEL], record[WIDTH], record[DRIVE] = now, qpos, qvel, width, drive
        self._cells[COUNT] = count

    def _slot(self, count: int) -> np.ndarray:
        start = RECORDS + count % 2 * RECORD
        return self._cells[start : start + RECORD]

    def _record(self) -> np.ndarray:
        while True:
            count = int(self._cells[COUNT])
            record = self._slot(count).copy()
            if count == int(self._cells[COUNT]):
                return record

    def qpos(self) -> np.ndarray:
        """Joint positions, (7,) [rad]."""
        return self._record()[QPOS]

    def qvel(self) -> np.ndarray:
        """Joint velocities, (7,) [rad/s]."""
        return self._record()[QVEL]

    def gripper(self) -> float:
        """Opening of the fingers, 0 closed to 1 open (0.08 m)."""
        return float(self._record()[WIDTH]) / MAX_WIDTH

    def drive(self) -> float:
        """Where the hand drives its fingers, 0 closed to 1 open; below `gripper` while an object holds them apart: so they press."""
        return float(self._record()[DRIVE]) / MAX_WIDTH

    def time(self) -> float:
        """Of what is read [s, monotonic]; older than a few milliseconds: the arm's process hangs or is gone."""
        return float(self._record()[TIME])

    def elapsed(self) -> float:
        """The arm's own time [s]: it counts periods, and stands still where a client in control is late."""
        return float(self._cells[COUNT]) * TICK

    def block(self, opening: float | None) -> None:
        """The scene: an object holds the fingers apart at this opening, [0, 1]; None: nothing is between them."""
        self._cells[BLOCK] = 0.0 if opening is None else opening * MAX_WIDTH

    def push(self, torques: np.ndarray | None) -> None:
        """The scene: contacts act on the joints, (7,) [N m]; None: nothing does."""
        self._cells[PUSH] = 0.0 if torques is None else torques

    def fail(self, error: int | None) -> None:
        """An error of the protocol's numbers: motion is aborted, and refused until the client recovers from it; None: no error."""
        self._cells[FAILURE] = 0 if error is None else error + 1

    @property
    def blocked(self) -> float:
        """Least opening that the scene leaves the fingers [m]."""
        return float(self._cells[BLOCK])

    @property
    def pushed(self) -> np.ndarray:
        """Torques of the scene's contacts, (7,) [N m]."""
        return self._cells[PUSH].copy()

    @property
    def failure(self) -> int:
        """0: none; else one more than the error's number."""
        return int(self._cells[FAILURE])
