"""Pictures in which everything but the object is grey: the mask, as a policy without masks can be given it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from episodes.episode import Episode

GREY = 128
"""Of what is hidden, of 255."""


def greyed(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Pictures (..., H, W, 3) u8 that show only what is True in the masks (..., H, W) bool."""
    return np.where(masks[..., None], images, np.uint8(GREY))


@dataclass(frozen=True, eq=False)
class Greyed:
    """A data set with such pictures; everything else is the same."""

    dataset: Any
    """A Dataset, or what is selected of one."""

    @property
    def info(self) -> Any:
        """What all episodes have in common."""
        return self.dataset.info

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[Episode]:
        for episode in self.dataset:
            yield replace(episode, images={name: greyed(images, episode.masks[name]) for name, images in episode.images.items()})
