"""How much memory this process and its children take."""

from __future__ import annotations

import threading
from contextlib import suppress
from types import TracebackType

import psutil


class Peak:
    """Watches, twice a second, from `with` to its end. Shared pages count for each process: the figure is an upper bound."""

    def __init__(self) -> None:
        self.bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while True:
            total = 0
            for process in [me, *me.children(recursive=True)]:
                with suppress(psutil.Error):
                    total += process.memory_info().rss
            self.bytes = max(self.bytes, total)
            if self._stop.wait(0.5):
                return
