"""An arm and cameras in memory, where physics does not matter: the joints follow, the pictures change, and both can be broken."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from hardware.api import Action, RobotError
from hardware.arm import ArmState
from hardware.camera import Frame
from hardware.clock import Clock
from hardware.model import ArmModel

_LAG = 0.02
"""By which joints trail their setpoints [s]."""


@dataclass
class Plant:
    """The body of the arm: joints with a lag, brakes that hold without power, and a log of all that moved."""

    model: ArmModel
    clock: Clock
    taken: list[np.ndarray] = field(default_factory=list)
    """Every setpoint that reached it, (n,) [rad] each."""
    motion: list[tuple[float, float]] = field(default_factory=list)
    """When, and the speed of its fastest joint [s, rad/s]."""
    bend: Callable[[ArmState], ArmState] = lambda state: state
    """What it says of what it measures."""
    refuses: RobotError | None = None
    """Raised for every setpoint."""
    gone: RobotError | None = None
    """Raised whenever it is asked for its state; the brakes have fallen in."""
    stuck: bool = False
    """Setpoints are taken and not followed."""
    deaf: float = 0.0
    """Until when nobody is answered who asks it what it measures [s]."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._q = np.array(self.model.home)
        self._target = self._q.copy()
        self._gripper = np.ones(self.model.gripper)
        self._then = self.clock.now()
        self.start = self._q.copy()

    @property
    def qpos(self) -> np.ndarray:
        """Where the joints are in truth, (n,) [rad]."""
        with self._lock:
            return self._advance()[0]

    def measure(self) -> ArmState:
        """What it says. Raises RobotError where it is gone."""
        with self._lock:
            qpos, qvel, now = self._advance()
            if self.gone is not None:
                raise self.gone
            return self.bend(ArmState(qpos, qvel, np.zeros(len(qpos)), self._gripper.copy(), now))

    def take(self, setpoint: Action) -> None:
        """A setpoint. Raises RobotError where it refuses."""
        with self._lock:
            self._advance()
            self.taken.append(setpoint.qpos.copy())
            if self.refuses is not None:
                raise self.refuses
            self._target, self._gripper = setpoint.qpos.copy(), setpoint.gripper.copy()

    def hold(self) -> None:
        """Stays where it is."""
        with self._lock:
            self._target = self._advance()[0]

    def _advance(self) -> tuple[np.ndarray, np.ndarray, float]:
        now = self.clock.now()
        dt, self._then = max(0.0, now - self._then), now
        if not self.stuck and self.gone is None:
            self._q = self._target + (self._q - self._target) * np.exp(-dt / _LAG)
            qvel = (self._target - self._q) / _LAG
        else:
            qvel = np.zeros_like(self._q)
        self.motion.append((time.monotonic(), float(np.abs(qvel).max())))
        return self._q.copy(), qvel, now


@dataclass(frozen=True)
class MemoryArm:
    """Implements `hardware.arm.Driver`."""

    address: str
    plant: Plant
    servo_hz: float = 100.0

    @property
    def arm(self) -> ArmModel:
        """Its model."""
        return self.plant.model

    def connect(self) -> MemoryLink:
        """The link."""
        return MemoryLink(self.plant)


@dataclass(frozen=True)
class MemoryLink:
    """Implements `hardware.arm.Link`."""

    plant: Plant

    def state(self) -> ArmState:
        """Where the joints are. Raises RobotError."""
        time.sleep(max(0.0, self.plant.deaf - time.monotonic()))
        return self.plant.measure()

    def send(self, setpoint: Action) -> None:
        """The next setpoint. Raises RobotError."""
        self.plant.take(setpoint)

    def stop(self) -> None:
        """Holds."""
        self.plant.hold()

    def close(self) -> None:
        """Holds."""
        self.plant.hold()


@dataclass
class MemoryCamera:
    """Implements `hardware.camera.Camera` and its own stream: noise with a target in the middle, at a rate."""

    name: str
    clock: Clock
    size: tuple[int, int] = (32, 32)
    """Width and height [px]."""
    fps: float = 30.0
    bend: Callable[[Frame], Frame] = lambda frame: frame
    """What becomes of a frame on its way; may raise RobotError."""
    _last: Frame | None = None

    def open(self) -> MemoryCamera:
        """It runs already."""
        return self

    def latest(self) -> Frame:
        """The newest frame. Raises RobotError."""
        number = int(self.clock.now() * self.fps)
        if self._last is None or self._last.number != number:
            image, truth = scene(number, self.size)
            self._last = Frame(image, number / self.fps, number, truth)
        return self.bend(self._last)

    def close(self) -> None:
        """Nothing to give back."""


def scene(number: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A picture that no other is like, (H, W, 3) u8, and the target's pixels, (H, W) bool."""
    width, height = size
    image = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
    truth = np.zeros((height, width), bool)
    truth[height // 3 : height // 2, width // 3 : width // 2] = True
    return image, truth


def unseen(frame: Frame) -> Frame:
    """The frame without a target."""
    return replace(frame, truth=np.zeros(frame.image.shape[:2], bool))
