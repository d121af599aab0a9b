"""The floor: what a judge makes of a robot that does not move."""

from __future__ import annotations

import numpy as np

from eval.references.course import CHUNK
from hardware.api import ActionChunk, Observation


class Nothing:
    """Holds the pose in which it finds the arm and the gripper."""

    execute = CHUNK

    def __init__(self) -> None:
        self._pose: tuple[np.ndarray, np.ndarray] | None = None

    def reset(self, instruction: str) -> None:
        """Starts a new trial: the pose to hold is the next that is seen."""
        self._pose = None

    def predict(self, observation: Observation) -> ActionChunk:
        """The pose of the first observation, again and again."""
        self._pose = self._pose or (observation.qpos, observation.gripper)
        qpos, gripper = self._pose
        return ActionChunk(np.tile(qpos, (CHUNK, 1)), np.tile(gripper, (CHUNK, 1)))
