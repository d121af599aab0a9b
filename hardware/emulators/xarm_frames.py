"""The wire format of UFACTORY's controllers: requests and replies on port 502, reports on ports 30001 to 30003.

Integers are big-endian, floats little-endian. A request is a header (transaction, protocol, length), a command and its data; the reply
repeats the header and the command, and adds a byte of flags before the data.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag

HEADER = struct.Struct(">HHH")
PROTOCOLS = (2, 3)
"""Of the header: UFACTORY's own, without and with a limit on silence."""
CONTROL, NORMAL, RICH, REAL = 502, 30001, 30002, 30003
"""Port numbers, fixed by the vendor."""
SIZES = {NORMAL: 145, RICH: 587, REAL: 135}
"""Of reports, in bytes."""
RATES = {NORMAL: 5.0, RICH: 5.0, REAL: 100.0}
"""Reports a second [Hz]."""
LONGEST = 1024
"""No request is longer."""


class FrameError(Exception):
    """Bytes that are no request."""


class Command(IntEnum):
    """The commands that are played here."""

    VERSION = 1
    SERIAL = 2
    ENABLE = 11
    SET_STATE = 12
    GET_STATE = 13
    COUNT = 14
    ERROR = 15
    CLEAN_ERROR = 16
    CLEAN_WARNING = 17
    SET_MODE = 19
    SERVO = 29
    LOAD = 36
    SENSITIVITY = 37
    JOINTS = 42
    MODBUS = 124
    TOOL_READ = 128


class Flag(IntFlag):
    """Of a reply."""

    INVALID = 0x08
    NOT_READY = 0x10
    WARNING = 0x20
    ERROR = 0x40


@dataclass(frozen=True)
class Request:
    """One command of a client."""

    transaction: int
    protocol: int
    command: int
    data: bytes

    def reply(self, flags: int, data: bytes = b"") -> bytes:
        """The answer to it."""
        return HEADER.pack(self.transaction, self.protocol, len(data) + 2) + bytes([self.command, flags]) + data

    def floats(self) -> tuple[float, ...]:
        """Its data as floats. Raises FrameError."""
        if len(self.data) % 4:
            raise FrameError(f"command {self.command} with {len(self.data)} bytes, not floats")
        return struct.unpack(f"<{len(self.data) // 4}f", self.data)


def body_length(header: bytes) -> int:
    """Bytes that follow a header. Raises FrameError."""
    _, protocol, length = HEADER.unpack(header)
    if protocol not in PROTOCOLS or not 1 <= length <= LONGEST:
        raise FrameError(f"a header of protocol {protocol} and length {length}")
    return length


def request(header: bytes, body: bytes) -> Request:
    """One request of its parts."""
    transaction, protocol, _ = HEADER.unpack(header)
    return Request(transaction, protocol, body[0], body[1:])


@dataclass(frozen=True)
class Measured:
    """What reports say; joints beyond the arm's are 0."""

    state: int
    mode: int
    queued: int
    qpos: Sequence[float]
    """[rad]"""
    torque: Sequence[float]
    """[N m]"""
    pose: Sequence[float]
    """Of the flange: position [mm], roll, pitch, yaw [rad]."""
    speed: Sequence[float]
    """[rad/s]"""
    enabled: int
    """A bit an axis."""
    error: int
    warning: int
    load: Sequence[float]
    """Mass [kg], centre [mm]."""
    sensitivity: int
    axes: int
    version: str


def report(port: int, m: Measured) -> bytes:
    """A report as this port sends them; what nobody measures here is 0."""
    out = bytearray(SIZES[port])
    struct.pack_into(">IBH", out, 0, SIZES[port], m.state | m.mode << 4, m.queued)
    struct.pack_into("<7f6f7f", out, 7, *_seven(m.qpos), *m.pose, *_seven(m.torque))
    if port == REAL:
        return bytes(out)
    struct.pack_into("<4B6f4f2B3f", out, 87, m.enabled, m.enabled, m.error, m.warning, *[0.0] * 6, *m.load, m.sensitivity, 1, 0, 0, -1)
    if port == RICH:
        struct.pack_into("6B30s", out, 145, m.axes, m.axes, 0xAA, 0x55, 0, 0, m.version.encode("ascii"))
        struct.pack_into("<8f", out, 252, 0.0, *_seven(m.speed))
    return bytes(out)


def _seven(values: Sequence[float]) -> list[float]:
    return [*map(float, values), *[0.0] * (7 - len(values))]
