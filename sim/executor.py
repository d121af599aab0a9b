"""Where workers run: `sim/workers.py` shares work out over any `Executor`, local processes or a Ray cluster."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Start = Callable[[], Callable[[Any], Any]]
"""Called once in each worker; what it returns is called with each item."""


@dataclass(frozen=True)
class Done:
    """What came of one item."""

    index: int
    value: Any = None
    """What the work returned; None where it failed."""
    error: str = ""
    """Why there is no value: what the work raised, or that the worker died on this item twice."""
    trace: str = ""
    stalls: tuple[str, ...] = ()
    """Back ends on which a draw of this item passed its deadline, one for each worker that was killed for it."""
    drawn_by: str = ""
    """The back end of the worker that did it, where that is not the run's: it took the place of one that was killed."""


@dataclass(frozen=True)
class Ready:
    """The worker has started and waits for its first item."""


@dataclass(frozen=True)
class Lost:
    """The worker is gone, and what it was doing with it."""

    reason: str


@dataclass(frozen=True)
class Stalled:
    """A draw of the worker passed its deadline, and it was killed."""

    seconds: float
    """The deadline [s]."""


Said = Ready | Done | Lost | Stalled


class Executor(Protocol):
    """Runs workers, each of which does one item at a time. Who opened it closes it, and no worker is left."""

    @property
    def size(self) -> int:
        """Workers to have at a time."""
        ...

    def launch(self, backend: str) -> Hashable:
        """Starts a worker that draws with a back end. It says Ready, now or when there is room for it."""
        ...

    def send(self, worker: Hashable, index: int, item: Any) -> None:
        """Gives an item to a worker that is Ready or Done. A worker that has died meanwhile is received as Lost."""
        ...

    def receive(self) -> Sequence[tuple[Hashable, Said]]:
        """Waits until at least one worker says something, or must be killed. After Lost or Stalled a worker is forgotten."""
        ...

    def stop(self, worker: Hashable) -> None:
        """Lets a worker that is Ready or Done go."""
        ...


@dataclass
class Desk:
    """What a worker does, wherever it runs: starts at the first item, and again at the next where starting failed."""

    start: Start
    work: Callable[[Any], Any] | None = field(default=None, init=False)

    def __call__(self, index: int, item: Any) -> Done:
        """Does one item; what that raises is its result."""
        try:
            if self.work is None:
                self.work = self.start()
            return Done(index, self.work(item))
        except Exception as error:
            return failed(index, error)


def failed(index: int, error: Exception) -> Done:
    """An item without a value."""
    return Done(index, error=f"{type(error).__name__}: {error}", trace="".join(traceback.format_exception(error)))
