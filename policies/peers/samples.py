"""What a step of training is given: observations and the actions that answer them, from a LeRobotDataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from policies.errors import PolicyError
from policies.peers.exported import columns
from policies.peers.kind import ACTION, PICTURE, STATE, deltas_of


class Samples(Dataset[dict[str, Tensor]]):
    """One sample for every frame; pictures are decoded when they are asked for.

    LeRobotDataset's own `delta_timestamps` mean the same, but decode the pictures of every step of a chunk; here only those looked at.

    Args:
        exported: a LeRobotDataset of PNGs.
        config: of LeRobot's policy.
        execute: control steps between observations.
    """

    def __init__(self, exported: Any, config: Any, execute: int) -> None:
        self._exported, self._pictures = exported, [name for name in config.input_features if name.startswith(PICTURE)]
        self._seen, self._done = (np.array(steps) for steps in deltas_of(config, execute))
        self._history = config.type != "act"
        self._actions, self._labelled, episode = columns(exported)
        edges = np.flatnonzero(np.diff(episode, prepend=-1))
        ends = np.append(edges[1:], len(episode))
        lengths = ends - edges
        self._first, self._last = np.repeat(edges, lengths), np.repeat(ends - 1, lengths)
        usable = self._labelled & (np.arange(len(episode)) + getattr(config, "drop_n_last_frames", 0) <= self._last)
        self.frames = np.flatnonzero(usable)
        """Those to train on: an expert's answer, and not among the last that the policy leaves out (its `drop_n_last_frames`)."""
        if not len(self.frames):
            raise PolicyError("the data set holds no labelled step to train on")

    def __len__(self) -> int:
        return len(self._actions)

    def __getitem__(self, frame: int) -> dict[str, Tensor]:
        """Observations of one frame, (C, ...) where the policy has a history of C, and actions (K, A) with `action_is_pad` (K,)."""
        first, last = int(self._first[frame]), int(self._last[frame])
        rows = [self._exported[int(row)] for row in np.clip(frame + self._seen, first, last)]
        found = {name: torch.stack([row[name] for row in rows]) for name in (STATE, *self._pictures)}
        if not self._history:
            found = {name: value[0] for name, value in found.items()}
        steps = frame + self._done
        there = np.clip(steps, first, last)
        answered = self._labelled[there]
        ahead = self._done >= 0
        answered[ahead] = np.minimum.accumulate(answered[ahead])  # what follows a sabotage is no answer to what is seen now
        pad = (steps != there) | ~answered
        return found | {ACTION: torch.from_numpy(self._actions[there]), "action_is_pad": torch.from_numpy(pad)}


class Batches:
    """The frames of each step: every frame once an epoch, in an order that the seed and the epoch decide; any step can be the first."""

    def __init__(self, frames: Sequence[int] | np.ndarray, batch: int, seed: int, first: int, steps: int) -> None:
        self._frames, self._batch, self._seed, self._steps = np.asarray(frames), batch, seed, range(first, steps)

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[list[int]]:
        n, at, order = len(self._frames), -1, np.zeros(0, np.int64)
        for step in self._steps:
            chosen = []
            for place in range(step * self._batch, (step + 1) * self._batch):
                if place // n != at:
                    at = place // n
                    order = np.random.default_rng([self._seed, at]).permutation(n)
                chosen.append(int(self._frames[order[place % n]]))
            yield chosen
