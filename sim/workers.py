"""Work shared out to workers, one item at a time, so that a worker that dies takes nothing but its own item with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Hashable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sim import gl
from sim.dispatch import Dispatch
from sim.errors import SceneError
from sim.executor import Desk, Done, Executor, Start
from sim.executor_local import open_processes

__all__ = ["EXECUTORS", "Done", "check_executor", "share"]

EXECUTORS = ("local", "ray")


def share(
    start: Start,
    items: Sequence[Any],
    workers: int | None,
    *,
    key: Callable[[Any], Hashable] | None = None,
    executor: str = "local",
    address: str = "auto",
) -> Generator[Done, None, None]:
    """Runs `start()(item)` for every item and yields results as they come, one for each item.

    Args:
        start: called once in each worker; picklable. What it returns is called with each item.
        items: picklable.
        workers: local: processes; 0 runs everything in this one, None is one for each core. Ray: actors, 0 or None is one for each CPU.
        key: of an item; a worker is given items of one key after the other where it can be, since what it made for the first (a compiled
            scene, a loaded policy) serves the next. None: items are given out in order.
        executor: `local` or `ray`.
        address: of the Ray cluster, see `sim/executor_ray.py`.

    What the work raises is that item's result. A worker that dies is replaced and its item tried once more; one whose draw passes its
    deadline (`sim/watchdog.py`) is killed and replaced by one that draws with the other back end, which is said on stderr and in the
    results of the items.

    Raises:
        SceneError: no such executor, no such cluster, no worker starts, or nothing is drawn any more. What `start` raises is raised
            where workers=0 runs it here, and the result of every item elsewhere.
    """
    check_executor(executor, address)
    if workers is not None and workers < 0:
        raise SceneError(f"workers={workers} cannot be negative")
    return _share(start, items, workers, key, executor, address)


def check_executor(executor: str, address: str = "auto") -> None:
    """Raises SceneError where there is no such executor, or no cluster can have such an address."""
    if executor not in EXECUTORS:
        raise SceneError(f"unknown executor {executor!r}; known: {', '.join(EXECUTORS)}")
    if address not in ("auto", "local") and not re.fullmatch(r"(ray://)?([\w.-]+|\[[\da-fA-F:]+\]):\d{1,5}", address):
        raise SceneError(f"address={address!r} is no Ray cluster's; auto, local, HOST:PORT or ray://HOST:PORT")


def _share(start: Start, items: Sequence[Any], workers: int | None, key: Any, executor: str, address: str) -> Generator[Done, None, None]:
    if not items:
        return
    if executor == "local" and workers == 0:
        desk = Desk(start)
        desk.work = start()
        for index, item in enumerate(items):
            yield desk(index, item)
        return
    keys = [() if key is None else (key(item),) for item in items]
    with _open(start, workers, executor, address, len(items)) as where:
        yield from Dispatch(where, items, keys, gl.setup() or "")


def _open(start: Start, workers: int | None, executor: str, address: str, most: int) -> AbstractContextManager[Executor]:
    if executor == "local":
        return open_processes(start, workers)
    from sim.executor_ray import open_ray

    return open_ray(start, min(workers, most) if workers else None, address)
