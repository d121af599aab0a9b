"""Work that travels as bytes, into a process that belongs to an actor of a cluster."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sim import watchdog


@dataclass(frozen=True)
class Packed:
    """A `Start` as an actor was sent it. What it starts takes items and gives results as bytes too.

    The bytes come from the driver of this run, never from a file. They are cloudpickle's, which pickle reads; of what was defined in a
    script they name Ray, which is imported then, and only then.
    """

    start: bytes

    def __call__(self) -> Callable[[bytes], bytes]:
        """Starts the work, and sees to it that this process ends with the actor, however that ends."""
        watchdog.end_with_parent()
        work = pickle.loads(self.start)()
        return lambda item: _packed(work(pickle.loads(item)))


def _packed(value: Any) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception:
        from ray import cloudpickle  # pyright: ignore[reportMissingImports]

        return cloudpickle.dumps(value)
