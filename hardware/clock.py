"""Time as an argument: the clock of the machine, and one that tests turn by hand."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol


class Clock(Protocol):
    """Monotonic time [s]; jumps of the wall clock do not reach it."""

    def now(self) -> float:
        """The present [s]."""
        ...

    def sleep_until(self, then: float) -> None:
        """Waits until `then` [s]; returns at once when that is past."""
        ...


class MonotonicClock:
    """The machine's monotonic clock, the same for all its processes."""

    def now(self) -> float:
        """The present [s]."""
        return time.monotonic()

    def sleep_until(self, then: float) -> None:
        """Waits until `then` [s]."""
        wait = then - time.monotonic()
        if wait > 0:
            time.sleep(wait)


@dataclass
class ManualClock:
    """Stands still but when it is told to sleep: a minute of a test takes no time."""

    time: float = field(default=0.0)

    def now(self) -> float:
        """The present [s]."""
        return self.time

    def sleep_until(self, then: float) -> None:
        """Moves the present to `then`."""
        self.time = max(self.time, then)
