"""Webcams and capture cards through OpenCV, on Linux by V4L2. Colours become RGB here, stamps become monotonic time."""

from __future__ import annotations

import importlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hardware.api import RobotError
from hardware.cameras import check
from hardware.cameras.fit import Fit
from hardware.cameras.reader import Reader, Shot
from hardware.cameras.stamp import capture_time

SYSFS = Path("/sys/class/video4linux")
MISSES = 5
"""Reads in a row that bring nothing before the camera is gone: a bad frame may happen, an unplugged camera stays so."""


@dataclass(frozen=True)
class OpenCV:
    """A camera that OpenCV opens."""

    address: str
    """A number ("0"), a device ("/dev/video0", "/dev/v4l/by-id/..."), or the address of a stream."""
    name: str
    """As the policy's contract calls it."""
    size: tuple[int, int]
    """Width and height of its frames [px]."""
    capture: tuple[int, int] = (0, 0)
    """Width and height to ask of the camera [px]; (0, 0): as it likes."""
    fps: float = 0.0
    """Rate to ask of the camera [Hz]; 0: as it likes."""
    rotate: int = 0
    """Its pictures are turned clockwise by this [deg]: 0, 90, 180, 270."""
    silence: float = 1.0
    """Without a new picture for this long it counts as unplugged [s]."""
    patience: float = 5.0
    """How long the first picture may take [s]."""

    def __post_init__(self) -> None:
        check(self, {"silence": (0.05, 60), "patience": (0.1, 60), "fps": (0, 1000)})
        if not self.address:
            raise RobotError(f"camera {self.name!r}: opencv needs a number or a device: opencv:0, opencv:/dev/video0")
        if min(self.capture) < 0:
            raise RobotError(f"camera {self.name!r}: capture={self.capture[0]}x{self.capture[1]} px; give a width and a height")
        Fit(self.size, self.rotate)

    def open(self) -> Reader:
        """Starts it and waits for the first frame. Raises RobotError."""
        source = _Source(self, _capture(self))
        return Reader(self.name, source, Fit(self.size, self.rotate), silence=self.silence, serial=serial(self.address)).wait(self.patience)


def serial(address: str, sysfs: Path = SYSFS) -> str:
    """Of the device at an address, as the USB descriptor says; empty where it says nothing."""
    number = int(address) if address.isdigit() else None
    video = f"video{number}" if number is not None else Path(os.path.realpath(address)).name
    try:
        return (sysfs / video / "device" / ".." / "serial").resolve().read_text().strip()
    except OSError:
        return ""


def _capture(camera: OpenCV) -> Any:
    cv2 = importlib.import_module("cv2")
    device = camera.address.isdigit() or camera.address.startswith("/dev/")
    target = int(camera.address) if camera.address.isdigit() else os.path.realpath(camera.address) if device else camera.address
    capture = cv2.VideoCapture(target, cv2.CAP_V4L2) if device and os.name == "posix" else cv2.VideoCapture(target)
    if not capture.isOpened():
        capture.release()
        there = ", ".join(sorted(str(path) for path in Path("/dev").glob("video*"))) or "none"
        raise RobotError(f"camera {camera.name!r}: OpenCV cannot open {camera.address!r}; devices here: {there}")
    wanted = {cv2.CAP_PROP_FRAME_WIDTH: camera.capture[0], cv2.CAP_PROP_FRAME_HEIGHT: camera.capture[1], cv2.CAP_PROP_FPS: camera.fps}
    if device:
        wanted[cv2.CAP_PROP_BUFFERSIZE] = 1  # else frames queue up, and the newest one is old
    for key, value in wanted.items():
        if value:
            capture.set(key, value)
    return capture


class _Source:
    def __init__(self, camera: OpenCV, capture: Any) -> None:
        self._camera, self._capture = camera, capture
        self._cv2 = importlib.import_module("cv2")
        self._number = 0

    def read(self) -> Shot:
        """The next picture; a few bad reads are forgiven."""
        for _ in range(MISSES):
            if self._capture.grab():
                arrived, wall = time.monotonic(), time.time()  # before decoding, which takes milliseconds
                taken, image = self._capture.retrieve()
                if taken and image is not None:
                    return self._shot(image, arrived, wall)
            time.sleep(0.01)
        raise RobotError(f"OpenCV reads nothing more from {self._camera.address!r}: unplugged, or the stream ended")

    def _shot(self, image: np.ndarray, arrived: float, wall: float) -> Shot:
        if image.ndim == 2:
            image = np.repeat(image[..., None], 3, axis=2)  # a camera without colours
        height, width = image.shape[:2]
        if any(self._camera.capture) and (width, height) != self._camera.capture:
            asked = f"{self._camera.capture[0]}x{self._camera.capture[1]}"
            raise RobotError(f"gives {width}x{height} px where capture={asked} was asked; list its modes with v4l2-ctl --list-formats-ext")
        self._number += 1
        stamp = self._capture.get(self._cv2.CAP_PROP_POS_MSEC) / 1000
        return Shot(np.ascontiguousarray(image[..., ::-1]), capture_time(stamp, arrived, wall), self._number)

    def close(self) -> None:
        """Gives the device back."""
        self._capture.release()
