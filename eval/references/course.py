"""A path being followed: which commands come next at a given time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hardware.api import ActionChunk

CHUNK = 8
"""Actions that a reference gives at a time, all of which are carried out."""


@dataclass(frozen=True)
class Course:
    """A path and when it began. Time, not the number of calls, says how far it has come, so any share of a chunk may be carried out."""

    targets: np.ndarray
    """Joint targets [rad], then the gripper, one row a control step, (T, n + m)."""
    start: float
    """Time of the observation that the first row answers [s]."""
    dt: float
    """One control step [s]."""
    joints: int
    """n."""

    def step(self, now: float) -> int:
        """Which row answers an observation of time `now` [s]; len(targets) or more once the path has been followed."""
        return round((now - self.start) / self.dt)

    def over(self, now: float) -> bool:
        """Whether the path has been followed to its end."""
        return self.step(now) >= len(self.targets)

    def chunk(self, now: float) -> ActionChunk:
        """The next CHUNK commands; the last of the path again and again after its end."""
        rows = self.targets[np.minimum(self.step(now) + np.arange(CHUNK), len(self.targets) - 1)]
        return ActionChunk(rows[:, : self.joints], rows[:, self.joints :])
