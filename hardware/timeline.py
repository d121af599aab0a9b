"""Chunks of a policy laid out in time: what comes late is cut, seams are blended."""

from __future__ import annotations

from dataclasses import dataclass

from hardware.api import Action, ActionChunk


@dataclass(frozen=True)
class Timeline:
    """What to command when: a value; `merged` returns a new one."""

    chunk: ActionChunk
    start: float
    """When its first action is for: the time of the observation that it answers to [s, monotonic]."""
    dt: float
    """Between its actions [s]."""
    before: Timeline | None = None
    """What was followed until it came; blended out."""
    seam: float = 0.0
    """When it came [s]."""
    blend: float = 0.0
    """How long the seam is [s]."""

    def merged(self, chunk: ActionChunk, start: float, now: float, blend: float) -> Timeline:
        """With a newer chunk from now on: actions for the past are never carried out, and nothing jumps.

        Args:
            chunk: T actions.
            start: the time of the observation that it answers to [s].
            now: the present [s].
            blend: how long to change from the old actions to the new ones [s].
        """
        alike = self.chunk.qpos.shape[1:] == chunk.qpos.shape[1:]  # another number of joints is for the safety filter to refuse
        old = Timeline(self.chunk, self.start, self.dt, None) if alike and self.covers(now) else None
        return Timeline(chunk, start, self.dt, old, now, blend)

    def covers(self, now: float) -> bool:
        """Whether there is an action for this moment."""
        return 0 <= now - self.start < len(self.chunk) * self.dt

    @property
    def end(self) -> float:
        """When its last action has been carried out [s]."""
        return self.start + len(self.chunk) * self.dt

    def at(self, now: float) -> Action | None:
        """What to command at a moment: joints between two actions interpolated, the gripper of the earlier one; None where there is none.

        Raises:
            ActionError: what the policy asked for is not finite.
        """
        if not self.covers(now):
            return None
        place = (now - self.start) / self.dt
        k = int(place)
        here = self.chunk[k]
        qpos, gripper = here.qpos, here.gripper
        if k + 1 < len(self.chunk):
            qpos = qpos + (place - k) * (self.chunk[k + 1].qpos - qpos)
        if self.before is not None and now < self.seam + self.blend and (old := self.before.at(now)) is not None:
            share = (now - self.seam) / self.blend
            qpos = (1 - share) * old.qpos + share * qpos
        return Action(qpos, gripper)
