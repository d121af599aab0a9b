"""From what a camera takes to what a policy gets: turned, cropped to the policy's shape around the middle, resized. One step, one place."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

import numpy as np

from hardware.api import RobotError

TURNS = (0, 90, 180, 270)


@dataclass(frozen=True)
class Fit:
    """How pictures are brought to a size."""

    size: tuple[int, int]
    """Width and height of what comes out [px]."""
    rotate: int = 0
    """Turned first, clockwise [deg]: for a camera that is mounted on its side or head."""

    def __post_init__(self) -> None:
        if self.rotate not in TURNS:
            raise RobotError(f"rotate={self.rotate}; pictures are turned clockwise by {', '.join(map(str, TURNS))} degrees")

    def apply(self, image: np.ndarray) -> np.ndarray:
        """A picture (H, W, 3) u8 of any size as (size[1], size[0], 3) u8, contiguous."""
        turned = np.rot90(image, -self.rotate // 90)
        height, width = turned.shape[:2]
        left, top, wide, high = self._crop(width, height)
        cut = np.ascontiguousarray(turned[top : top + high, left : left + wide])
        if (wide, high) == self.size:
            return cut
        cv2 = importlib.import_module("cv2")
        smaller = self.size[0] <= wide
        return np.asarray(cv2.resize(cut, self.size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR))

    def pixels(self, taken: tuple[int, int]) -> np.ndarray:
        """Where the pixels of a taken picture of this width and height come to lie, (3, 3); whole numbers are middles of pixels."""
        width, height = taken
        turn = {
            0: [[1, 0, 0], [0, 1, 0]],
            90: [[0, -1, height - 1], [1, 0, 0]],
            180: [[-1, 0, width - 1], [0, -1, height - 1]],
            270: [[0, 1, 0], [-1, 0, width - 1]],
        }[self.rotate]
        if self.rotate in (90, 270):
            width, height = height, width
        left, top, wide, high = self._crop(width, height)
        sx, sy = self.size[0] / wide, self.size[1] / high
        scale = np.array([[sx, 0, sx * (0.5 - left) - 0.5], [0, sy, sy * (0.5 - top) - 0.5], [0, 0, 1]])
        return scale @ np.array([*turn, [0, 0, 1]], float)

    def _crop(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, width and height of the largest part of the policy's shape around the middle [px]."""
        wide = min(width, round(height * self.size[0] / self.size[1]))
        high = min(height, round(width * self.size[1] / self.size[0]))
        return (width - wide) // 2, (height - high) // 2, wide, high
