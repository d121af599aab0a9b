"""What a driver of a camera must offer: a frozen value that opens, and the stream that it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Frame:
    """One picture and when it was taken."""

    image: np.ndarray
    """(H, W, 3) uint8, RGB, row 0 on top."""
    time: float
    """Of capture, not of arrival [s, monotonic]; as near to the exposure as the driver can tell."""
    number: int
    """Counts the frames of this stream; a gap is a lost frame."""
    truth: np.ndarray | None = None
    """Pixels of the target, (H, W) bool, where the source knows them: a simulator."""


class Stream(Protocol):
    """An open camera; `close` never raises."""

    def latest(self) -> Frame:
        """The newest frame, without waiting; the same one again where there is no newer. Raises RobotError where the camera is gone."""
        ...

    def close(self) -> None:
        """Gives the camera back; idempotent."""
        ...


class Camera(Protocol):
    """A camera that can be opened. A frozen value: constructing it does nothing."""

    @property
    def name(self) -> str:
        """As the policy's contract calls it: "side", "wrist"."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of its frames [px]."""
        ...

    def open(self) -> Stream:
        """Starts it, waits for the first frame. Raises RobotError: what is missing, and what would do."""
        ...
