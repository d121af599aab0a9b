"""Intel RealSense cameras through pyrealsense2: colour only, stamped by the camera in global time."""

from __future__ import annotations

import contextlib
import importlib
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from hardware.api import RobotError
from hardware.cameras import check
from hardware.cameras.fit import Fit
from hardware.cameras.reader import Reader, Shot
from hardware.cameras.stamp import capture_time


@dataclass(frozen=True)
class RealSense:
    """One camera, by its serial number."""

    address: str
    """Serial number; empty where only one is plugged in."""
    name: str
    """As the policy's contract calls it."""
    size: tuple[int, int]
    """Width and height of its frames [px]."""
    capture: tuple[int, int] = (640, 480)
    """Width and height that the camera takes [px]."""
    fps: int = 30
    """Pictures a second [Hz]."""
    rotate: int = 0
    """Its pictures are turned clockwise by this [deg]: 0, 90, 180, 270."""
    silence: float = 1.0
    """Without a new picture for this long it counts as unplugged [s]."""
    patience: float = 5.0
    """How long the first picture may take [s]."""

    def __post_init__(self) -> None:
        check(self, {"silence": (0.05, 60), "patience": (0.1, 60), "fps": (1, 1000)})
        Fit(self.size, self.rotate)

    def open(self) -> Reader:
        """Starts it and waits for the first frame. Raises RobotError."""
        try:
            rs = importlib.import_module("pyrealsense2")
        except ImportError as error:
            raise RobotError(f"camera {self.name!r}: realsense needs pyrealsense2: pip install pyrealsense2 ({error})") from error
        serial = self._serial(rs)
        pipeline = rs.pipeline()
        wanted = rs.config()
        wanted.enable_device(serial)
        wanted.enable_stream(rs.stream.color, *self.capture, rs.format.rgb8, self.fps)
        try:
            profile = pipeline.start(wanted)
        except RuntimeError as error:
            mode = f"{self.capture[0]}x{self.capture[1]} at {self.fps} Hz"
            raise RobotError(f"camera {self.name!r}: RealSense {serial} does not start with {mode}: {error}") from error
        for sensor in profile.get_device().query_sensors():
            if sensor.supports(rs.option.global_time_enabled):
                sensor.set_option(rs.option.global_time_enabled, 1)
        source = _Source(rs, pipeline, self.silence)
        return Reader(self.name, source, Fit(self.size, self.rotate), silence=self.silence, serial=serial).wait(self.patience)

    def _serial(self, rs: Any) -> str:
        there = [str(device.get_info(rs.camera_info.serial_number)) for device in rs.context().query_devices()]
        if self.address in there or (not self.address and len(there) == 1):
            return self.address or there[0]
        known = ", ".join(f"realsense:{number}" for number in there) or "no RealSense at all: look at the cable, USB 3 is wanted"
        raise RobotError(f"camera {self.name!r}: realsense:{self.address} is not the one camera that is plugged in; there is: {known}")


class _Source:
    def __init__(self, rs: Any, pipeline: Any, silence: float) -> None:
        self._rs, self._pipeline = rs, pipeline
        self._wait = round(1000 * silence)

    def read(self) -> Shot:
        """The next colour picture."""
        try:
            frame = self._pipeline.wait_for_frames(self._wait).get_color_frame()
        except RuntimeError as error:
            raise RobotError(f"the RealSense is silent: {error}") from error
        arrived, wall = time.monotonic(), time.time()
        if not frame:
            raise RobotError("the RealSense sent frames without colour")
        hosts = (self._rs.timestamp_domain.global_time, self._rs.timestamp_domain.system_time)
        known = frame.get_frame_timestamp_domain() in hosts  # else it counts from when the camera was plugged in
        stamp = frame.get_timestamp() / 1000 if known else 0.0
        image = np.array(frame.get_data(), np.uint8)  # the vendor's buffer is used again
        return Shot(image, capture_time(stamp, arrived, wall), int(frame.get_frame_number()))

    def close(self) -> None:
        """Gives the camera back."""
        with contextlib.suppress(RuntimeError):  # where it is unplugged
            self._pipeline.stop()
