"""Draws that must come to an end: every thread says when it begins one and when it has ended it, and somebody outside looks on.

A draw that hangs cannot be interrupted, it sits in the driver; its process must go. Who looks on: the owner of a worker
(`sim/executor_local.py`), who starts another worker on the other back end; else a sentinel (`sim/sentinel.py`), which ends the process
with a line on stderr and SIGALRM (status 142 in a shell) rather than let it wait for ever.
"""

from __future__ import annotations

import atexit
import ctypes
import itertools
import math
import mmap
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from sim import gl
from sim.sentinel import SLOTS, Counters

DEADLINE = 120.0
"""How long a draw may take [s]. The first of a process takes tenths of a second, since drivers compile shaders, and many times that where
many processes share few cores."""
VARIABLE = "CEZANNE_RENDER_DEADLINE"
_DEATH_OF_PARENT = 1
"""PR_SET_PDEATHSIG of Linux."""


def deadline() -> float:
    """How long a draw may take [s], as the environment says; infinite where it says 0. Raises GLError for what is no time."""
    said = os.environ.get(VARIABLE, "")
    try:
        seconds = float(said or DEADLINE)
    except ValueError:
        seconds = math.nan
    if not (seconds == 0 or seconds >= 0.1):
        raise gl.GLError(f"{VARIABLE}={said}; seconds from 0.1 are needed, or 0 for as long as it takes")
    return seconds or math.inf


class Mark:
    """One thread's counter: draws begun and ended. A context manager, around each draw; costs less than a microsecond."""

    __slots__ = ("_counters", "_slot")

    def __init__(self, counters: Counters, slot: int) -> None:
        self._counters, self._slot = counters, slot

    def __enter__(self) -> None:
        self._counters[self._slot] += 1

    def __exit__(self, *_: object) -> None:
        self._counters[self._slot] += 1


class Marks:
    """The counters of one process, (SLOTS,), in memory that whoever looks on shares."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._free = itertools.count()
        self._threads: dict[int, Mark] = {}

    def of(self, thread: int) -> Mark:
        """A thread's. Beyond SLOTS threads two share one, and what hangs may go unseen."""
        if thread not in self._threads:
            self._threads[thread] = Mark(self._counters, next(self._free) % SLOTS)
        return self._threads[thread]


_processes: dict[int, Marks] = {}
"""This process, and where it was forked those that it comes from: a fork has draws and a sentinel of its own."""


def mark() -> Mark:
    """This thread's. Where no owner looks on, the first call starts a sentinel."""
    process = os.getpid()
    if process not in _processes:
        _processes[process] = _watched(process)
    return _processes[process].of(threading.get_ident())


def owned(counters: Counters) -> None:
    """Says, before anything is drawn, that the owner of this process looks at these counters, (SLOTS,)."""
    _processes[os.getpid()] = Marks(counters)


def end_with_parent() -> None:
    """Has the kernel kill this process when the thread that started it is gone, even where it hangs in a driver. Linux's; else nothing."""
    if hasattr(os, "pidfd_open"):
        ctypes.CDLL(None).prctl(_DEATH_OF_PARENT, signal.SIGKILL)
        if os.getppid() == 1:  # it was gone before
            os._exit(1)


def _watched(process: int) -> Marks:
    seconds = deadline()
    if math.isinf(seconds) or not (hasattr(os, "memfd_create") and hasattr(os, "pidfd_open")):
        return Marks([0] * SLOTS)
    handle = os.memfd_create("cezanne-draws")
    os.ftruncate(handle, 8 * SLOTS)
    counters = (ctypes.c_uint64 * SLOTS).from_buffer(mmap.mmap(handle, 8 * SLOTS))
    backend = os.environ.get("MUJOCO_GL", "").lower()
    other = "osmesa" if backend == "egl" else "egl"
    said = (
        f"cezanne: drawing hangs: {backend} has had {seconds:g} s for one picture, and process {process} is ended; "
        f"try MUJOCO_GL={other}, ask `cezanne doctor`, or allow more with {VARIABLE}=SECONDS (0: for ever)"
    )
    script = str(Path(__file__).with_name("sentinel.py"))
    sentinel = subprocess.Popen(
        [sys.executable, "-ISs", script, str(handle), str(process), str(seconds), said],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(handle,),
    )
    os.close(handle)
    atexit.register(_dismiss, sentinel, process)
    return Marks(counters)


def _dismiss(sentinel: subprocess.Popen[bytes], process: int) -> None:
    """Ends it before this process ends, so that nobody waits for the stderr that it holds open."""
    if os.getpid() == process:
        with suppress(OSError):
            sentinel.kill()
            sentinel.wait()
