"""Who does what next: items given to the workers of an executor, and again where a worker is lost."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tqdm import tqdm

from sim import gl
from sim.backlog import Backlog
from sim.errors import SceneError
from sim.executor import Done, Executor, Lost, Ready, Said, Stalled
from sim.watchdog import VARIABLE

_ATTEMPTS = 2
_STARTS = 3
"""So many starts in a row for each place may fail before that is taken for the rule."""
_HOPELESS = 2
"""So many stalls in a row for each place, and as many more, are the machine's fault; below that they are the item's."""


@dataclass
class Worker:
    """What is known of one."""

    backend: str
    item: int | None = None
    """What it does, or will do first; None: whatever comes."""
    starting: bool = True


@dataclass
class Dispatch:
    """Gives every item of `items` to a worker of `where` and yields what came of it, once. Items of equal `keys` go to the same worker.

    The item of a worker that died is tried once more, after the others. Where a draw hung, the worker that takes the place of the killed
    one draws with the other back end, and tries the same item first.
    """

    where: Executor
    items: Sequence[Any]
    keys: Sequence[Hashable]
    backend: str
    """What workers draw with."""
    _workers: dict[Hashable, Worker] = field(default_factory=dict)
    _successors: list[Worker] = field(default_factory=list)
    """Of workers that are gone, to be launched."""
    _deaths: Counter[int] = field(default_factory=Counter)
    _stalls: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """The back ends on which an item hung."""
    _stillborn: int = 0
    _in_a_row: int = 0

    def __post_init__(self) -> None:
        self._backlog = Backlog(self.keys)

    def __iter__(self) -> Iterator[Done]:
        """Results as they come. Raises SceneError where no worker starts, or none draws any more."""
        while self._backlog or any(worker.item is not None for worker in [*self._workers.values(), *self._successors]):
            self._launch()
            finished = [done for name, said in self.where.receive() for done in self._hear(name, said)]
            yield from finished

    def _launch(self) -> None:
        """As many as there is room and work for."""
        waiting = [worker for worker in self._workers.values() if worker.starting and worker.item is None]
        free, fresh = self.where.size - len(self._workers), len(self._backlog) - len(waiting)
        while free > 0 and (fresh > 0 or any(worker.item is not None for worker in self._successors)):
            self._successors.sort(key=lambda worker: worker.item is None)  # those that have an item come first
            worker = self._successors.pop(0) if self._successors else Worker(self.backend)
            fresh -= worker.item is None
            free -= 1
            self._workers[self.where.launch(worker.backend)] = worker

    def _hear(self, name: Hashable, said: Said) -> Iterator[Done]:
        worker = self._workers[name]
        if isinstance(said, Ready):
            worker.starting, self._stillborn = False, 0
            self._occupy(name, worker)
        elif isinstance(said, Done):
            self._in_a_row = 0
            drawn_by = "" if worker.backend == self.backend else worker.backend
            last, worker.item = self.keys[said.index], None
            self._occupy(name, worker, last)
            yield replace(said, stalls=self._stalls.get(said.index, ()), drawn_by=drawn_by)
        else:
            del self._workers[name]
            if worker.starting:
                self._count_stillborn(said)
                self._successors.append(worker)
            elif isinstance(said, Lost):
                yield from self._lost(worker, said)
            else:
                yield from self._stalled(worker, said)

    def _occupy(self, name: Hashable, worker: Worker, last: Hashable = None) -> None:
        """Gives a worker its item, or one that suits it, or lets it go."""
        if worker.item is None:
            if not self._backlog:
                del self._workers[name]
                self.where.stop(name)
                return
            busy = {self.keys[other.item] for other in self._workers.values() if other.item is not None}
            worker.item = self._backlog.take(last, busy)
        self.where.send(name, worker.item, self.items[worker.item])

    def _count_stillborn(self, said: Lost | Stalled) -> None:
        self._stillborn += 1
        if self._stillborn == _STARTS * self.where.size:
            why = said.reason if isinstance(said, Lost) else "drawing hangs"
            raise SceneError(f"no worker starts; the last of {self._stillborn} in a row died at once ({why})")

    def _lost(self, worker: Worker, said: Lost) -> Iterator[Done]:
        assert worker.item is not None
        index = worker.item
        self._successors.append(Worker(worker.backend))
        self._deaths[index] += 1
        if self._deaths[index] < _ATTEMPTS:
            self._backlog.put_back(index)
        else:
            error = f"the worker process died {self._deaths[index]} times ({said.reason})"
            yield Done(index, error=error, stalls=self._stalls.get(index, ()))

    def _stalled(self, worker: Worker, said: Stalled) -> Iterator[Done]:
        assert worker.item is not None
        index, backend, other = worker.item, worker.backend, gl.other(worker.backend)
        stalls = self._stalls[index] = (*self._stalls.get(index, ()), backend)
        self._in_a_row += 1
        on, within = " and on ".join(stalls), f"no picture within {said.seconds:g} s"
        if self._in_a_row == _HOPELESS * (self.where.size + 1):
            raise SceneError(
                f"drawing hangs on {on}: {within}, {self._in_a_row} times in a row; `cezanne doctor` says what renders here, "
                f"{VARIABLE}=SECONDS allows more"
            )
        tqdm.write(f"drawing hangs on {backend}: {within}; the worker is replaced by one on {other}", file=sys.stderr)
        again = len(stalls) < _ATTEMPTS
        self._successors.append(Worker(other, index if again else None))
        if not again:
            yield Done(index, error=f"drawing hangs on {on}: {within}", stalls=stalls)
