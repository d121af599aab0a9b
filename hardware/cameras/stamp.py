"""When a frame was taken, in the monotonic time that everything else here is measured in."""

from __future__ import annotations

OLDEST = 1.0
"""A stamp that lies further back than this belongs to another clock [s]."""


def capture_time(stamp: float, monotonic: float, wall: float) -> float:
    """Monotonic time of capture [s].

    Args:
        stamp: what the driver says [s]: on the monotonic clock (V4L2), on the wall clock (RealSense), or nothing that can be told (0).
        monotonic: when the frame arrived, on the monotonic clock [s].
        wall: the same moment on the wall clock [s].
    """
    for now in (monotonic, wall):
        if 0 <= now - stamp <= OLDEST:
            return monotonic - (now - stamp)
    return monotonic  # arrival is the best that is known
