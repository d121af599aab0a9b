"""Temporal ensembling: what is done next is a mean over the chunks that foresaw this moment (Zhao et al. 2023, ACT)."""

from __future__ import annotations

from collections import deque

import numpy as np

from hardware.api import ActionChunk, Observation, Policy


class Ensemble:
    """A policy around a policy. Pays off where chunks overlap: `execute` well below their length.

    Where ACT gives the oldest chunk the most weight, here a chunk's weight halves with every `half_life` steps of its age, so that a very
    short one is the newest chunk alone and a very long one the plain mean.

    Args:
        policy: is asked as ever; its chunks are kept while they reach into the present.
        half_life: [control steps], above 0.
        dt: one control step [s].
    """

    def __init__(self, policy: Policy, half_life: float, dt: float) -> None:
        if not (half_life > 0 and dt > 0):
            raise ValueError(f"half_life={half_life} steps, dt={dt} s; both are above 0")
        self.policy, self.half_life, self.dt = policy, half_life, dt
        self._past: deque[tuple[float, ActionChunk]] = deque()

    def reset(self, instruction: str) -> None:
        """Forgets the past."""
        self._past.clear()
        self.policy.reset(instruction)

    def predict(self, observation: Observation) -> ActionChunk:
        """As many actions as the policy gives; those that nothing else foresaw are its own."""
        now, newest = observation.time, self.policy.predict(observation)
        while self._past and round((now - self._past[0][0]) / self.dt) >= len(self._past[0][1]):
            self._past.popleft()
        self._past.append((now, newest))
        qpos, gripper, total = np.zeros_like(newest.qpos), np.zeros_like(newest.gripper), np.zeros((len(newest), 1))
        for then, chunk in self._past:
            age = round((now - then) / self.dt)
            n = max(0, min(len(chunk) - age, len(newest)))
            weight = 0.5 ** (age / self.half_life)
            qpos[:n] += weight * chunk.qpos[age : age + n]
            gripper[:n] += weight * chunk.gripper[age : age + n]
            total[:n] += weight
        return ActionChunk(qpos / total, gripper / total)
