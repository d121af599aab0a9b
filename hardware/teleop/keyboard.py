"""The keys of a terminal, also over ssh: nothing to install, no window, no display.

A terminal tells of presses and repeats, never of a key that is let go. Motion is therefore kept up by repeats alone: a press moves the arm
for `hold` seconds, a nudge; a key that is held moves it for as long as its repeats come. Whatever falls silent, the keyboard, the
network or the person, the arm stands still after `hold`. One key repeats at a time, so that one direction moves at a time.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import sys
import termios
from dataclasses import dataclass

import numpy as np

from hardware.api import RobotError
from hardware.jog import Button, Control, Jog

MOVES: dict[bytes, tuple[float, ...]] = {
    b"w": (1, 0, 0, 0, 0, 0),
    b"s": (-1, 0, 0, 0, 0, 0),
    b"a": (0, 1, 0, 0, 0, 0),
    b"d": (0, -1, 0, 0, 0, 0),
    b"r": (0, 0, 1, 0, 0, 0),
    b"f": (0, 0, -1, 0, 0, 0),
    b"q": (0, 0, 0, 0, 0, 1),
    b"e": (0, 0, 0, 0, 0, -1),
    b"i": (0, 0, 0, 0, 1, 0),
    b"k": (0, 0, 0, 0, -1, 0),
    b"j": (0, 0, 0, -1, 0, 0),
    b"l": (0, 0, 0, 1, 0, 0),
    b"\x1b[A": (1, 0, 0, 0, 0, 0),
    b"\x1b[B": (-1, 0, 0, 0, 0, 0),
    b"\x1b[D": (0, 1, 0, 0, 0, 0),
    b"\x1b[C": (0, -1, 0, 0, 0, 0),
}
"""Linear and angular directions by key: the base's x away from it, y to its left, z up."""
BUTTONS = {
    b"\r": Button.START,
    b"\n": Button.START,
    b"y": Button.SUCCESS,
    b"n": Button.FAILURE,
    b"x": Button.DISCARD,
    b"z": Button.UNDO,
    b"\x04": Button.QUIT,
}
GRIPPER, HOME, ESCAPE = b" ", b"h", b"\x1b"


@dataclass(frozen=True)
class Keyboard:
    """The terminal that the program runs in."""

    hold: float = 0.15
    """How long one press or repeat keeps up motion [s]: longer than the time between repeats, shorter than patience."""
    descriptor: int = -1
    """Of the terminal; -1: standard input."""

    def __post_init__(self) -> None:
        if not 0.05 <= self.hold <= 0.5:
            raise RobotError(f"hold={self.hold} s; 0.05 to 0.5 s: what is longer is no dead man's switch")

    @property
    def help(self) -> str:
        """Which key does what."""
        return (
            "hold to move:  w s  away, back   a d  left, right   r f  up, down   q e  turn   i k  j l  tilt   h  home;  space  gripper\n"
            "Enter  start   y  success   n  failure   x  discard   z  undo the last   Ctrl-D  end   Ctrl-C  stop at once"
        )

    def open(self) -> Control:
        """Takes keys one by one until `close`. Raises RobotError where there is no terminal."""
        descriptor = sys.stdin.fileno() if self.descriptor < 0 else self.descriptor
        if not os.isatty(descriptor):
            raise RobotError(
                "teleop=keyboard needs a terminal, standard input is none (a pipe, a service); run it in one, or take a gamepad"
            )
        return _Keys(descriptor, self.hold)


class _Keys:
    """An open terminal: unbuffered, without echo; given back on every exit that Python sees."""

    def __init__(self, descriptor: int, hold: float) -> None:
        self.descriptor, self.hold = descriptor, hold
        self._before: list | None = termios.tcgetattr(descriptor)
        self._until: dict[bytes, float] = {}
        self._rest = b""
        atexit.register(self.close)
        changed = termios.tcgetattr(descriptor)
        changed[3] &= ~(termios.ICANON | termios.ECHO)  # Ctrl-C stays a signal
        changed[6][termios.VMIN], changed[6][termios.VTIME] = 1, 0
        changed[6][termios.VSUSP] = b"\x00"  # no Ctrl-Z: a program that sleeps while it holds an arm helps nobody
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, changed)

    def read(self, now: float) -> Jog:
        """What the keys since the last reading want. Raises RobotError where the terminal is gone."""
        toggle, buttons = False, []
        for key in self._keys():
            if key in MOVES or key == HOME:
                self._until = {key: now + self.hold}  # the newest alone: the last one repeats no more
            elif key == GRIPPER:
                toggle = True
            elif key in BUTTONS:
                buttons.append(BUTTONS[key])
        held = [key for key, until in self._until.items() if now < until]
        motion = np.sum([MOVES[key] for key in held if key in MOVES], axis=0) if held and held != [HOME] else np.zeros(6)
        x, y, z, turn_x, turn_y, turn_z = (float(v) for v in motion)
        return Jog((x, y, z), (turn_x, turn_y, turn_z), toggle, HOME in held, bool(held), tuple(buttons))

    def close(self) -> None:
        """Gives the terminal back as it was; what was typed and not read is dropped, lest the shell run it."""
        before, self._before = self._before, None
        if before is not None:
            atexit.unregister(self.close)
            with contextlib.suppress(OSError, termios.error):  # the terminal is gone
                termios.tcsetattr(self.descriptor, termios.TCSAFLUSH, before)

    def _keys(self) -> list[bytes]:
        """Whole keys that wait to be read; the beginning of an escape sequence is kept for the next time."""
        waiting = self._rest
        try:
            while select.select([self.descriptor], [], [], 0)[0]:
                more = os.read(self.descriptor, 4096)
                if not more:
                    raise OSError("end of file")
                waiting += more
        except OSError as error:
            raise RobotError(f"the terminal of teleop=keyboard is gone: {error.strerror or error}") from error
        keys = []
        while waiting:
            size = 1
            if waiting.startswith(ESCAPE + b"[") or waiting.startswith(ESCAPE + b"O"):
                size = next((k + 1 for k in range(2, len(waiting)) if 0x40 <= waiting[k] <= 0x7E), 0)
            elif waiting == ESCAPE:
                size = 0
            if not size:
                break
            keys.append(waiting[:size].replace(b"O", b"[") if size > 2 else waiting[:size])
            waiting = waiting[size:]
        self._rest = waiting[:32]
        return keys
