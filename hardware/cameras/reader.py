"""The thread that reads a camera and keeps its newest frame."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hardware.api import RobotError
from hardware.camera import Frame
from hardware.cameras.fit import Fit


@dataclass(frozen=True)
class Shot:
    """What a source took."""

    image: np.ndarray
    """(H, W, 3) u8, RGB, row 0 on top, of the camera's own size; nobody else writes to it."""
    time: float
    """Of capture [s, monotonic]."""
    number: int
    """As the camera counts; the same number again is the same picture."""


class Source(Protocol):
    """A camera that one thread reads."""

    def read(self) -> Shot:
        """Waits for the next picture. Raises RobotError where none will come."""
        ...

    def close(self) -> None:
        """Gives the camera back."""
        ...


class Reader:
    """Implements `hardware.camera.Stream`. The thread owns the source: a driver that hangs in a read cannot hang the loop."""

    def __init__(self, name: str, source: Source, fit: Fit, *, silence: float, serial: str = "") -> None:
        """Starts reading.

        Args:
            name: of the camera, for what is said of it.
            source: what is read, and closed at the end.
            fit: from its pictures to frames.
            silence: without a new picture for this long the camera counts as gone [s].
            serial: of the device; empty where it has none.
        """
        self.name, self.serial = name, serial
        self._source, self._fit, self._silence = source, fit, silence
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._shot: Shot | None = None
        self._arrived = 0.0
        self._error: str | None = None
        self._ending = False
        self._thread = threading.Thread(target=self._read, name=f"camera-{name}", daemon=True)
        self._thread.start()

    def wait(self, patience: float) -> Reader:
        """Itself, after the first frame. Raises RobotError, closed, where none comes for `patience` [s]."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._error is not None, patience)
            frame, error = self._frame, self._error
        if frame is None:
            self.close()
            raise RobotError(f"camera {self.name!r}: {error or f'sent no frame for {patience:g} s; is another program using it?'}")
        return self

    def latest(self) -> Frame:
        """The newest frame. Raises RobotError where the camera is gone, or silent for too long."""
        return self._check()[0]

    def taken(self) -> Shot:
        """The newest picture as the camera took it: whole, neither turned nor resized. Raises RobotError like `latest`."""
        return self._check()[1]

    def close(self) -> None:
        """Ends the thread, which gives the camera back; waits 2 s at most for a driver that hangs. Idempotent."""
        with self._changed:
            self._ending = True
            self._error = self._error or "closed"
        if threading.current_thread() is not self._thread:
            self._thread.join(2.0)

    def _check(self) -> tuple[Frame, Shot]:
        with self._changed:
            frame, shot, arrived, error = self._frame, self._shot, self._arrived, self._error
        if error is not None:
            raise RobotError(f"camera {self.name!r}: {error}")
        quiet = time.monotonic() - arrived
        if frame is None or shot is None or quiet > self._silence:
            raise RobotError(f"camera {self.name!r} sent no frame for {quiet:.2f} s; look at its cable")
        return frame, shot

    def _read(self) -> None:
        said = "its thread ended"
        try:
            while not self._ending:
                shot = self._source.read()
                if self._shot is not None and shot.number == self._shot.number:
                    continue
                frame = Frame(self._fit.apply(shot.image), shot.time, shot.number)
                with self._changed:
                    self._frame, self._shot, self._arrived = frame, shot, time.monotonic()
                    self._changed.notify_all()
        except Exception as error:  # whatever a driver raises: said by `latest`, in the thread that asks
            said = str(error) if isinstance(error, RobotError) else f"{type(error).__name__}: {error}"
        finally:
            with self._changed:
                self._error = self._error or said
                self._changed.notify_all()
            self._source.close()
