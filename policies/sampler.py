"""Batches as a pure function of seed and step, put together without a loop over samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from policies.blend import Blend
from policies.cache import Cache
from policies.config import Actions
from policies.errors import PolicyError
from policies.head import Noise, draw_noise
from policies.jitter import Jitter, draw_jitter
from policies.network import GRASP, Batch
from policies.patches import Patches, places
from policies.recolour import Recolour
from policies.rows import lowest, rows_of
from policies.stats import Stats


@dataclass(frozen=True)
class Sampler:
    """Turns frames of a cache into batches."""

    cache: Cache
    chunk: int
    execute: int
    history: int
    joints: int
    cap: int
    """Most patches of a picture in use; 0 for all."""
    training_cap: int = 0
    """Most patches of a picture in training, drawn anew each time; 0: as in use."""
    proprio_noise: float = 0.0
    colour: bool = False
    plain: bool = True
    """Whether some samples are of one colour, which leaves nothing but the mask to learn from."""
    before_closing: float = 0.0
    recolour: Recolour | None = None
    """A published photometric set; needs a cache of whole pictures."""
    flow: bool = False
    """Whether batches for training carry noise for a flow."""
    blend: Blend | None = None
    """Weights of several data sets; None: every frame is as likely."""

    @cached_property
    def train_frames(self) -> np.ndarray:
        """Frames that training draws from: those whose own answer is an expert's, and not held out."""
        return np.flatnonzero(self._answered & ~self.cache.table.held_out)

    @cached_property
    def held_frames(self) -> np.ndarray:
        """Frames for validation."""
        return np.flatnonzero(self._answered & self.cache.table.held_out)

    @cached_property
    def early_frames(self) -> np.ndarray:
        """Training frames from before a closing."""
        table = self.cache.table
        grip = table.actions[table.frame, self.joints :].mean(1)
        opening = grip > (grip.min() + grip.max()) / 2  # of a hand, some values stay where they are
        return np.flatnonzero(self._answered & ~table.held_out & opening)

    @cached_property
    def _answered(self) -> np.ndarray:
        return self.cache.table.labelled[self.cache.table.frame]

    @cached_property
    def _frame_of(self) -> np.ndarray:
        """Frame of each step, -1 where it is none."""
        lookup = np.full(len(self.cache.table.proprio), -1, np.int64)
        lookup[self.cache.table.frame] = np.arange(len(self.cache.table.frame))
        return lookup

    @cached_property
    def _lengths(self) -> np.ndarray:
        return np.diff(self.cache.offsets)

    @cached_property
    def _alike(self) -> bool:
        """Whether all pictures have as many patches."""
        return bool((self._lengths == self._lengths[0]).all())

    def draw(self, seed: int, step: int, batch: int, share: tuple[int, int] = (0, 1)) -> Batch:
        """The training batch of a step, or the rows of it that rank k of n gets: `share` is (k, n). Raises PolicyError.

        All of what is random is drawn for the whole batch, so that the shares of all ranks, one after another, are that batch.
        """
        rank, ranks = share
        if not 0 <= rank < ranks <= batch:
            raise PolicyError(f"share {rank} of {ranks} of a batch of {batch}: every rank needs a sample or more")
        rng = np.random.default_rng([seed, step])
        return self.gather(self.choose(rng, batch), rng, slice(batch * rank // ranks, batch * (rank + 1) // ranks))

    def choose(self, rng: np.random.Generator, batch: int) -> np.ndarray:
        """Frames to train on, (B,)."""
        anywhere, opening = self.train_frames, self.early_frames
        if self.blend is not None and len(self.blend.names) > 1:  # one set is drawn from as ever
            return self._blended(self.blend, rng, batch)
        frames = anywhere[rng.integers(len(anywhere), size=batch)]
        if len(opening):
            early = opening[rng.integers(len(opening), size=batch)]
            frames = np.where(rng.random(batch) < self.before_closing, early, frames)
        return frames

    def _blended(self, blend: Blend, rng: np.random.Generator, batch: int) -> np.ndarray:
        """Frames of the sets of a mixture (B,), by their weights."""
        anywhere, opening, table = self.train_frames, self.early_frames, self.cache.table
        sets = blend.pick(rng, batch)
        frames = anywhere[blend.draw(table.frame[anywhere], rng, sets)]
        if not len(opening):
            return frames
        early = blend.draw(table.frame[opening], rng, sets)
        return np.where((rng.random(batch) < self.before_closing) & (early >= 0), opening[early], frames)

    def gather(self, frames: np.ndarray, rng: np.random.Generator | None = None, rows: slice | None = None) -> Batch:
        """The batch of some frames (B,), or `rows` of it; with a generator it is augmented, for training."""
        table, total = self.cache.table, len(frames)
        rows = slice(0, total) if rows is None else rows
        now = table.frame[frames]  # (B,) steps
        first = table.first[now]
        asked = first + (now - first) % self.execute  # in use, history is made of the moments at which the policy was asked
        back = self.execute * np.arange(self.history - 1, -1, -1)  # (C,)
        moments = np.maximum(now[:, None] - back, asked[:, None])  # (B, C) steps
        here, now = moments[rows], now[rows]
        proprio = table.proprio[here]  # (B, C, A)
        if rng is not None and self.proprio_noise:
            spread = np.full(proprio.shape[-1], self.proprio_noise, np.float32)
            spread[self.joints :] *= 0.1
            proprio = proprio + rng.standard_normal((total, *proprio.shape[1:]), np.float32)[rows] * spread
        steps = np.minimum(now[:, None] + np.arange(self.chunk), table.last[now][:, None])  # (B, K); after the end, the last target holds
        answered = np.minimum.accumulate(table.labelled[steps], axis=1)  # what follows a sabotage is no answer to what is seen now
        grasp = table.grasp[now]  # (B, 5)
        known = np.asarray(np.isfinite(grasp).all(axis=1))
        patches = self._patches(moments, rows, rng)
        if rng is not None and self.recolour is not None:
            patches = self.recolour(patches, self.history, rng, total, rows)
        each = self.history * self.cache.cameras  # pictures of a sample
        jitter = draw_jitter(rng, total, each, self.plain) if rng is not None and self.colour else None
        noise = draw_noise(rng, total, self.chunk, table.actions.shape[1]) if rng is not None and self.flow else None
        pictures = slice(rows.start * each, rows.stop * each)
        return Batch(
            patches,
            torch.from_numpy(proprio),
            torch.from_numpy(table.actions[steps]),
            torch.from_numpy(answered.astype(np.float32)),
            torch.from_numpy(np.where(known[:, None], grasp, 0.0).astype(np.float32)),
            torch.from_numpy(known),
            None if jitter is None else Jitter(jitter.gain[pictures], jitter.bias[pictures], jitter.order[pictures]),
            None if noise is None else Noise(noise.start[rows], noise.moment[rows]),
        )

    def _patches(self, moments: np.ndarray, samples: slice, rng: np.random.Generator | None) -> Patches:
        """The patches of some samples of a batch with moments (B, C)."""
        cache = self.cache
        whole = (self._frame_of[moments].reshape(-1, 1) * cache.cameras + np.arange(cache.cameras)).reshape(len(moments), -1)  # (B, C * V)
        pictures = whole[samples].ravel()
        lengths = self._lengths[pictures]
        rows = rows_of(cache.offsets[pictures], lengths)  # (N,)
        cap = self.cap if rng is None else self.training_cap or self.cap
        if rng is None:
            priority = places(cache.index[rows]) if cap else None
        else:  # drawn for the whole batch, whether it is needed or not
            ends = np.cumsum(self._lengths[whole].sum(1))  # last patch of each sample, and one
            priority = rng.random(int(ends[-1]))[int(ends[samples.stop - 1]) - len(rows) :][: len(rows)]
        if cap and priority is not None:
            rows, lengths = rows[lowest(lengths, priority, cap)], np.minimum(lengths, cap)
        read = self._read(pictures, rows)
        return Patches(
            torch.from_numpy(read(cache.pixels)),
            torch.from_numpy(read(cache.bits)),
            torch.from_numpy(read(cache.index).astype(np.int64)),
            torch.from_numpy(pictures % cache.cameras),
            torch.from_numpy(lengths),
            torch.from_numpy(cache.silhouette[pictures]),
            None if cache.relief is None else torch.from_numpy(read(cache.relief)),
        )

    def _read(self, pictures: np.ndarray, rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """What takes rows (N,) out of an array of the cache: a picture at a time, where all of each is wanted and all are alike."""
        lengths = self._lengths
        n = int(lengths[0])
        if len(rows) != n * len(pictures) or not self._alike:
            return lambda array: array.take(rows, 0)
        return lambda array: array.reshape(len(lengths), n, *array.shape[1:]).take(pictures, 0).reshape(len(rows), *array.shape[1:])


def measure_stats(sampler: Sampler, actions: Actions) -> Stats:
    """Means and spreads over the training frames, of what the network will see and predict."""
    table, joints = sampler.cache.table, sampler.joints
    now = table.frame[sampler.train_frames]
    proprio = table.proprio[now]  # (F, A)
    width, chunk = proprio.shape[1], sampler.chunk
    mean, std = np.zeros((chunk, width), np.float32), np.zeros((chunk, width), np.float32)
    for k in range(chunk):  # one step of the chunk at a time, to stay small
        steps = np.minimum(now + k, table.last[now])
        wanted = table.actions[steps] - (proprio * (np.arange(width) < joints) if actions is Actions.relative else 0.0)
        wanted = wanted[table.labelled[steps]]
        mean[k], std[k] = wanted.mean(0), wanted.std(0)
    mean[:, joints:], std[:, joints:] = 0.5, 0.5
    std[:, :joints] += 0.002  # a joint that hardly moves is not to be blown up
    grasp = table.grasp[now]
    grasp = grasp[np.isfinite(grasp).all(1)]
    known = len(grasp) > 0
    return Stats(
        proprio_mean=proprio.mean(0),
        proprio_std=proprio.std(0) + np.float32(0.001),
        action_mean=mean,
        action_std=std,
        grasp_mean=grasp.mean(0) if known else np.zeros(GRASP, np.float32),
        grasp_std=grasp.std(0) + np.float32(0.001) if known else np.ones(GRASP, np.float32),
    )
