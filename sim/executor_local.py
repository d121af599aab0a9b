"""Workers that are processes of this machine."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import multiprocessing
import os
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any

from sim import gl, watchdog
from sim.executor import Desk, Lost, Ready, Said, Stalled, Start, failed
from sim.sentinel import GRACE, SLOTS, Watch


@contextmanager
def open_processes(start: Start, workers: int | None) -> Iterator[Processes]:
    """Spawned processes; None: one for each core."""
    processes = Processes(start, os.cpu_count() or 1 if workers is None else workers)
    try:
        yield processes
    finally:
        processes.close()


class Processes:
    """An Executor. A worker is known by our end of the pipe to it; we look at its draws, and kill it when one passes its deadline."""

    def __init__(self, start: Start, size: int, first: int = 0) -> None:
        """first: the number of the first worker; several GPUs are shared out by it."""
        self.size = size
        self._start = start
        self._context = multiprocessing.get_context("spawn")
        self._numbers = itertools.count(first)
        self._deadline = watchdog.deadline()
        self._live: dict[Any, Any] = {}  # Connection to process
        self._watches: dict[Any, Watch] = {}  # Connection to what we see of its draws

    def launch(self, backend: str) -> Hashable:
        ours, theirs = self._context.Pipe()
        marks = self._context.RawArray(ctypes.c_uint64, SLOTS)
        process = self._context.Process(target=_serve, args=(self._start, theirs, marks), daemon=True)
        try:
            with gl.children(backend, next(self._numbers)):
                process.start()
        finally:
            theirs.close()
        self._live[ours] = process
        self._watches[ours] = Watch(marks, self._deadline)
        return ours

    def send(self, worker: Any, index: int, item: Any) -> None:
        with contextlib.suppress(OSError):  # it died: reading will tell
            worker.send((index, item))

    def receive(self) -> list[tuple[Hashable, Said]]:
        said: list[tuple[Hashable, Said]] = []
        while not said:
            period = min(watch.period for watch in self._watches.values())
            for worker in wait(list(self._live), period):
                assert isinstance(worker, Connection)
                try:
                    said.append((worker, worker.recv()))
                except (EOFError, OSError):
                    process = self._forget(worker)
                    process.join()
                    said.append((worker, Lost(f"exit code {process.exitcode}")))
            now = time.monotonic()
            heard = {worker for worker, _ in said}
            for worker, watch in list(self._watches.items()):
                if watch.overdue(now) and worker not in heard:
                    _kill(self._forget(worker))
                    said.append((worker, Stalled(self._deadline)))
        return said

    def stop(self, worker: Any) -> None:
        process = self._forget(worker)
        process.join(GRACE)
        if process.exitcode is None:
            _kill(process)

    def _forget(self, worker: Any) -> Any:
        """Its process."""
        del self._watches[worker]
        worker.close()
        return self._live.pop(worker)

    def close(self) -> None:
        """Ends every process, whatever it is doing."""
        for worker, process in self._live.items():
            worker.close()
            process.terminate()
        for process in self._live.values():
            process.join(GRACE)
            if process.exitcode is None:
                _kill(process)
        self._live.clear()
        self._watches.clear()


def _kill(process: Any) -> None:
    """Ends a process; one that the kernel holds in a driver cannot end, and is not waited for."""
    process.kill()
    process.join(GRACE)


def _serve(start: Start, connection: Connection, marks: Any) -> None:
    """A worker: works until the pipe closes."""
    watchdog.owned(marks)
    desk = Desk(start)
    with contextlib.suppress(KeyboardInterrupt, EOFError, ConnectionError):
        connection.send(Ready())
        while True:
            index, item = connection.recv()
            done = desk(index, item)
            try:
                connection.send(done)
            except OSError:
                raise
            except Exception as error:  # nothing is sent of what cannot be pickled
                connection.send(failed(index, error))
