"""Offline augmentation: an episode in, another of the same motion out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from episodes import DatasetInfo, Episode


class Augmentation(Protocol):
    """Changes what is seen, never what was done: the number of steps, `actions[t]` after `images[t]`, `labelled` and `state` stay.

    Only a change of embodiment replaces joints and actions, and those step by step.
    """

    @property
    def name(self) -> str:
        """What a person types."""
        ...

    def contract(self, info: DatasetInfo) -> DatasetInfo:
        """The contract of the episodes that come out, for those of `info`. Raises AugmentError where it cannot work on them."""
        ...

    def __call__(self, episode: Episode, rng: np.random.Generator) -> Episode:
        """The changed episode; the given one is left alone. The same generator state gives the same episode. Raises AugmentError."""
        ...


@dataclass(frozen=True)
class Chain:
    """Augmentations one after the other, as one."""

    links: Sequence[Augmentation]
    name: str = "chain"

    def contract(self, info: DatasetInfo) -> DatasetInfo:
        """The contract after the last link."""
        for link in self.links:
            info = link.contract(info)
        return info

    def __call__(self, episode: Episode, rng: np.random.Generator) -> Episode:
        """Applies every link with a generator of its own, so that a link more does not change what the others draw."""
        for link, own in zip(self.links, rng.spawn(len(self.links)), strict=True):
            episode = link(episode, own)
        return episode


def recorded(episode: Episode, name: str, **settings: Any) -> Episode:
    """The episode with one more entry in `provenance["augment"]`: what was done to it, with the values that were drawn (JSON)."""
    done: Sequence[Mapping[str, Any]] = episode.provenance.get("augment", ())
    return replace(episode, provenance={**episode.provenance, "augment": [*done, {"name": name, **settings}]})
