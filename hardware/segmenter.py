"""What a segmenter must offer: from a prompt in one picture to the target's pixels in all that follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hardware.camera import Frame


@dataclass(frozen=True)
class Click:
    """A pixel on the target."""

    x: int
    """Column [px]."""
    y: int
    """Row [px], 0 on top."""


@dataclass(frozen=True)
class Box:
    """A box around the target; x1 and y1 lie outside."""

    x0: int
    y0: int
    x1: int
    y1: int


@dataclass(frozen=True)
class Words:
    """The target in words: "the red mug"."""

    text: str


Prompt = Click | Box | Words


@dataclass(frozen=True)
class Segmentation:
    """Where the target is in one frame."""

    mask: np.ndarray
    """(H, W) bool; all False where it is not seen."""
    confidence: float
    """That the mask is the target's, [0, 1]; 0 where it is lost."""


class Track(Protocol):
    """Follows one target through the frames of one camera."""

    def update(self, frame: Frame) -> Segmentation:
        """The target in the next frame. Never raises for what a picture shows: a lost target has an empty mask and no confidence."""
        ...


class Segmenter(Protocol):
    """Finds a target and follows it."""

    def start(self, camera: str, frame: Frame, prompt: Prompt) -> Track:
        """A track that begins at this frame. Raises SegmenterError: what the prompt shows not, and what would do instead."""
        ...
