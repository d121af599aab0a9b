"""What mends a cell's data: augmentations of `augment/`, one line each, and the exact view from the other island."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import numpy as np

from episodes import Episode
from eval.errors import EvalError
from eval.shortcuts.cell import Cell
from eval.shortcuts.footage import cameras, scene
from sim.rerender import Redrawer
from sim.simrobot import SimRobot

Cure = Callable[[Episode, np.random.Generator], Episode]


@contextmanager
def open_cure(cell: Cell, size: int) -> Iterator[Cure]:
    """The cure of a cell, for pictures of `size` px: an episode in, another one out. Raises EvalError for one that is not there."""
    with ExitStack() as stack:
        if cell.cure == "viewpoint":
            yield _viewpoint(cell, size, stack)
        else:
            raise EvalError(f"no cure {cell.cure!r}")


def _viewpoint(cell: Cell, size: int, stack: ExitStack) -> Cure:
    """Every demonstration drawn again from the camera angles of the other island."""
    redraw = [Redrawer(stack.enter_context(SimRobot(scene(tasks[0], cell.named, cameras(cell, 0.0), size)))) for tasks in cell.islands]

    def cure(episode: Episode, rng: np.random.Generator) -> Episode:
        number = int(episode.provenance["island"])
        there = cell.islands[1 - number]
        task = there[int(rng.integers(len(there)))]
        return redraw[number](episode, cameras(cell, float(rng.uniform(task.low, task.high))))

    return cure
