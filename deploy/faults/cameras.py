"""Cameras that fail: the pictures are broken on their way from the camera to the station."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from deploy.faults.bench import Bench, Stage
from deploy.faults.fault import End, Fault
from deploy.faults.memory import unseen
from hardware.api import RobotError
from hardware.camera import Frame
from hardware.reason import Reason

WHERE = "a camera's stream"


def _row(
    name: str, breaks: str, expected: Reason | End, within: float, inject: Callable[[Stage], None], bench: Bench | None = None
) -> Fault:
    return Fault(name, breaks, WHERE, expected, within, lambda folder: (bench or Bench()).run(folder, inject))


def _frozen(stage: Stage) -> None:
    last = stage.cameras[0].latest().image
    stage.cameras[0].bend = lambda frame: replace(frame, image=last)


def _silent(stage: Stage) -> None:
    last = stage.cameras[1].latest()
    stage.cameras[1].bend = lambda frame: last


def _slow(stage: Stage) -> None:
    stage.cameras[1].fps = 0.3


def _unplugged(stage: Stage) -> None:
    def gone(frame: Frame) -> Frame:
        raise RobotError("the device is not there any more")

    stage.cameras[1].bend = gone


def _bent(change: Callable[[Frame], Frame], *which: int) -> Callable[[Stage], None]:
    def inject(stage: Stage) -> None:
        for k in which:
            stage.cameras[k].bend = change

    return inject


def _black(frame: Frame) -> Frame:
    return replace(frame, image=np.zeros_like(frame.image))


def _larger(frame: Frame) -> Frame:
    return replace(frame, image=np.repeat(np.repeat(frame.image, 2, 0), 2, 1))


def _later(seconds: float) -> Callable[[Frame], Frame]:
    return lambda frame: replace(frame, time=frame.time + seconds)


ROWS = (
    _row("camera frozen", "new frames hold the same picture, bit by bit", Reason.CAMERA_FROZEN, 2.0, _frozen),
    _row("camera silent", "no new frames come, and no error", Reason.CAMERA_LOST, 2.0, _silent),
    _row("camera slow", "a frame every three seconds", Reason.CAMERA_LOST, 2.0, _slow),
    _row("camera unplugged", "its driver raises an error", Reason.CAMERA_LOST, 1.0, _unplugged),
    _row("camera black", "a cap on the lens", Reason.CAMERA_BLACK, 1.0, _bent(_black, 0)),
    _row("camera swapped", "pictures of another size", Reason.CAMERA_SWAPPED, 1.0, _bent(_larger, 1)),
    _row("pictures delayed", "pictures were taken a second before they come", Reason.CAMERA_LOST, 1.0, _bent(_later(-1.0), 0)),
    _row("pictures from the future", "a camera's clock is a second ahead", Reason.CLOCK, 1.0, _bent(_later(1.0), 0)),
    _row(
        "target out of sight",
        "no camera sees the target any more",
        End.PAUSES,
        3.0,
        _bent(unseen, 0, 1),
        Bench(pace={"patience": 0.5}),
    ),
)
