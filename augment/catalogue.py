"""The augmentations that a chain is made of, one line each."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from augment.augmentation import Augmentation, Chain
from augment.background import open_background, open_table
from augment.embodiment import open_embodiment
from augment.errors import AugmentError
from augment.photometric import open_photometric
from augment.swap import open_swap
from augment.viewpoint import open_viewpoint
from augment.world import World


@dataclass(frozen=True)
class Kind:
    """One row of the catalogue."""

    open: Callable[[Any, World], Augmentation]
    """Of its configuration and what is known of the data set. Raises AugmentError where it cannot work on such data."""
    rank: int
    """No augmentation stands before one of a lower rank: a viewpoint is drawn from the state, over whatever was painted; the object that
    a swap leaves beside its own would be painted over; and after a crop nothing that is drawn from the state fits any longer."""
    masked: bool = False
    """Whether it needs to know which pixels are the robot's."""


KINDS: Mapping[str, Kind] = {
    "viewpoint": Kind(open_viewpoint, 0),
    "embodiment": Kind(open_embodiment, 1),
    "background": Kind(open_background, 2, masked=True),
    "table": Kind(open_table, 2, masked=True),
    "swap": Kind(open_swap, 3, masked=True),
    "photometric": Kind(open_photometric, 4),
}


def check_chain(chain: Sequence[str]) -> None:
    """Raises AugmentError for an empty chain, an unknown name, a name given twice, and augmentations that do not go together."""
    known = f"known: {', '.join(KINDS)}"
    if not chain:
        raise AugmentError(f"chain=[] changes nothing; {known}")
    for name in chain:
        if name not in KINDS:
            near = difflib.get_close_matches(name, KINDS, n=1, cutoff=0.5)
            raise AugmentError(f"unknown augmentation {name!r}{f'; did you mean {near[0]!r}?' if near else ''}; {known}")
        if chain.count(name) > 1:
            raise AugmentError(f"chain=[{','.join(chain)}] names {name} twice, but there is one set of settings, {name}.*")
    for first, then in itertools.pairwise(chain):
        if KINDS[first].rank > KINDS[then].rank:
            ordered = ",".join(sorted(chain, key=lambda name: KINDS[name].rank))
            raise AugmentError(f"chain=[{','.join(chain)}]: {then} cannot come after {first}; say chain=[{ordered}]")
    if "embodiment" in chain and (masked := [name for name in chain if KINDS[name].masked]):
        said = f"{masked[0]} needs the robot's pixels, and another arm's are known only roughly"
        raise AugmentError(f"chain=[{','.join(chain)}]: {said}; make a data set of each")


def open_chain(chain: Sequence[str], settings: Mapping[str, Any], world: World) -> Chain:
    """The augmentations of a chain, ready for the episodes of `world`. settings: a configuration by name. Raises AugmentError."""
    return Chain(tuple(KINDS[name].open(settings[name], world) for name in chain))
