"""A folder of pictures or a video, played in real time like a camera: for tests and replays."""

from __future__ import annotations

import importlib
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardware.api import RobotError
from hardware.cameras import check
from hardware.cameras.fit import Fit
from hardware.cameras.reader import Reader, Shot

PICTURES = (".png", ".jpg", ".jpeg", ".bmp")


@dataclass(frozen=True)
class Recorded:
    """A recording that is played."""

    address: str
    """A folder of pictures, played by name, or a video."""
    name: str
    """As the policy's contract calls it."""
    size: tuple[int, int]
    """Width and height of its frames [px]."""
    fps: float = 20.0
    """Pictures a second [Hz]."""
    rotate: int = 0
    """Its pictures are turned clockwise by this [deg]: 0, 90, 180, 270."""
    loop: bool = False
    """Begin again at the end; else the camera is gone then."""
    silence: float = 1.0
    """Without a new picture for this long it counts as unplugged [s]."""

    def __post_init__(self) -> None:
        check(self, {"silence": (0.05, 60), "fps": (0.1, 1000)})
        Fit(self.size, self.rotate)

    def open(self) -> Reader:
        """Starts to play. Raises RobotError."""
        source = _Source(self)
        return Reader(self.name, source, Fit(self.size, self.rotate), silence=max(self.silence, 2 / self.fps)).wait(5.0)


def pictures(folder: str | Path) -> list[Path]:
    """The pictures in a folder, by name. Raises RobotError where there is none."""
    found = sorted(path for path in Path(folder).glob("*") if path.suffix.lower() in PICTURES)
    if not found:
        raise RobotError(f"{folder} holds no pictures ({', '.join(PICTURES)})" if Path(folder).is_dir() else f"no folder {folder}")
    return found


def read_picture(path: Path) -> np.ndarray:
    """(H, W, 3) u8, RGB. Raises RobotError."""
    cv2 = importlib.import_module("cv2")
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)  # turned as its tag says
    if image is None:
        raise RobotError(f"{path} is no picture")
    return np.ascontiguousarray(image[..., ::-1])


class _Source:
    def __init__(self, camera: Recorded) -> None:
        self._camera = camera
        self._images = self._play()
        self._number = 0
        self._start = time.monotonic()

    def read(self) -> Shot:
        """The next picture, when it is due."""
        image = next(self._images, None)
        if image is None:
            raise RobotError(f"the recording {self._camera.address} is over")
        due = self._start + self._number / self._camera.fps
        time.sleep(max(0.0, due - time.monotonic()))
        self._number += 1
        return Shot(image, min(due, time.monotonic()), self._number)

    def close(self) -> None:
        """Ends reading."""
        self._images.close()

    def _play(self) -> Generator[np.ndarray]:
        path = Path(self._camera.address)
        while True:
            if path.is_file():
                yield from _video(path)
            else:
                yield from map(read_picture, pictures(path))
            if not self._camera.loop:
                return


def _video(path: Path) -> Generator[np.ndarray]:
    cv2 = importlib.import_module("cv2")
    capture = cv2.VideoCapture(str(path))
    try:
        found, image = capture.read()
        if not found:
            raise RobotError(f"{path} is no video that OpenCV reads")
        while found:
            yield np.ascontiguousarray(image[..., ::-1])
            found, image = capture.read()
    finally:
        capture.release()
