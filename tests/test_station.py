"""An arm with cameras: an unwell camera stops the arm with its reason, also while nobody observes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from hardware.api import RobotError
from hardware.camera import Frame
from hardware.camera_watch import CameraWatch
from hardware.clock import ManualClock
from hardware.reason import Reason
from hardware.segmenter import Segmenter
from hardware.station import Station


@dataclass
class Arm:
    clock: ManualClock = field(default_factory=ManualClock)
    stops: list[Reason] = field(default_factory=list)

    def stop(self, reason: Reason, detail: str) -> None:
        self.stops.append(reason)


@dataclass
class Camera:
    clock: ManualClock
    late: float = 0.0
    gone: bool = False
    frozen: bool = False
    name: str = "side"
    size: tuple[int, int] = (8, 8)

    def open(self) -> Camera:
        return self

    def latest(self) -> Frame:
        if self.gone:
            raise RobotError("no device")
        self.clock.time += self.late  # the machine is busy
        number = int(self.clock.time * 20)
        rng = np.random.default_rng(0 if self.frozen else number)
        return Frame(rng.integers(0, 256, (8, 8, 3), np.uint8), self.clock.time, number)

    def close(self) -> None:
        pass


@dataclass
class Counting:
    watch: CameraWatch
    looks: int = 0

    def look(self, name: str, frame: Frame, now: float):
        self.looks += 1
        return self.watch.look(name, frame, now)


def world() -> tuple[Arm, Camera, Counting, Station]:
    arm, watch = Arm(), Counting(CameraWatch())
    camera = Camera(arm.clock)
    station = Station(arm, [camera], Segmenter, watch)  # pyright: ignore[reportArgumentType]
    station.connect()
    return arm, camera, watch, station


def wait(arm: Arm, station: Station, seconds: float) -> None:
    """As the loop does between two questions."""
    for _ in range(round(seconds / 0.002)):
        arm.clock.time += 0.002
        station.newest()


def test_a_frozen_camera_is_noticed_between_two_questions() -> None:
    arm, camera, _, station = world()
    wait(arm, station, 1.0)
    assert not arm.stops
    camera.frozen = True
    with pytest.raises(RobotError, match="bit by bit"):
        wait(arm, station, 1.0)
    assert arm.stops == [Reason.CAMERA_FROZEN]


def test_a_camera_that_is_gone_stops_with_its_reason() -> None:
    arm, camera, _, station = world()
    camera.gone = True
    with pytest.raises(RobotError, match="no device"):
        station.newest()
    assert arm.stops == [Reason.CAMERA_LOST]


def test_a_frame_is_not_looked_at_all_the_time() -> None:
    arm, _, watch, station = world()
    wait(arm, station, 1.0)
    assert watch.looks <= 41
    station.frames()
    assert watch.looks > 20


def test_a_busy_machine_is_no_clock_that_is_wrong() -> None:
    arm, camera, _, station = world()
    camera.late = 0.2
    station.frames()
    assert not arm.stops
