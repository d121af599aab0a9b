"""A request to stop waits until the step that is under way is done, so that what is saved is whole."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Asked:
    """Whether somebody asked; called, it answers."""

    def __init__(self) -> None:
        self._asked = False

    def __call__(self) -> bool:
        return self._asked

    def hear(self, number: int, frame: FrameType | None) -> None:
        """The first request is noted, the second one is not put off."""
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True


@contextmanager
def patient(asked: Asked) -> Iterator[None]:
    """Inside, Ctrl-C and SIGTERM only make the answer true, if they would have raised; other threads than the main one get no signals."""
    before = dict[int, Any]()
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) not in (signal.SIG_DFL, signal.SIG_IGN, None):
                before[number] = signal.signal(number, asked.hear)
    except ValueError:
        pass  # not the main thread
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
