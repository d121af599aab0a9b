"""Work that dies, hangs, fails or remembers, for the tests of workers of any kind."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Item:
    """Something to do."""

    name: str
    group: str = ""
    deaths: int = 0
    """So many workers die of it."""


@dataclass(frozen=True)
class Log:
    """Starts work that notes in a folder who did what when. No item ends while the folder has a file `hold`."""

    folder: Path
    pause: float = 0.0
    """How long an item takes [s]."""
    company: int = 1
    """The first items wait until so many processes have begun."""

    def __call__(self) -> Log.Work:
        return Log.Work(self)

    @dataclass
    class Work:
        log: Log
        begun: int = field(default=0, init=False)

        def __call__(self, item: Item) -> str:
            self.begun += 1
            note(self.log.folder / "begun", f"{item.name} {os.getpid()} {self.begun}")
            if [name for name, _ in begun(self.log.folder)].count(item.name) <= item.deaths:
                os._exit(3)
            deadline = time.monotonic() + 120
            while len({process for _, process in begun(self.log.folder)}) < self.log.company and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(self.log.pause)
            while (self.log.folder / "hold").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            note(self.log.folder / "ended", f"{item.name} {os.getpid()} {self.begun}")
            return item.name.upper()


def note(path: Path, line: str) -> None:
    """Appends a line, whole even where many write."""
    with path.open("a") as file:
        file.write(line + "\n")


def lines(path: Path) -> list[str]:
    """What was noted."""
    return path.read_text().splitlines()


def begun(folder: Path) -> list[tuple[str, str]]:
    """Item and process, as they began."""
    return [(line.split()[0], line.split()[1]) for line in lines(folder / "begun")]


def draw() -> Callable[[int], np.ndarray]:
    """Work whose result is a function of the item alone."""
    return lambda seed: np.random.default_rng(seed).normal(size=(3, seed % 5))


def refuses() -> Callable[[int], int]:
    """Cannot start."""
    raise ValueError("no policy here")


def picky() -> Callable[[int], object]:
    """Raises for 1, gives what cannot be pickled for 2, leaves for 3."""

    def work(item: int) -> object:
        if item == 1:
            raise KeyError("one")
        if item == 3:
            raise SystemExit(5)
        return (k for k in range(2)) if item == 2 else item

    return work


class Unloadable:
    """Work that cannot arrive."""

    def __reduce__(self) -> tuple:
        return fall, ()

    def __call__(self) -> Callable[[int], int]:
        return abs


def fall() -> None:
    """What happens on arrival."""
    raise ImportError("no such module here")
