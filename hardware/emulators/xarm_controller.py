"""What a UFACTORY controller does behind its ports: axes, modes, errors, and the gripper on the tool's bus.

Played after the vendor's manual and answers of its engineers: stop (state 4), errors and settings all end servo mode, and motion takes
set_mode and set_state again; servoj executes the newest target alone, at up to the greatest speed; without one the arm rests where it
was sent.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np

from hardware.drivers.xarm_gravity import Load, weight
from hardware.emulators.xarm_frames import Command, Flag, Measured, Request
from hardware.model import ArmModel

MOVING, STANDBY, PAUSED, STOPPED, RESET = 1, 2, 3, 4, 5
"""States."""
BUTTONS = (1, 2, 3)
"""Errors of emergency stops: they stay until somebody lets the button go."""
POSITION, SERVO = 0, 1
"""Modes."""
GAIN = 40.0
"""Of the servos: speed over distance [1/s]."""
BAUD = {2_000_000: 11, 115_200: 5}
"""Codes of the tool bus's rates."""
JAW_FULL = 850
"""Counts of the gripper, open; 0 closed."""


@dataclass
class Jaw:
    """The gripper: registers of a Modbus device."""

    position: float = 800.0
    """[counts]"""
    target: float = 800.0
    speed: float = 1500.0
    """[counts/s]"""
    error: int = 0
    present: bool = True
    enabled: bool = False

    def tick(self, dt: float) -> None:
        """Moves time on [s]."""
        if self.enabled and not self.error:
            self.position += float(np.clip(self.target - self.position, -self.speed * dt, self.speed * dt))

    def answer(self, frame: bytes) -> bytes | None:
        """To a Modbus request without its checksum; None where nobody answers."""
        if not self.present or len(frame) < 6 or frame[0] != 8:
            return None
        function, address, count = frame[1], *struct.unpack(">HH", frame[2:6])
        if function == 0x03:
            values = {0x0702: struct.pack(">i", round(self.position)), 0x000F: struct.pack(">H", self.error)}
            data = values.get(address, bytes(2 * count))
            return bytes([8, 3, len(data)]) + data
        if function == 0x10 and len(frame) == 7 + 2 * count:
            if address == 0x0700:
                self.target = float(np.clip(struct.unpack(">i", frame[7:11])[0], 0, JAW_FULL))
            elif address == 0x0100:
                self.enabled = frame[8] == 1
            return frame[:6]
        return None


@dataclass
class Controller:
    """One arm and its control box; `tick` moves time on."""

    arm: ArmModel
    q: np.ndarray
    """Joint positions, (n,) [rad]."""
    version: str = "v2.5.0"
    kind: int = 0
    """Device type; 0: the number of axes, as xArms have."""
    state: int = STOPPED
    mode: int = POSITION
    error: int = 0
    warning: int = 0
    enabled: bool = False
    refuses: bool = False
    """Whether it takes no servoj, without an error."""
    follow: float = 1.0
    """Share of the speed that the joints make of what they should, without a word."""
    push: np.ndarray = field(default_factory=lambda: np.zeros(7))
    """Torque from outside, (7,) [N m]."""
    baud: int = 2_000_000
    jaw: Jaw = field(default_factory=Jaw)
    qd: np.ndarray = field(default_factory=lambda: np.zeros(0))
    target: np.ndarray | None = None
    load: Load = (0.0, 0.0, 0.0, 0.0)
    """Mass [kg], centre [mm]."""
    sensitivity: int = 3
    servos: int = 0
    """How many servoj commands came."""
    bad: int = 0
    """How many of them were not finite."""
    cleaned: int = 0
    """How often an error was cleaned."""

    def __post_init__(self) -> None:
        self.qd = np.zeros_like(self.q)
        self.fastest = np.array([joint.velocity for joint in self.arm.joints])
        self.brake = np.array([joint.acceleration for joint in self.arm.joints])

    def tick(self, dt: float) -> None:
        """Moves time on [s]."""
        if self.target is not None and self.state in (MOVING, STANDBY):
            self.qd = np.clip((self.target - self.q) * GAIN, -self.fastest, self.fastest) * self.follow
            self.state = MOVING if np.abs(self.qd).max() > 1e-4 else STANDBY
        else:
            self.qd = np.sign(self.qd) * np.maximum(np.abs(self.qd) - self.brake * dt, 0)
        self.q = self.q + self.qd * dt
        self.jaw.tick(dt)

    def halt(self, state: int = STOPPED) -> None:
        """Ends motion and servo mode."""
        self.target, self.state, self.mode = None, state, POSITION

    def fail(self, code: int) -> None:
        """An error of this code."""
        self.error = code
        self.halt()

    def flags(self) -> int:
        """Of replies."""
        ready = self.state in (0, MOVING, STANDBY) and not self.refuses
        return (0 if ready else Flag.NOT_READY) | (Flag.ERROR if self.error else 0) | (Flag.WARNING if self.warning else 0)

    def measured(self) -> Measured:
        """For reports."""
        n = len(self.q)
        tool = self.arm.frames(self.q)[-1]
        turn = tool[:3, :3]
        roll, yaw = np.arctan2(turn[2, 1], turn[2, 2]), np.arctan2(turn[1, 0], turn[0, 0])
        pitch = np.arcsin(np.clip(-turn[2, 0], -1, 1))
        mass, x, y, z = self.load
        torque = weight(self.arm, self.q, (mass, x / 1000, y / 1000, z / 1000)) + self.push[:n]
        return Measured(
            state=self.state,
            mode=self.mode,
            queued=0,
            qpos=self.q.tolist(),
            torque=torque.tolist(),
            pose=[*(tool[:3, 3] * 1000), roll, pitch, yaw],
            speed=self.qd.tolist(),
            enabled=(1 << n) - 1 if self.enabled else 0,
            error=self.error,
            warning=self.warning,
            load=self.load,
            sensitivity=self.sensitivity,
            axes=n,
            version=self.version,
        )

    def answer(self, asked: Request) -> bytes:
        """Carries out a command and answers it. Raises FrameError."""
        try:
            command = Command(asked.command)
        except ValueError:
            self.warning = 13  # the command does not exist
            return asked.reply(self.flags())
        data = getattr(self, f"_{command.name.lower()}")(asked)
        return asked.reply(self.flags() if isinstance(data, bytes) else self.flags() | Flag.INVALID, data or b"")

    def _version(self, _: Request) -> bytes:
        n = len(self.q)
        return f"{n},{self.kind or n},XI130500000000,AC130500000000,{self.version}".encode("ascii").ljust(64, b"\0")

    def _serial(self, _: Request) -> bytes:
        return b"XI130500000000\0AC130500000000".ljust(40, b"\0")

    def _enable(self, asked: Request) -> bytes | None:
        if self.error:
            return None
        self.enabled = bool(asked.data[1])
        return b""

    def _set_state(self, asked: Request) -> bytes | None:
        wanted = asked.data[0]
        if wanted == STOPPED:
            self.halt()
        elif self.error or not self.enabled:
            return None
        elif wanted == 0:
            self.state = STANDBY
        elif wanted == PAUSED:
            self.state = PAUSED
        else:
            return None
        return b""

    def _get_state(self, _: Request) -> bytes:
        return bytes([self.state])

    def _count(self, _: Request) -> bytes:
        return bytes(2)

    def _error(self, _: Request) -> bytes:
        return bytes([self.error, self.warning])

    def _clean_error(self, _: Request) -> bytes:
        self.cleaned += 1
        if self.error not in BUTTONS:
            self.error = 0
        return b""

    def _clean_warning(self, _: Request) -> bytes:
        self.warning = 0
        return b""

    def _set_mode(self, asked: Request) -> bytes:
        self.halt(RESET)
        self.mode = asked.data[0]
        return b""

    def _servo(self, asked: Request) -> bytes:
        self.servos += 1
        target = np.array(asked.floats()[: len(self.q)])
        if not np.isfinite(target).all():
            self.bad += 1
        elif self.mode == SERVO and self.state in (MOVING, STANDBY) and not self.refuses:
            if (target < self.arm.lower - 0.01).any() or (target > self.arm.upper + 0.01).any():
                self.fail(23)
            else:
                self.target = target
        return b""

    def _load(self, asked: Request) -> bytes:
        mass, x, y, z = asked.floats()[:4]
        self.load = (mass, x, y, z)
        self.halt(RESET)
        return b""

    def _sensitivity(self, asked: Request) -> bytes:
        self.sensitivity = asked.data[0]
        self.halt(RESET)
        return b""

    def _joints(self, _: Request) -> bytes:
        return struct.pack("<7f", *[*self.q, *[0.0] * (7 - len(self.q))])

    def _tool_read(self, _: Request) -> bytes:
        return struct.pack(">i", BAUD[self.baud])

    def _modbus(self, asked: Request) -> bytes:
        answer = self.jaw.answer(asked.data[1:]) if self.baud == 2_000_000 else None
        if answer is None:
            self.fail(19)  # nobody answers on the tool's bus
        return asked.data[:1] + (answer or b"")
