"""JSON by strangers: small, flat, every key once, and numbers that are numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from policies.errors import PolicyError
from policies.guard.folder import open_file, shown

SIZE = 4 << 20
"""Of a file [bytes]."""
DEPTH = 24
"""Of tables and lists within each other."""


def read_table(file: Path) -> dict[str, Any]:
    """The table that a file holds. Raises PolicyError, naming the file."""
    with open_file(file) as held:
        return parse_table(held.read(SIZE + 1), file.name)


def parse_table(text: bytes, name: str) -> dict[str, Any]:
    """The table of a text; `name` says whose it is. Raises PolicyError."""
    if len(text) > SIZE:
        raise PolicyError(f"{name} has more than {SIZE >> 20} MB: no table of a checkpoint is so large")
    try:
        found = json.loads(text.decode(), object_pairs_hook=_once, parse_constant=_constant, parse_float=_number)
    except RecursionError:
        raise PolicyError(f"{name} is damaged (tables within tables, beyond any use)") from None
    except ValueError as error:
        raise PolicyError(f"{name} is damaged ({shown(error)})") from None
    if not isinstance(found, dict):
        raise PolicyError(f"{name} holds no table")
    level: list[Any] = [found]
    for _ in range(DEPTH):
        level = [
            inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer) if isinstance(inner, dict | list)
        ]
        if not level:
            return found
    raise PolicyError(f"{name} is damaged (tables within tables, more than {DEPTH} deep)")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1) if len(names) < 1000 else "a key"
        raise ValueError(f"{twice!r} is there twice")
    return found


def _constant(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{shown(text, 24)} is beyond all numbers")
    return value
