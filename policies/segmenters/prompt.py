"""What segmenters check before they look: the frame, and that the prompt can mean something in it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hardware.api import SegmenterError
from hardware.camera import Frame
from hardware.segmenter import Box, Click, Prompt, Segmentation, Words

FindBox = Callable[[np.ndarray, str], Box]
"""From a picture (H, W, 3) u8 and words to the box of what they name. Raises SegmenterError."""


def check_frame(camera: str, frame: Frame, size: tuple[int, int] | None = None) -> None:
    """Raises SegmenterError for a frame that is no picture, or not of `size`, height and width [px]; its truth must fit too."""
    image, truth = frame.image, frame.truth
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise SegmenterError(f"camera {camera!r}: a frame is (H, W, 3) uint8, got {image.shape} {image.dtype}")
    height, width = image.shape[:2]
    if size is not None and (height, width) != size:
        raise SegmenterError(f"camera {camera!r} sent {width} x {height} px; its track began with {size[1]} x {size[0]} px: start it anew")
    if truth is not None and truth.shape != (height, width):
        raise SegmenterError(f"camera {camera!r}: the truth is {truth.shape}, its picture ({height}, {width})")


def check_prompt(camera: str, frame: Frame, prompt: Prompt) -> None:
    """Raises SegmenterError for a click outside of the picture, a box without area in it, or words that say nothing."""
    height, width = frame.image.shape[:2]
    where = f"camera {camera!r}, {width} x {height} px"
    if isinstance(prompt, Click):
        if not (0 <= prompt.x < width and 0 <= prompt.y < height):
            raise SegmenterError(f"{where}: a click at x={prompt.x}, y={prompt.y} is outside of the picture")
    elif isinstance(prompt, Box):
        if inside(prompt, width, height) is None:
            raise SegmenterError(
                f"{where}: a box from x={prompt.x0}, y={prompt.y0} to x={prompt.x1}, y={prompt.y1} covers less than 2 x 2 px of the picture"
            )
    elif isinstance(prompt, Words):
        if not prompt.text.strip():
            raise SegmenterError(f"{where}: the target's words are empty; say what to grasp, click on it or draw a box around it")
    else:
        raise SegmenterError(f"{where}: a prompt is a Click, a Box or Words, got {type(prompt).__name__}")


def inside(box: Box, width: int, height: int) -> Box | None:
    """The part of a box that lies in the picture; None where that is narrower than 2 px."""
    cut = Box(max(box.x0, 0), max(box.y0, 0), min(box.x1, width), min(box.y1, height))
    return cut if cut.x1 - cut.x0 >= 2 and cut.y1 - cut.y0 >= 2 else None


def box_around(mask: np.ndarray) -> Box:
    """The smallest box around a mask (H, W) that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def nothing(size: tuple[int, int]) -> Segmentation:
    """A lost target in a picture of this height and width [px]."""
    return Segmentation(np.zeros(size, bool), 0.0)
