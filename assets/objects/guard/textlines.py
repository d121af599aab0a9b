"""Text formats by strangers: a megabyte at a time, no line longer than a line is, no number that is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from assets.errors import ObjectError
from assets.objects.guard.limits import FARTHEST, LINE
from assets.objects.guard.place import say

_PIECE = 1 << 20


def lines_of(path: Path, start: int = 0) -> Iterator[list[bytes]]:
    """The lines of a file that hold anything, many at a time, without the white space around them. Raises ObjectError for no text."""
    with path.open("rb") as file:
        file.seek(start)
        rest = b""
        while piece := file.read(_PIECE):
            if b"\0" in piece:
                raise ObjectError("it is no text: it holds bytes of zero")
            whole = (rest + piece).replace(b"\r", b"\n").replace(b"\t", b" ")
            lines = whole.split(b"\n")
            rest = lines.pop()
            if max(map(len, (*lines, rest))) > LINE:
                raise ObjectError(f"it holds a line of more than {LINE} bytes")
            yield [line for line in map(bytes.strip, lines) if line]
        yield [rest.strip()] if rest.strip() else []


def rows_of(lines: Iterator[bytes], n: int, what: str) -> Iterator[list[list[bytes]]]:
    """The words of the next `n` lines, about a megabyte at a time. Raises ObjectError where there are fewer."""
    held: list[list[bytes]] = []
    size = 0
    for k in range(n):
        line = next(lines, None)
        if line is None:
            raise ObjectError(f"it is cut short: {k} of {n} {what}")
        held.append(line.split())
        size += len(line)
        if size > _PIECE:
            yield held
            held, size = [], 0
    if held:
        yield held


def floats(words: Sequence[bytes]) -> np.ndarray:
    """Numbers in text, (n,). Raises ObjectError."""
    if max(map(len, words), default=0) > 64:
        raise ObjectError("it holds a number of more than 64 letters")
    try:
        return np.array(words, dtype=np.bytes_).astype(np.float64) if len(words) else np.empty(0)
    except ValueError as error:
        raise ObjectError(f"it says {_first(words, float)} where a number belongs") from error


def integers(words: Sequence[bytes]) -> np.ndarray:
    """Whole numbers in text, (n,). Raises ObjectError."""
    if max(map(len, words), default=0) > 20:
        raise ObjectError("it holds a number of more than 20 letters")
    try:
        return np.array(words, dtype=np.bytes_).astype(np.int64) if len(words) else np.empty(0, np.int64)
    except (ValueError, OverflowError) as error:
        raise ObjectError(f"it says {_first(words, np.int64)} where the number of a vertex belongs") from error


def _first(words: Sequence[bytes], kind: Callable[[bytes], object]) -> str:
    """The first word that is no number of a kind, for a message."""
    for word in words:
        try:
            kind(word)
        except (ValueError, OverflowError):
            return say(word.decode("latin-1"), 24)
    return "something else"


def check_floats(numbers: np.ndarray | Sequence[bytes]) -> None:
    """Refuses coordinates that are not finite or nowhere near an object. Raises ObjectError."""
    values = floats(numbers) if not isinstance(numbers, np.ndarray) else numbers
    for start in range(0, len(values), 1 << 18):  # a piece at a time: what is mapped stays on the disk
        low, high = np.min(piece := values[start : start + (1 << 18)]), np.max(piece)
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ObjectError("some of its vertices are not finite")
        if max(abs(float(low)), abs(float(high))) > FARTHEST:
            raise ObjectError(
                f"a vertex lies at {max(abs(float(low)), abs(float(high))):.3g}; at most {FARTHEST:g} is read, whatever the unit"
            )


def check_polygons(rows: list[list[bytes]], vertices: int) -> int:
    """How many triangles there are in faces that say how many corners follow, when all are of `vertices`. Raises ObjectError."""
    held = integers([row[0] for row in rows])
    wrong = next((i for i, (n, row) in enumerate(zip(held, rows, strict=True)) if not 0 <= n < len(row)), None)
    if wrong is not None:
        raise ObjectError(f"a face says {held[wrong]} corners, and holds {len(rows[wrong]) - 1} numbers")
    corners = integers([word for n, row in zip(held, rows, strict=True) for word in row[1 : 1 + n]])
    if len(corners) and (corners.min() < 0 or corners.max() >= vertices):
        raise ObjectError(f"a face names a vertex that is not there: there are 0 to {vertices - 1}")
    return int(np.maximum(held - 2, 0).sum())
