"""Text formats by strangers: a megabyte at a time, no line longer than a line is, no number that is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from assets.errors import ObjectError
from assets.objects.guard.limits import FARTHEST, LINE

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


def floats(words: Sequence[bytes]) -> np.ndarray:
    """Numbers in text, (n,). Raises ObjectError."""
    if max(map(len, words), default=0) > 64:
        raise ObjectError("it holds a number of more than 64 letters")
    try:
        return np.array(words, dtype=np.bytes_).astype(np.float64) if len(words) else np.empty(0)
    except ValueError as error:
        raise ObjectError(f"it holds something that is no number: {' '.join(str(error).split())[:60]}") from error


def integers(words: Sequence[bytes]) -> np.ndarray:
    """Whole numbers in text, (n,). Raises ObjectError."""
    if max(map(len, words), default=0) > 20:
        raise ObjectError("it holds a number of more than 20 letters")
    try:
        return np.array(words, dtype=np.bytes_).astype(np.int64) if len(words) else np.empty(0, np.int64)
    except (ValueError, OverflowError) as error:
        raise ObjectError(f"it holds an index that is no whole number: {' '.join(str(error).split())[:60]}") from error


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
