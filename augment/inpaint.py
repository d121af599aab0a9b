"""Holes in pictures filled with what may be behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from augment.errors import AugmentError
from augment.library import box

_INPAINT_NS, _INPAINT_TELEA = 0, 1
"""OpenCV's numbers. It is asked for nothing before it is used, since a server may be without (docs/servers.md)."""
_REACH = 6
"""Of what is known around a hole [px]."""
_LARGE = 400
"""A hole of more pixels is filled at half the size: what is invented is smooth, and it takes a quarter of the time."""


class Inpainter(Protocol):
    """Fills holes. Any callable will do: LaMa or a diffusion model, with your own weights, plugs in as a function of these arrays."""

    def __call__(self, pictures: np.ndarray, holes: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """The pictures with new colours in the holes and no other change.

        Args:
            pictures: of one camera that stands still, or of single steps, (T, H, W, 3) u8.
            holes: what is to be filled, (T, H, W) bool.
            hidden: what shows no background either, as the robot, and must not be smeared into the holes, (T, H, W) bool.
        """
        ...


@dataclass(frozen=True)
class Neighbours:
    """From the colours around each hole, every picture for itself, by OpenCV."""

    method: int = _INPAINT_TELEA
    radius: float = 3.0
    """How far a filled pixel looks [px]."""

    def __call__(self, pictures: np.ndarray, holes: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        filled = pictures.copy()
        for t in np.flatnonzero(holes.any((1, 2))):
            unknown = holes[t] | hidden[t]
            y, x = box(holes[t], _REACH)
            if unknown[y, x].all():
                y, x = slice(None), slice(None)
            if unknown[y, x].all():  # nothing is known of this picture
                filled[t][holes[t]] = self._usual(pictures, holes | hidden)
                continue
            new = self._fill(np.ascontiguousarray(pictures[t][y, x]), unknown[y, x].astype(np.uint8))
            inside = holes[t][y, x]
            filled[t][y, x][inside] = new[inside]
        return filled

    @staticmethod
    def _usual(pictures: np.ndarray, unknown: np.ndarray) -> np.ndarray:
        """The middle colour of all that is known, (3,); grey where nothing is."""
        known = pictures[~unknown]
        return np.median(known, axis=0).astype(np.uint8) if len(known) else np.full(3, 128, np.uint8)

    def _fill(self, picture: np.ndarray, unknown: np.ndarray) -> np.ndarray:
        height, width = unknown.shape
        half = width // 2, height // 2
        if unknown.sum() > _LARGE and min(half) > 8:
            small = (np.asarray(cv2.resize(unknown.astype(np.float32), half, interpolation=cv2.INTER_AREA)) > 0).astype(np.uint8)
            if not small.all():
                coarse = self._fill(np.asarray(cv2.resize(picture, half, interpolation=cv2.INTER_AREA)), small)
                return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR))
        return np.asarray(cv2.inpaint(picture, unknown, self.radius, self.method))


@dataclass(frozen=True)
class OtherSteps:
    """From the steps of the episode that show the background: for each pixel the median over those, for a camera that stands still.

    Where no step shows it, another inpainter fills. Light that changes during the episode is not followed.
    """

    otherwise: Inpainter

    def __call__(self, pictures: np.ndarray, holes: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        anywhere = holes.any(0)
        if not anywhere.any():
            return pictures.copy()
        rows, columns = np.nonzero(anywhere)
        known = ~(holes | hidden)[:, rows, columns]  # (T, P)
        count = known.sum(0)  # (P,)
        values = np.where(known[..., None], pictures[:, rows, columns], np.uint8(255))  # what is unknown is sorted last
        values = np.sort(values, axis=0)
        median = values[np.maximum(count - 1, 0) // 2, np.arange(len(rows))]  # (P, 3), the lower one of two
        plate, seen = np.zeros(pictures.shape[1:], np.uint8), np.zeros(anywhere.shape, bool)
        plate[rows, columns], seen[rows, columns] = median, count > 0
        filled = np.where((holes & seen)[..., None], plate, pictures)
        left = holes & ~seen
        return self.otherwise(filled, left, hidden) if left.any() else filled


TELEA = Neighbours(_INPAINT_TELEA)
"""A. Telea, "An image inpainting technique based on the fast marching method", 2004."""
NAVIER_STOKES = Neighbours(_INPAINT_NS)
"""M. Bertalmio et al., "Navier-Stokes, fluid dynamics, and image and video inpainting", 2001."""

INPAINTERS: Mapping[str, Callable[[bool], Inpainter]] = {
    "steps": lambda still: OtherSteps(TELEA) if still else TELEA,
    "telea": lambda still: TELEA,
    "ns": lambda still: NAVIER_STOKES,
}
"""By what a person types; of whether the camera stands still."""


def inpainter(name: str) -> Callable[[bool], Inpainter]:
    """Of `INPAINTERS`. Raises AugmentError for an unknown name."""
    if name not in INPAINTERS:
        raise AugmentError(f"unknown inpainter {name!r}; known: {', '.join(INPAINTERS)}")
    return INPAINTERS[name]
