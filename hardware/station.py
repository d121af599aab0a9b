"""An arm, its cameras and what finds the target, as one robot: implements `hardware.api.Robot`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from hardware.api import Action, Observation, RobotError
from hardware.camera import Camera, Frame, Stream
from hardware.reason import Reason, Stop
from hardware.segmenter import Prompt, Segmentation, Segmenter, Track
from hardware.session import Session

_LOOK = 0.05
"""Between two looks at the same frame of a camera, while nothing new comes [s]."""


class Watch(Protocol):
    """Knows an unwell camera by its frames."""

    def look(self, name: str, frame: Frame, now: float) -> Stop | None:
        """What is wrong with a camera whose newest frame this is, at this moment [s]; None where nothing is."""
        ...


@dataclass
class Station:
    """Constructing it opens nothing; `connect` opens the cameras, `aim` begins to follow a target."""

    arm: Session
    cameras: Sequence[Camera]
    """In the order of the policy's contract."""
    segmenter: Segmenter
    watch: Watch
    """What a healthy camera is."""
    sure: float = 0.3
    """Confidence below which a target is lost."""
    _streams: dict[str, Stream] = field(default_factory=dict, init=False)
    _tracks: dict[str, Track] = field(default_factory=dict, init=False)
    _seen: dict[str, tuple[Frame, Segmentation]] = field(default_factory=dict, init=False)
    _looked: dict[str, tuple[int, float]] = field(default_factory=dict, init=False)
    """Number of the frame of each camera that was looked at last, and when [s]."""

    def connect(self) -> None:
        """Opens the cameras. Raises RobotError."""
        for camera in self.cameras:
            self._streams[camera.name] = camera.open()

    def frames(self) -> Mapping[str, Frame]:
        """The newest frame of every camera. Raises RobotError, and stops the arm, where one is unwell."""
        return {name: self._look(name, stream, 0.0) for name, stream in self._streams.items()}

    def aim(self, prompts: Mapping[str, Prompt]) -> Mapping[str, Segmentation]:
        """Begins to follow the target of a prompt a camera; where it is in each. Raises SegmenterError where it is not found."""
        frames = self.frames()
        self._tracks = {name: self.segmenter.start(name, frames[name], prompts[name]) for name in self._streams}
        self._seen = {}
        return {name: self._follow(name, frames[name]) for name in self._streams}

    @property
    def lost(self) -> bool:
        """No camera is sure of the target."""
        return not any(seen.confidence >= self.sure and seen.mask.any() for _, seen in self._seen.values())

    def observe(self) -> Observation:
        """Pictures, masks and joints of one moment; its time is that of the oldest picture. Raises RobotError."""
        frames = self.frames()
        masks = {name: self._follow(name, frame).mask for name, frame in frames.items()}
        state = self.arm.state()
        time = min(frame.time for frame in frames.values())
        return Observation({name: frame.image for name, frame in frames.items()}, masks, state.qpos, state.gripper, time)

    def newest(self) -> float:
        """When the oldest of the newest frames was taken [s]; changes when there is something new to see.

        Every new frame is looked at here: the policy may be asked seldom, and an unwell camera cannot wait for that. Raises as `frames`.
        """
        return min(self._look(name, stream, _LOOK).time for name, stream in self._streams.items())

    def command(self, action: Action) -> Action:
        """Offers an action, in answer to the newest observation; the safety filter decides what is sent."""
        return self.arm.offer(action, self._observed)

    @property
    def _observed(self) -> float:
        if not self._seen:
            raise RobotError("command without an observation; observe first")
        return min(frame.time for frame, _ in self._seen.values())

    def stop(self) -> None:
        """Brakes and holds until a person clears it; idempotent."""
        self.arm.stop()

    def close(self) -> None:
        """Gives the cameras back; idempotent."""
        while self._streams:
            self._streams.popitem()[1].close()

    def _look(self, name: str, stream: Stream, pause: float) -> Frame:
        """The newest frame, which is well; one that was looked at less than `pause` [s] ago is not looked at again."""
        try:
            frame = stream.latest()
        except RobotError as error:
            self.arm.stop(Reason.CAMERA_LOST, f"camera {name!r}: {error}")
            raise
        now = self.arm.clock.now()  # after the frame: on a busy machine it may be much later than a moment ago
        number, then = self._looked.get(name, (frame.number - 1, now))
        if frame.number != number or now - then >= pause:
            self._looked[name] = frame.number, now
            ill = self.watch.look(name, frame, now)
            if ill is not None:
                self.arm.stop(ill.reason, ill.detail)
                raise RobotError(ill.detail)
        return frame

    def _follow(self, name: str, frame: Frame) -> Segmentation:
        known = self._seen.get(name)
        if known is not None and known[0].number == frame.number:
            return known[1]
        found = self._tracks[name].update(frame) if name in self._tracks else Segmentation(np.zeros(frame.image.shape[:2], bool), 0.0)
        self._seen[name] = frame, found
        return found
