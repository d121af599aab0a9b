"""What happened in the last minute, in memory of a fixed size: every servo period, every question to the policy, what the cameras saw.

`BlackBox` is told by two threads, the servo's and the control loop's, each of which writes rings of its own: nobody waits for anybody.
A method that records never raises; what went wrong is counted and said in the file. `hardware.blackbox_file` writes and reads it.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np

from hardware.api import Action, ActionChunk, Observation, RobotError
from hardware.arm import ArmState
from hardware.camera import Frame
from hardware.reason import Reason, Stop
from hardware.safety import Tick

UNMEASURED, BLOCKED, RESTING = 1, 2, 4
"""Flags of a servo period: the arm measured nothing; what was asked is forbidden; the setpoint stands still."""
REASONS = ("", *Reason)
"""A servo period holds the place of its stop's reason in this list; 0 where there was none."""
THUMBS, THUMB = 120, 64
"""Thumbnails over the whole time, and the most pixels of their sides."""
CALL = ("number", "trial", "observed", "asked", "answered", "length")
"""Columns of a call before its joints: number and trial, times [s], actions of the answer."""
FRAME = ("now", "camera", "time", "number")
"""Columns of a frame: when it was looked at, the camera's place in the plan, when it was taken [s], its number."""


@dataclass(frozen=True)
class BoxPlan:
    """What is recorded, and how much of it fits."""

    joints: tuple[str, ...]
    cameras: Mapping[str, tuple[int, int]]
    """Height and width of the pictures that the policy sees, by name [px]."""
    servo_hz: float
    calls_hz: float
    """Most questions to the policy a second [Hz]."""
    chunk: int
    """Most actions of an answer."""
    gripper: int = 1
    camera_hz: float = 30.0
    seconds: float = 60.0
    """How far back it reaches; whole pictures, which a replay needs, as far as the memory lasts [s]."""
    megabytes: float = 64.0
    """Most memory [MB]."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "joints", tuple(map(str, self.joints)))
        object.__setattr__(self, "cameras", {str(name): (int(h), int(w)) for name, (h, w) in self.cameras.items()})
        rates = {name: getattr(self, name) for name in ("servo_hz", "calls_hz", "camera_hz")}
        if not all(0 < rate <= 2000 for rate in rates.values()):
            raise RobotError(f"a black box records rates above 0 and up to 2000 Hz, got {rates}")
        if not (1 <= len(self.joints) <= 100 and 0 <= self.gripper <= 100 and 1 <= self.chunk <= 1000 and len(self.cameras) <= 16):
            counts = f"{len(self.joints)} joints, {self.gripper} gripper values, {self.chunk} actions, {len(self.cameras)} cameras"
            raise RobotError(f"a black box of {counts}; at most 100, 100, 1000 and 16")
        odd = [name for name in (*self.joints, *self.cameras) if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name)]
        if odd:
            raise RobotError(f"names {odd}: letters, digits, '.', '_' and '-' would do")
        if any(not (1 <= side <= 8192) for size in self.cameras.values() for side in size):
            raise RobotError(f"pictures of {dict(self.cameras)} px; 1 to 8192 px a side")
        if not (1 <= self.seconds <= 3600 and 1 <= self.megabytes <= 1024):
            raise RobotError(f"seconds={self.seconds}, megabytes={self.megabytes}; a black box holds 1 to 3600 s and 1 to 1024 MB")
        if self.cameras and self.pictures < 1:
            need = self._bytes(self._fixed) + self._bytes(self._pictures(1))
            raise RobotError(
                f"a black box of {self.seconds:g} s needs {need / 1e6:.1f} MB, megabytes={self.megabytes:g}; allow more, or less time"
            )

    @property
    def columns(self) -> Mapping[str, slice]:
        """Where things are in a row of `servo`: time, flags, reason, what was measured, asked, sent."""
        n, m = len(self.joints), self.gripper
        widths = {"time": 1, "flags": 1, "reason": 1, "qpos": n, "qvel": n, "effort": n, "gripper": m}
        widths |= {"asked": n, "asked_gripper": m, "sent": n, "sent_gripper": m, "sent_qvel": n}
        ends = np.cumsum(list(widths.values())).tolist()
        return {name: slice(end - width, end) for (name, width), end in zip(widths.items(), ends, strict=True)}

    @cached_property
    def pictures(self) -> int:
        """Calls whose whole pictures are kept: the newest."""
        room = self.megabytes * 1e6 - self._bytes(self._fixed)
        one = self._bytes(self._pictures(1))
        return max(0, min(self._fixed["calls"][0][0], int(room // one))) if one else 0

    @property
    def layout(self) -> Mapping[str, tuple[tuple[int, ...], str]]:
        """Shape and type of every array, rows first."""
        return {**self._fixed, **self._pictures(self.pictures)}

    @property
    def nbytes(self) -> int:
        """Memory of all rings."""
        return self._bytes(self.layout)

    @cached_property
    def _fixed(self) -> dict[str, tuple[tuple[int, ...], str]]:
        n, m, views = len(self.joints), self.gripper, len(self.cameras)
        calls = math.ceil(self.seconds * self.calls_hz) + 1
        arrays: dict[str, tuple[tuple[int, ...], str]] = {
            "servo": ((math.ceil(self.seconds * self.servo_hz) + 1, self.columns["sent_qvel"].stop), "<f8"),
            "calls": ((calls, len(CALL) + n + m), "<f8"),
            "chunks": ((calls, self.chunk, n + m), "<f8"),
            "frames": ((math.ceil(self.seconds * self.camera_hz * views) + 1, len(FRAME)), "<f8"),
            "thumb_times": ((THUMBS + 1,), "<f8"),
        }
        for name, (height, width) in self.cameras.items():
            stride = self.stride(name)
            arrays[f"thumbs/{name}"] = ((THUMBS + 1, -(-height // stride), -(-width // stride), 3), "|u1")
        return arrays

    def stride(self, camera: str) -> int:
        """Every n-th pixel is in a camera's thumbnails."""
        return math.ceil(max(self.cameras[camera]) / THUMB)

    def _pictures(self, rows: int) -> dict[str, tuple[tuple[int, ...], str]]:
        arrays: dict[str, tuple[tuple[int, ...], str]] = {}
        for name, (height, width) in self.cameras.items():
            arrays[f"images/{name}"] = ((rows, height, width, 3), "|u1")
            arrays[f"masks/{name}"] = ((rows, height, -(-width // 8)), "|u1")
        return arrays

    @staticmethod
    def _bytes(arrays: Mapping[str, tuple[tuple[int, ...], str]]) -> int:
        return sum(math.prod(shape) * np.dtype(kind).itemsize for shape, kind in arrays.values())


@dataclass
class BlackBox:
    """Implements `hardware.servo.Recorder` for one thread and `hardware.stream.LoopRecorder` for another."""

    plan: BoxPlan
    notes: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=256), init=False)
    """When something was said [s], and what."""
    trials: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=256), init=False)
    """Number and instruction of each trial."""
    faults: int = field(default=0, init=False)
    """Times that recording failed."""
    fault: str = field(default="", init=False)
    """The first of them."""

    def __post_init__(self) -> None:
        self._rings = {name: np.zeros(shape, kind) for name, (shape, kind) in self.plan.layout.items()}
        for ring in self._rings.values():
            ring.fill(0)  # takes the memory now: later there may be none, and a page fault is no matter for a servo period
        self._count = {"servo": 0, "calls": 0, "frames": 0, "thumb_times": 0}
        self._cameras = {name: k for k, name in enumerate(self.plan.cameras)}
        self._codes = {reason: k for k, reason in enumerate(REASONS)}
        self._blocked = ""
        self._thumbed = -math.inf
        c = self.plan.columns
        self._of = [
            c[name] for name in ("qpos", "qvel", "effort", "gripper", "asked", "asked_gripper", "sent", "sent_gripper", "sent_qvel")
        ]

    # --- from the servo thread

    def servo(self, now: float, state: ArmState | None, asked: Action, tick: Tick, stop: Stop | None) -> None:
        """One servo period. Never raises."""
        try:
            ring, count = self._rings["servo"], self._count["servo"]
            row = ring[count % len(ring)]
            qpos, qvel, effort, gripper, target, wanted, sent, opening, speed = self._of
            row[0] = now
            row[1] = (UNMEASURED if state is None else 0) | (BLOCKED if tick.blocked else 0) | (RESTING if tick.resting else 0)
            row[2] = self._codes[stop.reason] if stop else 0
            if state is None:
                row[qpos] = row[qvel] = row[effort] = row[gripper] = math.nan
            else:
                row[qpos], row[qvel], row[effort], row[gripper] = state.qpos, state.qvel, state.effort, state.gripper
            row[target], row[wanted] = asked.qpos, asked.gripper
            row[sent], row[opening], row[speed] = tick.sent.qpos, tick.sent.gripper, tick.qvel
            self._count["servo"] = count + 1
            if tick.blocked and not self._blocked:
                self.note(now, f"forbidden: {tick.blocked}")
            self._blocked = tick.blocked
        except Exception as error:
            self._failed(error)

    # --- from the control loop's thread

    def reset(self, instruction: str, now: float) -> None:
        """A new trial begins: the policy was reset with this instruction. Never raises."""
        number = self.trials[-1][0] + 1 if self.trials else 1
        self.trials.append((number, str(instruction)[:1000]))
        self.note(now, f"trial {number}: {instruction}")

    def asked(self, number: int, observation: Observation, now: float) -> None:
        """An observation went to the policy. Never raises."""
        try:
            ring, count = self._rings["calls"], self._count["calls"]
            place, n = count % len(ring), len(self.plan.joints)
            row = ring[place]
            row[: len(CALL)] = number, self.trials[-1][0] if self.trials else 0, observation.time, now, math.nan, 0
            row[len(CALL) :][:n], row[len(CALL) + n :] = observation.qpos, observation.gripper
            self._rings["chunks"][place] = math.nan
            self._see(observation, count, now)
            self._count["calls"] = count + 1
        except Exception as error:
            self._failed(error)

    def answered(self, number: int, chunk: ActionChunk, now: float) -> None:
        """Its actions came back. Never raises."""
        try:
            ring, place, n = self._rings["calls"], (self._count["calls"] - 1) % len(self._rings["calls"]), len(self.plan.joints)
            row = ring[place]
            if not self._count["calls"] or row[0] != number:
                raise ValueError(f"answer {number} to no question")
            if len(chunk) > self.plan.chunk:
                raise ValueError(f"answer {number} has {len(chunk)} actions, {self.plan.chunk} were planned")
            kept = self._rings["chunks"][place]
            kept[: len(chunk), :n], kept[: len(chunk), n:] = chunk.qpos, chunk.gripper
            row[CALL.index("length")] = len(chunk)
            row[CALL.index("answered")] = now  # last: who reads this finds the rest whole
        except Exception as error:
            self._failed(error)

    def frame(self, camera: str, frame: Frame, now: float) -> None:
        """A camera's newest frame was looked at. Never raises."""
        try:
            ring, count = self._rings["frames"], self._count["frames"]
            ring[count % len(ring)] = now, self._cameras[camera], frame.time, frame.number
            self._count["frames"] = count + 1
        except Exception as error:
            self._failed(error)

    def note(self, now: float, text: str) -> None:
        """Something for people, from any thread. Never raises."""
        self.notes.append((now, str(text)[:300]))

    # --- for the file

    def snapshot(self) -> dict[str, np.ndarray]:
        """Copies of everything, oldest rows first. What is written meanwhile is left out: no row is half of one moment, half of another."""
        began = dict(self._count)
        copies = {name: ring.copy() for name, ring in self._rings.items()}  # calls before chunks: an answer that is there is whole
        ended = dict(self._count)
        found = {}
        for name, copy in copies.items():
            counter = {"chunks": "calls", "images": "calls", "masks": "calls", "thumbs": "thumb_times"}.get(name.split("/")[0], name)
            first = max(0, ended[counter] - len(copy) + 1)  # the oldest row may be the one that is being overwritten
            found[name] = copy[np.arange(first, max(first, began[counter])) % len(copy)]
        found["chunks"][np.isnan(found["calls"][:, CALL.index("answered")])] = np.nan
        return found

    def _see(self, observation: Observation, count: int, now: float) -> None:
        if set(observation.images) != set(self.plan.cameras):
            raise ValueError(f"pictures of {sorted(observation.images)}, planned {sorted(self.plan.cameras)}")
        thumbed = self._count["thumb_times"]
        thumb = now - self._thumbed >= self.plan.seconds / THUMBS
        for name, image in observation.images.items():
            kept = self._rings[f"images/{name}"]
            kept[count % len(kept)] = image
            self._rings[f"masks/{name}"][count % len(kept)] = np.packbits(observation.masks[name], axis=1)
            if thumb:
                stride = self.plan.stride(name)
                self._rings[f"thumbs/{name}"][thumbed % (THUMBS + 1)] = image[::stride, ::stride]
        if thumb:
            self._rings["thumb_times"][thumbed % (THUMBS + 1)] = self._thumbed = now
            self._count["thumb_times"] = thumbed + 1

    def _failed(self, error: Exception) -> None:
        self.faults += 1
        self.fault = self.fault or f"{type(error).__name__}: {error}"[:300]


class Watch(Protocol):
    """`hardware.station.Watch`."""

    def look(self, name: str, frame: Frame, now: float) -> Stop | None:
        """What is wrong with a camera."""
        ...


@dataclass(frozen=True)
class RecordedWatch:
    """A station's watch that tells a black box of every frame."""

    watch: Watch
    box: BlackBox

    def look(self, name: str, frame: Frame, now: float) -> Stop | None:
        """What the watch says."""
        self.box.frame(name, frame, now)
        return self.watch.look(name, frame, now)
