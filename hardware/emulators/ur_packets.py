"""The wire format of RTDE, the data exchange of Universal Robots' controllers: packages, types and recipes, protocol version 2.

A package is its length in two bytes, its kind in one, then its body; all big-endian. A recipe is a list of variables: once agreed upon, a
data package is the recipe's number and the values one after another.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np


class Kind(IntEnum):
    """What a package is."""

    DATA = ord("U")
    INPUTS = ord("I")
    OUTPUTS = ord("O")
    PAUSE = ord("P")
    PROTOCOL = ord("V")
    START = ord("S")
    TEXT = ord("M")
    VERSION = ord("v")


HEADER = struct.Struct(">HB")
FORMATS = {
    "VECTOR6D": "6d",
    "VECTOR3D": "3d",
    "VECTOR6INT32": "6i",
    "DOUBLE": "d",
    "INT32": "i",
    "UINT32": "I",
    "UINT64": "Q",
}
"""The struct format of each type."""
OUTPUTS = {
    "timestamp": "DOUBLE",
    "target_q": "VECTOR6D",
    "target_qd": "VECTOR6D",
    "target_current": "VECTOR6D",
    "actual_q": "VECTOR6D",
    "actual_qd": "VECTOR6D",
    "actual_current": "VECTOR6D",
    "robot_mode": "INT32",
    "safety_mode": "INT32",
    "speed_scaling": "DOUBLE",
    "target_speed_fraction": "DOUBLE",
    "runtime_state": "UINT32",
    "robot_status_bits": "UINT32",
    "safety_status_bits": "UINT32",
}
"""The variables that the emulated controller measures; it knows the registers too. All others are NOT_FOUND."""
REGISTERS = 48
OUTPUTS |= {f"output_int_register_{i}": "INT32" for i in range(REGISTERS)}
OUTPUTS |= {f"output_double_register_{i}": "DOUBLE" for i in range(REGISTERS)}
INPUTS = {f"input_int_register_{i}": "INT32" for i in range(REGISTERS)}
INPUTS |= {f"input_double_register_{i}": "DOUBLE" for i in range(REGISTERS)}
INPUTS |= {"external_force_torque": "VECTOR6D"}


class PacketError(Exception):
    """A package that does not say what it claims to: too short, too long, of no known recipe."""


@dataclass(frozen=True)
class Recipe:
    """Variables that travel together."""

    number: int
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    """The type of each variable, a key of FORMATS."""

    @property
    def layout(self) -> struct.Struct:
        """Of the body: the recipe's number, then the values."""
        return struct.Struct(">B" + "".join(FORMATS[kind] for kind in self.kinds))

    def pack(self, values: dict[str, float | int | np.ndarray]) -> bytes:
        """A data package with its header."""
        flat: list[float | int] = []
        for name, kind in zip(self.names, self.kinds, strict=True):
            number = int if kind.startswith(("INT", "UINT")) or kind == "VECTOR6INT32" else float
            flat += [number(v) for v in np.atleast_1d(values[name])]
        return package(Kind.DATA, self.layout.pack(self.number, *flat))

    def unpack(self, body: bytes) -> dict[str, float | int | tuple[float, ...]]:
        """The values of a data package's body. Raises PacketError."""
        if len(body) != self.layout.size:
            raise PacketError(f"recipe {self.number} takes {self.layout.size} bytes, got {len(body)}")
        flat = iter(self.layout.unpack(body)[1:])
        values: dict[str, float | int | tuple[float, ...]] = {}
        for name, kind in zip(self.names, self.kinds, strict=True):
            count = int(FORMATS[kind][:-1] or 1)
            values[name] = next(flat) if count == 1 else tuple(next(flat) for _ in range(count))
        return values


def package(kind: Kind, body: bytes) -> bytes:
    """A package with its header."""
    return HEADER.pack(HEADER.size + len(body), kind) + body


def names_in(body: bytes) -> list[str]:
    """The variables of a set-up request, separated by commas; clients end the list with one."""
    return [name for name in body.decode("ascii", "replace").split(",") if name]


def recipe(number: int, names: Sequence[str], known: dict[str, str], taken: frozenset[str] = frozenset()) -> tuple[Recipe | None, bytes]:
    """The recipe, or None where a variable is unknown or taken; and the answer's body: its number and the types."""
    kinds = ["NOT_FOUND" if name not in known else "IN_USE" if name in taken else known[name] for name in names]
    good = all(kind in FORMATS for kind in kinds)
    answer = bytes([number if good else 0]) + ",".join(kinds).encode()
    return (Recipe(number, tuple(names), tuple(kinds)) if good else None), answer
