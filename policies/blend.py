"""Several data sets in one training, drawn from at frame level by their weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from policies.errors import PolicyError


@dataclass(frozen=True, eq=False)
class Blend:
    """S data sets that lie one after another in a table of steps."""

    names: tuple[str, ...]
    probability: np.ndarray
    """Of drawing from each, (S,); sums to 1."""
    ends: np.ndarray
    """The step after the last of each, (S,) i64."""

    def __post_init__(self) -> None:
        if not (self.probability >= 0).all() or abs(self.probability.sum() - 1) > 1e-9:
            raise PolicyError(f"weights of a mixture sum to 1 and are not negative, got {self.probability.tolist()}")

    def draw(self, steps: np.ndarray, rng: np.random.Generator, sets: np.ndarray) -> np.ndarray:
        """One of some frames for each of `sets` (B,), evenly within its set: places in `steps`, -1 where a set has none.

        steps: the step of each frame that may be drawn, ascending, (F,).
        """
        last = np.searchsorted(steps, self.ends)  # (S,)
        first = np.concatenate([[0], last[:-1]])
        count = (last - first)[sets]
        place = first[sets] + (rng.random(len(sets)) * count).astype(np.int64)
        return np.where(count > 0, place, -1)

    def pick(self, rng: np.random.Generator, batch: int) -> np.ndarray:
        """The set of each sample of a batch, (B,)."""
        return rng.choice(len(self.names), size=batch, p=self.probability)

    def owner(self, steps: np.ndarray) -> np.ndarray:
        """The set of each step, (n,)."""
        return np.searchsorted(self.ends, steps, side="right")

    def check(self, steps: np.ndarray) -> None:
        """Raises PolicyError where a set that is to be drawn from has none of the frames that may be drawn, at `steps` (F,)."""
        there = np.bincount(self.owner(steps), minlength=len(self.names))
        for name, share, frames in zip(self.names, self.probability, there, strict=True):
            if share > 0 and not frames:
                raise PolicyError(f"{name} of the mixture has no labelled step to train on")
