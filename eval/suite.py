"""What a policy is tried on: objects, and where each of them lies at the start."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from assets.graspable import Graspable
from eval.errors import EvalError

GRID = 4
CELLS = GRID * GRID
REACH = 0.10
"""Half the side of the square on the table that the grid divides [m]."""


@dataclass(frozen=True)
class Trial:
    """One attempt: which object, where it lies, how it is turned."""

    object: int
    """Index into the suite's objects."""
    name: str
    """The object's name."""
    pose: int
    """Cell of the start grid, 0 to 15, row by row away from the robot."""
    seed: int
    """Of the rotation; the placement uses `np.random.default_rng(seed)`."""
    axis: str = "none"
    """What is perturbed, by its name in `sim.variation.AXES`; `none`: nothing."""
    strength: float = 0.0
    """How much, 0 to 1."""

    @property
    def key(self) -> tuple[str, int, int, str, float]:
        """Object, pose, seed, axis, strength: what tells one trial of a suite from another."""
        return self.name, self.pose, self.seed, self.axis, self.strength

    @property
    def xy(self) -> np.ndarray:
        """Where it lies, from the middle of the workspace, (2,) [m]."""
        return (np.array(divmod(self.pose, GRID)) + 0.5) * 2 * REACH / GRID - REACH


@dataclass(frozen=True)
class Suite:
    """Objects and trials under one name; the same for every policy."""

    name: str
    objects: tuple[Graspable, ...]
    trials: tuple[Trial, ...]
    source: str = ""
    """What `open_suite` made it from, so that a trial can be replayed; empty: nothing that could be opened again."""

    def __post_init__(self) -> None:
        names = [item.name for item in self.objects]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise EvalError(f"suite {self.name!r} holds two objects of one name: {', '.join(sorted(twice))}")
        if not self.trials:
            raise EvalError(f"suite {self.name!r} is empty: nothing to try")

    def of(self, index: int) -> tuple[Trial, ...]:
        """The trials of one object."""
        return tuple(trial for trial in self.trials if trial.object == index)

    def under(self, axis: str, strength: float) -> Suite:
        """The same trials, on the same seeds, under a perturbation."""
        return replace(self, trials=tuple(replace(trial, axis=axis, strength=strength) for trial in self.trials))


def make_suite(name: str, objects: Sequence[Graspable], *, trials: int, seed: int, limit: int | None = None, source: str = "") -> Suite:
    """Lays every object on `trials` of the 16 cells, taking cells in turn so that a suite covers all of them evenly.

    Args:
        name: of the suite.
        objects: all of the set, in a fixed order.
        trials: per object, 1 to 16.
        seed: decides the rotations.
        limit: keep this many objects, spread over the set; they keep the trials they have in the whole set.
        source: what they were opened from.
    """
    if not 1 <= trials <= CELLS:
        raise EvalError(f"trials={trials}; an object is tried on 1 to {CELLS} start poses")
    if limit is not None and limit < 1:
        raise EvalError(f"limit={limit}; at least one object is tried")
    count = len(objects)
    kept = range(count) if limit is None or limit >= count else [k * count // limit for k in range(limit)]
    rows = []
    for index, original in enumerate(kept):
        item = objects[original]
        for pose in sorted(_ORDER[(original * trials + k) % CELLS] for k in range(trials)):
            rows.append(Trial(index, item.name, pose, trial_seed(seed, item.name, pose)))
    return Suite(name, tuple(objects[k] for k in kept), tuple(rows), source)


def trial_seed(seed: int, name: str, pose: int) -> int:
    """The seed of one trial: depends on nothing but the suite's seed, the object's name and the cell."""
    return int(np.random.SeedSequence([seed, zlib.crc32(name.encode()), pose]).generate_state(1)[0])


_ORDER = tuple(row * GRID + (row + shift) % GRID for shift in range(GRID) for row in range(GRID))
"""Any four in a row, from a multiple of four, hold every row and every column of the grid once."""
