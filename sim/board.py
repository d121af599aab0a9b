"""Arrays that one process writes and another reads, without locks: a reader never sees half of a write."""

from __future__ import annotations

import time
from collections.abc import Mapping
from multiprocessing.context import SpawnContext
from typing import Any

import numpy as np

Fields = Mapping[str, tuple[tuple[int, ...], str]]
"""Shape and dtype of each array by name."""
_ALIGN = 16
_TRIES = 1000


class Board:
    """Made by the parent, given to a spawned child as an argument. One writer; a counter that is odd during a write (a seqlock)."""

    def __init__(self, context: SpawnContext, fields: Fields) -> None:
        self._fields = dict(fields)
        size = _ALIGN + sum(_room(shape, dtype) for shape, dtype in self._fields.values())
        self._memory = context.RawArray("B", size)
        self._open()

    def _open(self) -> None:
        raw = np.frombuffer(self._memory, np.uint8)  # pyright: ignore[reportCallIssue, reportArgumentType]
        self._count = raw[:8].view(np.int64)
        self._arrays: dict[str, np.ndarray] = {}
        at = _ALIGN
        for name, (shape, dtype) in self._fields.items():
            size = int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize
            self._arrays[name] = raw[at : at + size].view(dtype).reshape(shape)
            at += _room(shape, dtype)

    def __getstate__(self) -> dict[str, Any]:
        return {"_fields": self._fields, "_memory": self._memory}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def write(self, **values: np.ndarray | float) -> None:
        """Replaces these arrays; the others stay."""
        self._count[0] += 1
        for name, value in values.items():
            self._arrays[name][...] = value
        self._count[0] += 1

    def read(self) -> dict[str, np.ndarray]:
        """Copies of all arrays of one moment. Raises TimeoutError where a writer died in the middle of a write."""
        for _ in range(_TRIES):
            before = int(self._count[0])
            if before % 2 == 0:
                copies = {name: array.copy() for name, array in self._arrays.items()}
                if int(self._count[0]) == before:
                    return copies
            time.sleep(1e-4)
        raise TimeoutError("a board is written to without end")

    @property
    def writes(self) -> int:
        """Finished so far."""
        return int(self._count[0]) // 2


def _room(shape: tuple[int, ...], dtype: str) -> int:
    size = int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize
    return -(-size // _ALIGN) * _ALIGN
