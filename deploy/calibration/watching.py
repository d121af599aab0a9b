"""Views of a board from a running camera: one whenever it is held still where it was not before."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from deploy.calibration.board import Board, View
from deploy.errors import DeployError
from hardware.camera import Camera
from hardware.cameras.reader import Reader

_STILL = 0.002
"""Share of the picture's width by which corners of a board that is held still may move between two pictures."""
_NEW = 0.03
"""Share by which they must have moved since every view that is kept."""


def watch_board(
    camera: Camera, board: Board, wanted: int, seconds: float, say: Callable[[str], None]
) -> Iterator[tuple[View, np.ndarray, str]]:
    """Views with their pictures (H, W, 3) u8 and the camera's serial number, until there are enough.

    Args:
        camera: what looks; it is opened here, and closed at the end.
        board: what is held before it.
        wanted: how many views.
        seconds: longest time [s].
        say: told how far it is.

    Raises:
        DeployError: time is over.
        RobotError: no camera.
    """
    stream = camera.open()
    if not isinstance(stream, Reader):
        stream.close()
        raise DeployError(f"camera {camera.name!r} does not give whole pictures; calibrate a physical camera, or a recording")
    kept: list[View] = []
    before: View | None = None
    number, end = -1, time.monotonic() + seconds
    try:
        while len(kept) < wanted:
            shot = stream.taken()
            if shot.number == number:
                time.sleep(0.005)
            elif time.monotonic() > end:
                raise DeployError(f"{len(kept)} of {wanted} views in {seconds:.0f} s; hold the board still for a moment, then move it on")
            else:
                number = shot.number
                view = board.find(shot.image, f"{len(kept):03d}.png")
                still = view is not None and before is not None and moved(view, before) < _STILL
                before = view
                if view is not None and still and all(moved(view, other) > _NEW for other in kept):
                    kept.append(view)
                    say(f"{len(kept)} of {wanted} views, {len(view.ids)} corners")
                    yield view, shot.image, stream.serial
    finally:
        stream.close()


def moved(view: View, other: View) -> float:
    """How far the corners that two views share are apart, mean, as a share of the picture's width; infinite where they share none."""
    _, mine, its = np.intersect1d(view.ids, other.ids, return_indices=True)
    if not len(mine):
        return np.inf
    return float(np.linalg.norm(view.pixels[mine] - other.pixels[its], axis=1).mean()) / view.size[0]
