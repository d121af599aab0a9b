"""A gamepad through Linux's joystick interface: /dev/input/js*, 8 bytes an event, nothing to install.

The dead man's switch is a shoulder button: the sticks count while it is held. An event of the kernel's own (the first ones after opening,
or after some were lost) may let go of it, never press it: a pad that lies on its button moves nothing.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field

from hardware.api import RobotError
from hardware.jog import Button, Control, Jog

EVENT = struct.Struct("<IhBB")
"""Time [ms], value, kind, number: linux/joystick.h."""
BUTTON, AXIS, INITIAL = 0x01, 0x02, 0x80
GREATEST = 32767


@dataclass(frozen=True)
class Gamepad:
    """A pad with two sticks; numbers are those of an Xbox pad under the xpad driver, `jstest` shows those of others."""

    address: str = "/dev/input/js0"
    dead_zone: float = 0.15
    """Deflection of a stick that counts as none."""
    dead_man: int = 4
    """Button that must be held: left shoulder."""
    gripper: int = 5
    """Button: right shoulder."""
    home: int = 3
    """Button, held with the dead man's: Y."""
    success: int = 0
    """Button: A."""
    failure: int = 1
    """Button: B."""
    discard: int = 2
    """Button: X."""
    undo: int = 6
    """Button: back."""
    start: int = 7
    """Button."""
    x: int = 1
    """Axis: left stick, forward is negative."""
    y: int = 0
    """Axis: left stick, left is negative."""
    yaw: int = 3
    """Axis: right stick, left is negative."""
    pitch: int = 4
    """Axis: right stick, forward is negative."""
    down: int = 2
    """Axis: left trigger, -1 when let go."""
    up: int = 5
    """Axis: right trigger, -1 when let go."""

    def __post_init__(self) -> None:
        if not 0 <= self.dead_zone < 0.9:
            raise RobotError(f"dead_zone={self.dead_zone}; 0 to below 0.9")

    @property
    def help(self) -> str:
        """Which button does what."""
        return (
            "hold the left shoulder button:  left stick  away, back, left, right   triggers  down, up   right stick  turn, tilt   Y  home;"
            "  right shoulder  gripper\nstart  start   A  success   B  failure   X  discard   back  undo the last"
        )

    def open(self) -> Control:
        """Raises RobotError where there is no such pad, or it may not be read."""
        try:
            return _Pad(self, os.open(self.address, os.O_RDONLY | os.O_NONBLOCK))
        except OSError as error:
            raise RobotError(
                f"teleop=gamepad cannot read {self.address}: {error.strerror}; plug one in, or name it: device.address=/dev/input/js1"
            ) from error


@dataclass
class _Pad:
    pad: Gamepad
    descriptor: int
    axes: dict[int, float] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)
    rest: bytes = b""

    def read(self, now: float) -> Jog:
        """What sticks and buttons want. Raises RobotError where the pad is gone."""
        toggle, buttons, pad = False, [], self.pad
        decisions = {
            pad.start: Button.START,
            pad.success: Button.SUCCESS,
            pad.failure: Button.FAILURE,
            pad.discard: Button.DISCARD,
            pad.undo: Button.UNDO,
        }
        for _, value, kind, number in EVENT.iter_unpack(self._events()):
            if kind & ~INITIAL == AXIS:
                self.axes[number] = value / GREATEST
            elif kind & ~INITIAL == BUTTON and not value:
                self.held.discard(number)
            elif kind == BUTTON:
                self.held.add(number)
                toggle ^= number == pad.gripper
                buttons += [decisions[number]] if number in decisions else []
        live = pad.dead_man in self.held
        lift = (self._deflection(pad.up, trigger=True) - self._deflection(pad.down, trigger=True)) if live else 0.0
        x, y, yaw, pitch = (-self._deflection(axis) if live else 0.0 for axis in (pad.x, pad.y, pad.yaw, pad.pitch))
        return Jog((x, y, lift), (0.0, pitch, yaw), toggle, pad.home in self.held, live, tuple(buttons))

    def close(self) -> None:
        """Closes the device."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _deflection(self, axis: int, trigger: bool = False) -> float:
        """Of a stick in [-1, 1], of a trigger in [0, 1], beyond the dead zone. An axis that said nothing yet is let go."""
        value = self.axes.get(axis, -1.0 if trigger else 0.0)
        if trigger:
            value = (value + 1) / 2
        beyond = max(0.0, abs(value) - self.pad.dead_zone) / (1 - self.pad.dead_zone)
        return min(beyond, 1.0) * (1 if value > 0 else -1)

    def _events(self) -> bytes:
        found = self.rest
        try:
            while True:
                more = os.read(self.descriptor, 64 * EVENT.size)
                if not more:
                    raise OSError("end of file")
                found += more
        except BlockingIOError:
            pass
        except OSError as error:
            raise RobotError(f"the gamepad at {self.pad.address} is gone: {error.strerror or error}") from error
        whole = len(found) - len(found) % EVENT.size
        self.rest = found[whole:]
        return found[:whole]
