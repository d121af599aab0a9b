"""Work whose pictures hang, as in a driver that waits for its GPU."""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
from worker_jobs import lines, note

from assets.toys import ToySet
from sim.scene import SceneConfig
from sim.simrobot import SimRobot


@dataclass(frozen=True)
class Painting:
    """Starts work that draws toys. What `hangs` names hangs in the driver when it is drawn for the first time, or whenever it is."""

    folder: Path
    hangs: frozenset[tuple[int, str]]
    """Toys, and the back ends on which they hang."""
    always: bool = False

    def __call__(self) -> Callable[[int], tuple[str, str]]:
        real = mujoco.mjr_render

        def work(seed: int) -> tuple[str, str]:
            backend = os.environ["MUJOCO_GL"]
            note(self.folder / "begun", f"{seed} {backend}")
            again = lines(self.folder / "begun").count(f"{seed} {backend}") > 1
            draw = hang if (seed, backend) in self.hangs and (self.always or not again) else real
            setattr(mujoco, "mjr_render", draw)  # noqa: B010
            with SimRobot(SceneConfig(ToySet.sample(seed, 1).toys[0], size=32)) as robot:
                told = hashlib.sha256(robot.picture("side").tobytes() + robot.mask("side").tobytes()).hexdigest()
            note(self.folder / "ended", f"{seed} {backend}")
            return told, backend

        return work


def hang(*_: object) -> None:
    """As a driver does that waits for its GPU: in C, and nothing else of the process runs."""
    ctypes.PyDLL(None).sleep(1000)


def hang_once(folder: Path, backend: str) -> None:
    """The first picture that any process draws with this back end from now on hangs."""
    real = mujoco.mjr_render

    def draw(*arguments: Any) -> None:
        if os.environ["MUJOCO_GL"] == backend:
            try:
                (folder / "has-hung").touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                hang()
        real(*arguments)

    setattr(mujoco, "mjr_render", draw)  # noqa: B010
