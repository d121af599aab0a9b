"""Workers that are processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any

from sim import gl
from sim.executor import Desk, Done, Lost, Ready, Start, failed

_GRACE = 5.0
"""How long a process may take to end before it is killed [s]."""


@contextmanager
def open_processes(start: Start, workers: int | None) -> Iterator[Processes]:
    """Spawned processes; None: one for each core."""
    processes = Processes(start, os.cpu_count() or 1 if workers is None else workers)
    try:
        yield processes
    finally:
        processes.close()


class Processes:
    """An Executor. A worker is known by our end of the pipe to it."""

    def __init__(self, start: Start, size: int) -> None:
        self.size = size
        self._start = start
        self._context = multiprocessing.get_context("spawn")
        self._live: dict[Any, Any] = {}  # Connection to process

    def launch(self) -> Hashable:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(self._start, theirs), daemon=True)
        try:
            with gl.leave_choice_to_children():
                process.start()
        finally:
            theirs.close()
        self._live[ours] = process
        return ours

    def send(self, worker: Any, index: int, item: Any) -> None:
        with contextlib.suppress(OSError):  # it died: reading will tell
            worker.send((index, item))

    def receive(self) -> list[tuple[Hashable, Ready | Done | Lost]]:
        said: list[tuple[Hashable, Ready | Done | Lost]] = []
        for worker in wait(list(self._live)):
            assert isinstance(worker, Connection)
            try:
                said.append((worker, worker.recv()))
            except (EOFError, OSError):
                process = self._live.pop(worker)
                worker.close()
                process.join()
                said.append((worker, Lost(f"exit code {process.exitcode}")))
        return said

    def stop(self, worker: Any) -> None:
        process = self._live.pop(worker)
        worker.close()
        process.join()

    def close(self) -> None:
        """Ends every process, whatever it is doing."""
        for worker, process in self._live.items():
            worker.close()
            process.terminate()
        for process in self._live.values():
            process.join(_GRACE)
            if process.exitcode is None:
                process.kill()
                process.join()
        self._live.clear()


def _serve(start: Start, connection: Connection) -> None:
    """A worker: works until the pipe closes."""
    desk = Desk(start)
    with contextlib.suppress(KeyboardInterrupt, EOFError, BrokenPipeError):
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
