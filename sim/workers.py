"""Work shared out to processes, one item at a time, so that a worker that dies takes nothing but its own item with it."""

from __future__ import annotations

import contextlib
import multiprocessing
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from sim import gl

_ATTEMPTS = 2


@dataclass(frozen=True)
class Done:
    """What came of one item."""

    index: int
    value: Any = None
    """What the work returned; None where it failed."""
    error: str = ""
    """Why there is no value: what the work raised, or that the worker died on this item twice."""
    trace: str = ""


def share(start: Callable[[], Callable[[Any], Any]], items: Sequence[Any], workers: int) -> Iterator[Done]:
    """Runs `start()(item)` for every item and yields results as they come.

    Args:
        start: called once in each worker; picklable. What it returns is called with each item.
        items: picklable.
        workers: processes; 0 runs everything in this one.

    What the work raises is that item's result. A worker that dies is replaced and its item tried once more.
    """
    if workers == 0:
        work = start() if items else None
        for index, item in enumerate(items):
            yield _call(work, index, item)
        return
    context = multiprocessing.get_context("spawn")
    todo = deque((index, 1) for index in range(len(items)))
    busy: dict[Connection, tuple[Any, int, int]] = {}  # to its process, item and attempt

    def give(connection: Connection, process: Any) -> None:
        index, attempt = todo.popleft()
        busy[connection] = process, index, attempt
        with contextlib.suppress(OSError):  # it died: reading will tell
            connection.send((index, items[index]))

    def launch() -> None:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(start, theirs), daemon=True)
        with gl.leave_choice_to_children():
            process.start()
        theirs.close()
        give(ours, process)

    try:
        while todo and len(busy) < workers:
            launch()
        while busy:
            for ready in wait(list(busy)):
                assert isinstance(ready, Connection)
                process, index, attempt = busy.pop(ready)
                try:
                    done = ready.recv()
                except (EOFError, OSError):
                    process.join()
                    done = Done(index, error=f"the worker process died {attempt} times (exit code {process.exitcode})")
                    if attempt < _ATTEMPTS:
                        todo.append((index, attempt + 1))
                        done = None
                    if todo:
                        launch()
                else:
                    if todo:
                        give(ready, process)
                    else:
                        ready.close()
                        process.join()
                if done is not None:
                    yield done
    finally:
        for connection, (process, _, _) in busy.items():
            connection.close()
            process.terminate()


def _serve(start: Callable[[], Callable[[Any], Any]], connection: Connection) -> None:
    """A worker: starts at the first item, works until the pipe closes."""
    work = None
    with contextlib.suppress(KeyboardInterrupt, EOFError, BrokenPipeError):
        while True:
            index, item = connection.recv()
            try:
                work = work or start()
            except Exception as error:
                connection.send(Done(index, error=f"{type(error).__name__}: {error}", trace=traceback.format_exc()))
                continue
            connection.send(_call(work, index, item))


def _call(work: Any, index: int, item: Any) -> Done:
    try:
        return Done(index, work(item))
    except Exception as error:
        return Done(index, error=f"{type(error).__name__}: {error}", trace=traceback.format_exc())
