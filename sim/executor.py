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


@dataclass(frozen=True)
class Ready:
    """The worker has started and waits for its first item."""


@dataclass(frozen=True)
class Lost:
    """The worker is gone, and what it was doing with it."""

    reason: str


class Executor(Protocol):
    """Runs workers, each of which does one item at a time. Who opened it closes it, and no worker is left."""

    @property
    def size(self) -> int:
        """Workers to have at a time."""
        ...

    def launch(self) -> Hashable:
        """Starts a worker. It says Ready, now or when there is room for it."""
        ...

    def send(self, worker: Hashable, index: int, item: Any) -> None:
        """Gives an item to a worker that is Ready or Done. A worker that has died meanwhile is received as Lost."""
        ...

    def receive(self) -> Sequence[tuple[Hashable, Ready | Done | Lost]]:
        """Waits until at least one worker says something. After Lost a worker is forgotten."""
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
