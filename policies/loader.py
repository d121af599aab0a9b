"""Training batches in the order of their steps, put together ahead of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields, is_dataclass, replace
from itertools import count
from typing import Any

from torch import Tensor

from policies.network import Batch
from policies.sampler import Sampler


def open_loader(
    sampler: Sampler, seed: int, first_step: int, batch: int, workers: int = 0, share: tuple[int, int] = (0, 1), *, pinned: bool = False
) -> Generator[Batch]:
    """The batches of `first_step` and of all steps after it, without an end; close it when done.

    A batch is a function of seed and step alone, so any number of workers gives the same batches, bit for bit, and a run that is
    continued needs nothing but its step.

    Args:
        sampler: what draws them.
        seed: of the run.
        first_step: step of the first batch.
        batch: samples of a step, of all processes together.
        workers: threads that put batches together, up to two batches each ahead of what was asked for; 0: none, each batch is made
            when it is asked for.
        share: rank of this process and their number; each gets its rows of the same batch, one after another.
        pinned: whether in pages that a GPU can read by itself.

    What goes wrong in a worker is raised here, at its step, as it is.
    """

    def draw(step: int) -> Batch:
        drawn = sampler.draw(seed, step, batch, share)
        return _pinned(drawn) if pinned else drawn

    steps = count(first_step)
    if not workers:
        yield from map(draw, steps)
        return
    with ThreadPoolExecutor(workers, "loader") as pool:
        ahead: deque[Future[Batch]] = deque()
        try:
            while True:
                while len(ahead) < 2 * workers:
                    ahead.append(pool.submit(draw, next(steps)))
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _pinned(value: Any) -> Any:
    """The same in pinned memory."""
    if isinstance(value, Tensor):
        return value.pin_memory()
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _pinned(getattr(value, field.name)) for field in fields(value)})
    return value
