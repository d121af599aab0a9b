"""The scene as the world of an emulated Franka: its arm goes where the emulator's goes, and what the fingers and links touch acts back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hardware.emulators.franka_memory import FrankaMemory


@dataclass
class FrankaLeader:
    """Implements `sim.live.Leader`; is sent to the world's process, and opens the memory there."""

    path: Path
    """Of the memory that the emulator shares."""
    _memory: FrankaMemory | None = field(default=None, init=False)

    def pose(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Where the emulated arm is, and how far its hand would close if nothing were between the fingers: the scene's fingers press."""
        memory = self._open()
        return memory.qpos(), memory.qvel(), memory.drive()

    def block(self, opening: float | None) -> None:
        """Something between the fingers keeps them apart."""
        self._open().block(opening)

    def _open(self) -> FrankaMemory:
        if self._memory is None:
            self._memory = FrankaMemory(self.path)
        return self._memory
