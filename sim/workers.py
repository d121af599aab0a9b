"""Work shared out to workers, one item at a time, so that a worker that dies takes nothing but its own item with it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sim.backlog import Backlog
from sim.errors import SceneError
from sim.executor import Desk, Done, Executor, Ready, Start
from sim.executor_local import open_processes

__all__ = ["EXECUTORS", "Done", "check_executor", "share"]

EXECUTORS = ("local", "ray")
_ATTEMPTS = 2
_STARTS = 3
"""So many starts in a row for each place may fail before that is taken for the rule."""


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

    What the work raises is that item's result. A worker that dies is replaced and its item tried once more.

    Raises:
        SceneError: no such executor, no such cluster, or no worker starts. What `start` raises is raised where workers=0 runs it here,
            and the result of every item elsewhere.
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
        yield from _dispatch(where, items, keys)


def _open(start: Start, workers: int | None, executor: str, address: str, most: int) -> AbstractContextManager[Executor]:
    if executor == "local":
        return open_processes(start, workers)
    from sim.executor_ray import open_ray

    return open_ray(start, min(workers, most) if workers else None, address)


def _dispatch(where: Executor, items: Sequence[Any], keys: Sequence[Hashable]) -> Iterator[Done]:
    backlog = Backlog(keys)
    starting: set[Hashable] = set()
    busy: dict[Hashable, int] = {}  # worker to the item's index
    deaths: Counter[int] = Counter()
    stillborn = 0

    def occupy(worker: Hashable, last: Hashable = None) -> None:
        if not backlog:
            where.stop(worker)
            return
        index = backlog.take(last, {keys[k] for k in busy.values()})
        busy[worker] = index
        where.send(worker, index, items[index])

    while backlog or busy:
        for _ in range(min(where.size - len(busy), len(backlog)) - len(starting)):
            starting.add(where.launch())
        finished: list[Done] = []
        for worker, said in where.receive():
            if isinstance(said, Ready):
                starting.remove(worker)
                stillborn = 0
                occupy(worker)
            elif isinstance(said, Done):
                finished.append(said)
                occupy(worker, keys[busy.pop(worker)])
            elif worker in starting:
                starting.remove(worker)
                stillborn += 1
                if stillborn == _STARTS * where.size:
                    raise SceneError(f"no worker starts; the last of {stillborn} in a row died at once ({said.reason})")
            else:
                index = busy.pop(worker)
                deaths[index] += 1
                if deaths[index] < _ATTEMPTS:
                    backlog.put_back(index)
                else:
                    finished.append(Done(index, error=f"the worker process died {deaths[index]} times ({said.reason})"))
        yield from finished
