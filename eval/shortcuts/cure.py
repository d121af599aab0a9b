"""What mends a cell's data: the augmentations of `augment/`, from each island's cameras to the other's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import numpy as np

from augment.augmentation import Augmentation
from augment.viewpoint import ViewpointConfig, open_viewpoint
from augment.world import World
from episodes import Episode
from eval.errors import EvalError
from eval.shortcuts.cell import Cell
from eval.shortcuts.footage import cameras, contract, scene
from eval.shortcuts.island import BLUE, RED
from sim.rerender import Redrawer
from sim.simrobot import SimRobot

Cure = Callable[[Episode, np.random.Generator], Episode]
"""May raise AugmentError for an episode that it cannot mend."""


@contextmanager
def open_cure(cell: Cell, size: int) -> Iterator[Cure]:
    """The cure of a cell, for pictures of `size` px: an episode in, another one out. Raises EvalError for one that is not there."""
    with ExitStack() as stack:
        world = stack.enter_context(World(contract(cell, size), objects=(RED, BLUE)))
        match cell.cure:
            case "viewpoint":
                yield _redrawn(cell, size, stack)
            case "viewpoint, warped":
                yield _by_island(_warps(cell, world, "depth"))
            case "viewpoint, plane":
                yield _by_island(_warps(cell, world, "plane"))
            case _:
                raise EvalError(f"no cure {cell.cure!r}")


def _redrawn(cell: Cell, size: int, stack: ExitStack) -> Cure:
    """Every demonstration drawn again from the camera angles of the other island, whatever else lies on the table."""
    redraw = [Redrawer(stack.enter_context(SimRobot(scene(tasks[0], cell.named, cameras(cell, 0.0), size)))) for tasks in cell.islands]

    def cure(episode: Episode, rng: np.random.Generator) -> Episode:
        number = int(episode.provenance["island"])
        there = cell.islands[1 - number]
        task = there[int(rng.integers(len(there)))]
        return redraw[number](episode, cameras(cell, float(rng.uniform(task.low, task.high))))

    return cure


def _warps(cell: Cell, world: World, method: str) -> list[Augmentation]:
    """For islands of one camera angle each: the turn that leads to the other's."""
    (a, *_), (b, *_) = cell.islands
    turns = (b.edge - a.edge, a.edge - b.edge)
    return [open_viewpoint(ViewpointConfig(low=turn, high=turn, method=method), world) for turn in turns]


def _by_island(augmentations: list[Augmentation]) -> Cure:
    return lambda episode, rng: augmentations[int(episode.provenance["island"])](episode, rng)
