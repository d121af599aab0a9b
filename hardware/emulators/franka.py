"""A Franka arm without the arm: franky-sim speaks the real protocol in a process of its own; a scene sees joints and fingers in memory.

    with FrankaSim() as sim:
        link = Franka(address=sim.address, realtime="ignore").connect()
        sim.qpos(), sim.gripper()      # at any rate, from any process: FrankaMemory(sim.path)
        sim.block(0.4)                 # an object holds the fingers apart; sim.drive() is where they press to

`python -m hardware.emulators.franka` runs one until Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from hardware.api import RobotError
from hardware.emulators.franka_memory import FrankaMemory
from hardware.emulators.franka_server import serve
from hardware.model import load_arm

ROOT = Path(__file__).resolve().parents[2]
JOINT_REFLEX = 6
"""Of the protocol's numbered errors, the one of a collision."""
START = 30.0
"""Longest that a start may take [s]; two are normal."""
STOP = 2.0
"""Longest that an end may take before the process is killed [s]."""


@dataclass
class FrankaSim:
    """An emulated arm with its hand. It runs from `start` to `stop`, to the end of its block or of the process that started it."""

    qpos_start: tuple[float, ...] | None = None
    """Where the joints begin, (7,) [rad]; the arm's home by default."""
    address: str = ""
    """Of the loopback network; empty: a free one. The protocol's ports are fixed, so every emulated arm needs its own address."""
    _process: subprocess.Popen[str] | None = field(default=None, init=False, repr=False)
    _memory: FrankaMemory | None = field(default=None, init=False, repr=False)

    def start(self) -> Self:
        """Waits until it answers. Raises RobotError."""
        if self._process is not None:
            return self
        folder = Path(tempfile.mkdtemp(prefix="franka-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self._memory = FrankaMemory(folder / "memory", create=True)
        command = [sys.executable, "-m", "hardware.emulators.franka", f"--memory={folder / 'memory'}", f"--parent={os.getpid()}"]
        if self.address:
            command.append(f"--address={self.address}")
        if self.qpos_start is not None:
            command.append("--qpos=" + " ".join(map(str, self.qpos_start)))
        with (folder / "errors").open("w") as errors:
            paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
            environment = {**os.environ, "PYTHONPATH": paths}
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        try:
            self.address = self._ready(folder / "errors")
        except BaseException:
            self.stop()
            raise
        return self

    def _ready(self, errors: Path) -> str:
        out = self._running().stdout
        readable = out is not None and select.select([out], [], [], START)[0]
        words = out.readline().split() if out is not None and readable else []
        if len(words) != 2:
            said = errors.read_text().strip().splitlines()
            raise RobotError(f"the emulated Franka did not start: {said[-1] if said else f'nothing heard for {START:.0f} s'}")
        return words[1]

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RobotError("the emulated Franka does not run; call start()")
        return self._process

    @property
    def memory(self) -> FrankaMemory:
        """What it shares with the scene. Raises RobotError before the start."""
        if self._memory is None:
            raise RobotError("the emulated Franka does not run; call start()")
        return self._memory

    @property
    def path(self) -> Path:
        """Of the shared memory, for `FrankaMemory(path)` in another process."""
        return self.memory.path

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._running().pid

    def qpos(self) -> np.ndarray:
        """Joint positions now, (7,) [rad]."""
        return self.memory.qpos()

    def gripper(self) -> float:
        """Opening of the fingers now, 0 closed to 1 open."""
        return self.memory.gripper()

    def drive(self) -> float:
        """Where the hand drives its fingers, 0 closed to 1 open; see `FrankaMemory.drive`."""
        return self.memory.drive()

    def elapsed(self) -> float:
        """The arm's own time [s]; behind the clock's where machine or client are too slow."""
        return self.memory.elapsed()

    def block(self, opening: float | None) -> None:
        """An object holds the fingers apart at this opening, [0, 1]; None: nothing does. Fingers that are closer are pushed back to it."""
        self.memory.block(opening)

    def push(self, torques: np.ndarray | None) -> None:
        """Contacts act on the joints, (7,) [N m], until this is called again; None: nothing does."""
        self.memory.push(torques)

    def reflex(self) -> None:
        """A collision is detected: motion is aborted, and refused until the client recovers from the error."""
        self.memory.fail(JOINT_REFLEX)

    def stop(self) -> None:
        """Ends the process; idempotent."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        memory, self._memory = self._memory, None
        if memory is not None:
            shutil.rmtree(memory.path.parent, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _free(seed: int) -> list[str]:
    """Loopback addresses to try, other ones for other processes."""
    return [f"127.{64 + n % 64}.{n // 64 % 256}.{1 + n // 16384 % 250}" for n in range(seed * 61, seed * 61 + 61)]


def main() -> None:
    """Runs one arm until Ctrl-C or until its parent is gone."""
    parser = argparse.ArgumentParser(prog="python -m hardware.emulators.franka", description="An emulated Franka arm on the real protocol.")
    parser.add_argument("--address", default="", help="of the loopback network; a free one by default")
    parser.add_argument("--qpos", default="", help="where the joints begin: seven numbers [rad]")
    parser.add_argument("--memory", default="", help="file shared with a scene, which must exist; by default nobody looks")
    parser.add_argument("--parent", type=int, default=0, help="process with which to end")
    given = parser.parse_args()
    arm = load_arm("panda")
    qpos = np.array(given.qpos.split() or arm.home, float)
    addresses = [given.address] if given.address else _free(os.getpid())
    with contextlib.ExitStack() as stack:
        path = Path(given.memory) if given.memory else Path(stack.enter_context(tempfile.TemporaryDirectory())) / "memory"
        memory = FrankaMemory(path, create=not given.memory)
        with contextlib.suppress(KeyboardInterrupt):
            serve(addresses, memory, qpos, arm.lower, arm.upper, given.parent)
            shutil.rmtree(path.parent, ignore_errors=True)  # the parent is gone, and cannot


if __name__ == "__main__":
    main()
