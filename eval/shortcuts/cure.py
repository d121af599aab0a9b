"""What mends a cell's data: the augmentations of `augment/`, from each island's cameras to the other's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np

from augment.augmentation import Augmentation
from augment.background import BackgroundConfig, open_background
from augment.library import Library, cut_out
from augment.photometric import PhotometricConfig, open_photometric
from augment.swap import SwapConfig, open_swap
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
def open_cure(cell: Cell, size: int, episodes: Sequence[Episode]) -> Iterator[Cure]:
    """The cure of a cell, for its episodes with pictures of `size` px: an episode in, another out. Raises EvalError for no such cure."""
    with ExitStack() as stack:
        world = stack.enter_context(World(contract(cell, size), objects=(RED, BLUE)))
        match cell.cure:
            case "viewpoint":
                yield _redrawn(cell, size, stack)
            case "viewpoint, warped":
                yield _by_island(_warps(cell, world, "depth"))
            case "viewpoint, plane":
                yield _by_island(_warps(cell, world, "plane"))
            case "background":
                yield open_background(BackgroundConfig(), world)
            case "photometric":
                yield open_photometric(PhotometricConfig(set="openvla"), world)
            case "object swap":
                firsts = {episode.provenance["island"]: episode for episode in reversed(episodes)}
                crops = [crop for k, episode in firsts.items() for crop in cut_out(episode, world, f"island {k}")]
                yield open_swap(SwapConfig(), world, Library(crops))
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
