"""Whether a stream of frames is well: told by the frames and the time alone, so that every case can be tested without a camera."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hardware.api import RobotError
from hardware.camera import Frame
from hardware.reason import Reason, Stop


@dataclass(frozen=True)
class Health:
    """What a well camera is."""

    size: tuple[int, int]
    """Width and height of its frames, as in the policy's contract [px]."""
    stale: float = 0.25
    """Age of the newest frame from which on it is too old [s]."""
    repeats: int | None = 10
    """New frames with the same picture, bit by bit, before the camera is frozen: a sensor's noise never repeats. None: a renderer's may."""
    black: float = 6.0
    """Brightness below which all but a hundredth of the picture is black, of 255: a closed shutter, a lens cap, no light."""
    ahead: float = 0.05
    """A frame from further in the future than this has a wrong clock [s]."""

    def __post_init__(self) -> None:
        if min(self.size) < 1 or not 0 < self.stale < 60 or not 0 <= self.black < 255 or self.ahead < 0:
            raise RobotError(f"a well camera has a size, stale in 0 to 60 s and black in 0 to 255, got {self}")
        if self.repeats is not None and self.repeats < 1:
            raise RobotError(f"repeats={self.repeats}; at least 1, or None for a renderer")


def wrong_size(frame: Frame, health: Health) -> Reason | None:
    """CAMERA_SWAPPED where a frame is not (size[1], size[0], 3) u8."""
    width, height = health.size
    fine = frame.image.shape == (height, width, 3) and frame.image.dtype == np.uint8
    return None if fine else Reason.CAMERA_SWAPPED


def stale(frame: Frame, now: float, health: Health) -> Reason | None:
    """CAMERA_LOST where the newest frame is too old, CLOCK where it is from the future; now [s, monotonic]."""
    age = now - frame.time
    if not np.isfinite(age) or age < -health.ahead:
        return Reason.CLOCK
    return Reason.CAMERA_LOST if age > health.stale else None


def black(frame: Frame, health: Health) -> Reason | None:
    """CAMERA_BLACK where next to nothing is bright; a sensor's noise and a hot pixel are no light."""
    brightest = frame.image.max(axis=2)
    return Reason.CAMERA_BLACK if (brightest > health.black).mean() < 0.01 else None


def repeated(frame: Frame, before: Frame) -> bool:
    """A new frame with the picture of the one before, bit by bit."""
    return frame.number != before.number and np.array_equal(frame.image, before.image)


def frozen(repeats: int, health: Health) -> Reason | None:
    """CAMERA_FROZEN after so many repeated frames in a row."""
    return Reason.CAMERA_FROZEN if health.repeats is not None and repeats >= health.repeats else None


@dataclass
class CameraWatch:
    """Looks at the newest frames of some cameras. Implements `hardware.station.Watch`."""

    healths: Mapping[str, Health]
    """By camera."""
    _seen: dict[str, tuple[Frame, int]] = field(default_factory=dict, init=False)
    """The newest frame of each camera, and how many before it had the same picture."""

    def look(self, name: str, frame: Frame, now: float) -> Stop | None:
        """What is wrong with a camera whose newest frame this is, now [s]; None where nothing is. Raises RobotError for another camera."""
        if name not in self.healths:
            raise RobotError(f"camera {name!r} is not watched; watched: {', '.join(map(repr, self.healths))}")
        health = self.healths[name]
        reason = wrong_size(frame, health)
        if reason:
            width, height = health.size
            return Stop(
                reason, f"camera {name!r} sends {frame.image.dtype} {frame.image.shape}, agreed are uint8 {(height, width, 3)}", now
            )
        reason = stale(frame, now, health)
        if reason:
            return Stop(reason, f"camera {name!r}: its newest frame is {now - frame.time:.3f} s old, allowed are {health.stale:g} s", now)
        before, repeats = self._seen.get(name, (frame, 0))
        if frame.number != before.number:
            repeats = repeats + 1 if repeated(frame, before) else 0
        self._seen[name] = frame, repeats
        reason = black(frame, health)
        if reason:
            return Stop(reason, f"camera {name!r} sees nothing brighter than {health.black:g} of 255: a cap on the lens, or no light", now)
        reason = frozen(repeats, health)
        if reason:
            return Stop(reason, f"camera {name!r} sent {repeats + 1} frames in a row with the same picture, bit by bit", now)
        return None
