"""Looks at a process from outside and ends it when one of its draws hangs. `sim/watchdog.py` runs it; the standard library alone.

    python -ISs sentinel.py FD PID DEADLINE SAID

A thread of the process itself would not do: MuJoCo holds the interpreter's lock while it makes a context and uploads a model, and a
driver that hangs there holds it for ever.
"""

from __future__ import annotations

import mmap
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

SLOTS = 64
"""Threads of a process that are told apart."""
GRACE = 5.0
"""How long an ended process may take to be gone [s]."""


class Counters(Protocol):
    """Numbers in memory that processes share."""

    def __getitem__(self, slot: int, /) -> int: ...
    def __setitem__(self, slot: int, value: int, /) -> None: ...
    def __iter__(self) -> Iterator[int]: ...


class Watch:
    """Looks at the counters of one process now and then: an odd one is a thread's that draws.

    Only time that passed while somebody looked counts, so that a machine that slept, and a run that was stopped with Ctrl-Z and goes on,
    have no draw that took hours.
    """

    def __init__(self, counters: Counters, deadline: float) -> None:
        """`deadline`: how long a draw may take [s]."""
        self._counters, self._deadline = counters, deadline
        self._seen = [0] * SLOTS
        self._spent = [0.0] * SLOTS
        self._looked: float | None = None

    @property
    def period(self) -> float:
        """How often to look [s]."""
        return min(1.0, self._deadline / 8)

    def overdue(self, now: float) -> bool:
        """Whether a draw has passed its deadline; `now` [s, monotonic]."""
        passed = 0.0 if self._looked is None else min(now - self._looked, 2 * self.period)
        self._looked = now
        late = False
        for k, count in enumerate(self._counters):
            self._spent[k] = self._spent[k] + passed if count % 2 and count == self._seen[k] else 0.0
            self._seen[k] = count
            late |= self._spent[k] >= self._deadline
        return late


def main(handle: int, process: int, deadline: float, said: str) -> None:
    """Watches until the process is gone or must go."""
    for name in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)  # Ctrl-C is meant for the process; this one leaves when that has
    memory = mmap.mmap(handle, 8 * SLOTS, prot=mmap.PROT_READ)  # for as long as this process lives
    with suppress(ProcessLookupError):
        watch = Watch(memoryview(memory).cast("Q"), deadline)
        there = os.pidfd_open(process)
        while os.getppid() == process and not select.select([there], [], [], watch.period)[0]:
            if not _stopped(process) and watch.overdue(time.monotonic()):
                print(said, file=sys.stderr, flush=True)
                signal.pidfd_send_signal(there, signal.SIGALRM)
                if not select.select([there], [], [], GRACE)[0]:
                    signal.pidfd_send_signal(there, signal.SIGKILL)
                os._exit(0)


def _stopped(process: int) -> bool:
    """Whether somebody has stopped it, or looks at it with a debugger."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
    except OSError:
        return False


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
