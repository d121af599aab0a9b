"""Devices that people move arms with: a table of names, each imported when it is opened."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from hardware.api import RobotError
from hardware.jog import Control, Hand, Teleop


@dataclass(frozen=True)
class Row:
    """One device."""

    name: str
    device: str
    """`module:Class` of a frozen dataclass."""
    says: str


DEVICES = (
    Row("keyboard", "hardware.teleop.keyboard:Keyboard", "the terminal's keys, over ssh too"),
    Row("gamepad", "hardware.teleop.gamepad:Gamepad", "a gamepad of Linux's joystick interface"),
    Row("leader", "hardware.teleop.leader:Leader", "a leader arm that LeRobot knows, SO-101 first"),
)


def find_device(name: str, settings: Mapping[str, Any] | None = None) -> Teleop:
    """The device of a name with its settings; opens nothing. Raises RobotError for a name or a setting that is not there."""
    for row in DEVICES:
        if row.name == name:
            module, _, noun = row.device.partition(":")
            made = getattr(importlib.import_module(module), noun)
            known = [field.name for field in fields(made)]
            if strange := [key for key in settings or {} if key not in known]:
                raise RobotError(f"teleop={name} has no setting {strange[0]!r}; it has: {', '.join(known)}")
            return made(**(settings or {}))
    raise RobotError(f"teleop={name!r} is not known; known: {', '.join(row.name for row in DEVICES)}")


@dataclass(frozen=True)
class Beside:
    """A device with another beside it: the first one moves the arm, the buttons of both count."""

    device: Teleop
    other: Teleop

    @property
    def help(self) -> str:
        """Of the first one, and the buttons of the other."""
        return f"{self.device.help}\n{self.other.help.splitlines()[-1]}"

    def open(self) -> Control:
        """Opens both, or neither. Raises RobotError."""
        first = self.device.open()
        try:
            return _Both(first, self.other.open())
        except BaseException:
            first.close()
            raise


@dataclass(frozen=True)
class _Both:
    first: Control
    second: Control

    def read(self, now: float) -> Hand:
        """The first one's motion, the buttons of both."""
        hand, other = self.first.read(now), self.second.read(now)
        return replace(hand, buttons=hand.buttons + other.buttons)

    def close(self) -> None:
        """Closes both."""
        self.first.close()
        self.second.close()
