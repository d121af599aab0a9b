"""Whether a stream of frames is well: told by the frames and the time alone, so that every case can be tested without a camera."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hardware.api import RobotError
from hardware.camera import Frame
from hardware.reason import Reason, Stop


def wrong_size(frame: Frame, size: tuple[int, int]) -> Reason | None:
    """CAMERA_SWAPPED where a frame is not (size[1], size[0], 3) u8."""
    fine = frame.image.shape == (size[1], size[0], 3) and frame.image.dtype == np.uint8
    return None if fine else Reason.CAMERA_SWAPPED


def stale(frame: Frame, now: float, max_age: float, ahead: float) -> Reason | None:
    """CAMERA_LOST where the newest frame is older than `max_age`, CLOCK where it is from further in the future than `ahead` [s]."""
    age = now - frame.time
    if not np.isfinite(age) or age < -ahead:
        return Reason.CLOCK
    return Reason.CAMERA_LOST if age > max_age else None


def black(frame: Frame, level: float) -> Reason | None:
    """CAMERA_BLACK where less than a hundredth is brighter than `level` of 255; a sensor's noise and a hot pixel are no light."""
    return Reason.CAMERA_BLACK if (frame.image.max(axis=2) > level).mean() < 0.01 else None


def repeated(frame: Frame, before: Frame) -> bool:
    """A new frame with the picture of the one before, bit by bit."""
    return frame.number != before.number and np.array_equal(frame.image, before.image)


@dataclass
class CameraWatch:
    """Looks at the newest frames of cameras. Implements `hardware.station.Watch`."""

    max_age: float = 0.25
    """Of the newest frame, before the camera is lost [s]."""
    repeats: int | None = 10
    """New frames in a row with the same picture, bit by bit, before a camera is frozen: a sensor's noise never repeats itself.
    None: they may, since a renderer without noise draws a scene at rest alike."""
    black: float = 6.0
    """Brightness that next to nothing exceeds in a black picture, of 255: a closed shutter, a lens cap, no light."""
    ahead: float = 0.05
    """A frame from further in the future than this has a wrong clock [s]."""
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Width and height by camera, as in the policy's contract [px]; where none is stated, that of the first frame holds."""
    _seen: dict[str, tuple[Frame, int]] = field(default_factory=dict, init=False)
    """The newest frame of each camera, and how many before it had the same picture."""

    def __post_init__(self) -> None:
        if not 0 < self.max_age < 60 or not 0 <= self.black < 255 or self.ahead < 0:
            raise RobotError(
                f"max_age={self.max_age:g} s, black={self.black:g}, ahead={self.ahead:g} s; give up to 60 s, 0 to 255, 0 s or more"
            )
        if self.repeats is not None and self.repeats < 1:
            raise RobotError(f"repeats={self.repeats}; at least 1, or None for a renderer")

    def look(self, name: str, frame: Frame, now: float) -> Stop | None:
        """What is wrong with a camera whose newest frame this is, now [s]; None where nothing is."""
        before, repeats = self._seen.get(name, (frame, 0))
        height, width = before.image.shape[:2]
        size = self.sizes.get(name, (width, height))
        if reason := wrong_size(frame, size):
            agreed = (size[1], size[0], 3)
            return Stop(reason, f"camera {name!r} sends {frame.image.dtype} {frame.image.shape}, agreed are uint8 {agreed}", now)
        if reason := stale(frame, now, self.max_age, self.ahead):
            detail = f"camera {name!r}: its newest frame is {now - frame.time:.3f} s old, allowed are 0 to {self.max_age:g} s"
            return Stop(reason, detail, now)
        if frame.number != before.number:
            repeats = repeats + 1 if repeated(frame, before) else 0
        self._seen[name] = frame, repeats
        if reason := black(frame, self.black):
            detail = f"camera {name!r} sees nothing brighter than {self.black:g} of 255: a cap on the lens, or no light"
            return Stop(reason, detail, now)
        if self.repeats is not None and repeats >= self.repeats:
            detail = f"camera {name!r} sent {repeats + 1} frames in a row with the same picture, bit by bit"
            return Stop(Reason.CAMERA_FROZEN, detail, now)
        return None
