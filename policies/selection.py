"""A part of a data set: some of its toys, and some demonstrations of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from episodes.dataset import Dataset, Signals
from episodes.episode import Episode
from episodes.info import DatasetInfo
from policies.config import Selection, Without
from policies.errors import PolicyError

if TYPE_CHECKING:
    from assets.toys import Toy, ToySet

__all__ = ["Selected", "Selection", "open_selection"]


@dataclass(frozen=True, eq=False)
class Selected:
    """Some episodes of a data set, in its order; reads like a data set of its own."""

    dataset: Dataset
    chosen: np.ndarray
    """Number of each episode in the data set, (E,) i64, ascending."""

    @property
    def info(self) -> DatasetInfo:
        """What all episodes have in common."""
        return self.dataset.info

    @cached_property
    def lengths(self) -> np.ndarray:
        """Steps of each episode, (E,)."""
        return np.asarray(self.dataset.lengths, np.int64)[self.chosen]

    def __len__(self) -> int:
        return len(self.chosen)

    def __iter__(self) -> Iterator[Episode]:
        return (self.dataset[i] for i in self.chosen.tolist())

    def provenance(self, i: int) -> Mapping[str, Any]:
        """Where episode i of the selection came from."""
        return self.dataset.provenance(int(self.chosen[i]))

    def signals(self, i: int) -> Signals:
        """Joints, actions and labels of episode i of the selection."""
        return self.dataset.signals(int(self.chosen[i]))

    def describe(self) -> dict[str, int]:
        """What is in it, in numbers."""
        return {"toys": len({self.provenance(i)["toy"] for i in range(len(self))}), "demonstrations": len(self)}


def open_selection(dataset: Dataset, folder: Path, selection: Selection) -> Dataset | Selected:
    """The selected episodes of the data set in `folder`; the data set itself where everything is asked for. Raises PolicyError."""
    if selection == Selection():
        return dataset
    by_toy = _by_toy(dataset, folder)
    kind = _kind(selection)
    if kind:
        toys = _toys(folder, dataset, by_toy)
        by_toy = {number: episodes for number, episodes in by_toy.items() if _fits(toys[number], selection)}
        if not by_toy:
            raise PolicyError(f"{folder} holds no demonstration of a toy {kind}")
    numbers = sorted(by_toy)
    if selection.toys > len(numbers):
        raise PolicyError(f"select.toys={selection.toys}, but {folder} holds demonstrations of {len(numbers)} toys{kind and ' '}{kind}")
    numbers = numbers[: selection.toys or None]
    rounds = max(len(by_toy[number]) for number in numbers)
    in_turn = [by_toy[number][k] for k in range(rounds) for number in numbers if k < len(by_toy[number])]
    if selection.demos > len(in_turn):
        raise PolicyError(f"select.demos={selection.demos}, but {folder} holds {len(in_turn)} demonstrations of these {len(numbers)} toys")
    if 0 < selection.demos < len(numbers):
        raise PolicyError(f"select.demos={selection.demos} on {len(numbers)} toys; at least one each is needed, or say select.toys=")
    return Selected(dataset, np.array(sorted(in_turn[: selection.demos or None]), np.int64))


def _by_toy(dataset: Dataset, folder: Path) -> dict[int, list[int]]:
    """The episodes of each toy, by the toy's number."""
    found: dict[int, list[int]] = {}
    for i in range(len(dataset)):
        number = dataset.provenance(i).get("toy")
        if type(number) is not int or number < 0:
            raise PolicyError(f"episode {i} of {folder} does not say the number of its toy, so there is nothing to select by")
        found.setdefault(number, []).append(i)
    return found


def _toys(folder: Path, dataset: Dataset, by_toy: Mapping[int, list[int]]) -> ToySet:
    """The toys of a data set, by their numbers."""
    from assets.errors import ToyError
    from assets.toys import ToySet  # brings MuJoCo along, which training does without

    try:
        toys = ToySet.load(folder / "toys.json")
    except ToyError as error:
        raise PolicyError(f"select.without and select.parts need the toys of the data set: {error}") from None
    for number, episodes in by_toy.items():
        name = dataset.provenance(episodes[0]).get("object", "")
        if number >= len(toys) or name not in ("", toys[number].name):
            there = toys[number].name if number < len(toys) else "nothing"
            raise PolicyError(f"{folder / 'toys.json'} has {there} as toy {number}, but the data set was collected on {name or 'one'}")
    return toys


def _fits(toy: Toy, selection: Selection) -> bool:
    shapes = {part.shape for part in toy.parts}
    return selection.without.value not in shapes and selection.parts in (0, len(toy.parts))


def _kind(selection: Selection) -> str:
    """The toys that are asked for, in words; empty where any will do."""
    parts = f"of {selection.parts} parts" if selection.parts > 1 else "of 1 part" if selection.parts else ""
    without = "" if selection.without is Without.none else f"without a {selection.without.value}"
    return " ".join(filter(None, (parts, without)))
