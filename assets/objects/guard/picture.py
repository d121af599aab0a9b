"""Pictures by strangers: PNG and JPEG, by their headers, before anything decodes them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from assets.errors import ObjectError
from assets.objects.guard.limits import PICTURE_BYTES, SIDE
from assets.objects.guard.place import megabytes, read, say

PNG = b"\x89PNG\r\n\x1a\n"
_TEXT = 4 << 20
"""What all the packed notes of a PNG may unpack to [bytes]."""
_SLICE = 1 << 16
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column and row, and steps, of the seven passes of an interlaced PNG."""
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = 64
"""Scans of one JPEG: each goes over the whole picture again."""


def check_picture(path: Path, *, side: int = SIDE, size: int = PICTURE_BYTES, kinds: tuple[str, ...] = ("PNG", "JPEG")) -> None:
    """Refuses a file that is no picture of at most `side` pixels a side and `size` bytes, or that unpacks to more than it says.

    Args:
        kinds: of PNG and JPEG, what is taken.

    Raises:
        ObjectError: with the reason.
    """
    check_pixels(read(path, size), say(path.name), side=side, kinds=kinds)


def check_pixels(data: bytes | memoryview, what: str, *, side: int = SIDE, kinds: tuple[str, ...] = ("PNG", "JPEG")) -> tuple[int, int]:
    """As `check_picture`, for the bytes themselves. Returns width and height [pixels]."""
    data = memoryview(data)
    kind = "PNG" if data[:8] == PNG else "JPEG" if data[:3] == b"\xff\xd8\xff" else None
    if kind not in kinds:
        raise ObjectError(f"{what} is no {' or '.join(kinds)} of at most {side} pixels a side" + (f" but a {kind}" if kind else ""))
    try:
        return _png(data, what, side) if kind == "PNG" else _jpeg(data, what, side)
    except (struct.error, IndexError) as error:
        raise ObjectError(f"{what} is cut short") from error


def _sides(width: int, height: int, what: str, kind: str, side: int) -> None:
    if not (0 < width <= side and 0 < height <= side):
        raise ObjectError(f"{what} is no {kind} of at most {side} pixels a side: it says {width} x {height}")


def _png(data: memoryview, what: str, side: int) -> tuple[int, int]:
    length, kind, width, height, depth, colour, packing, filtering, interlaced = struct.unpack_from(">I4sIIBBBBB", data, 8)
    if kind != b"IHDR" or length != 13:
        raise ObjectError(f"{what} is a PNG without a header")
    _sides(width, height, what, "PNG", side)
    if depth not in _DEPTHS.get(colour, ()) or packing or filtering or interlaced > 1:
        raise ObjectError(f"{what} is a PNG of a kind that there is not")
    expected = _size(width, height, depth * _CHANNELS[colour], bool(interlaced))
    inflater, drawn, notes, ended = zlib.decompressobj(), 0, 0, False
    for kind, body in _chunks(data, what):
        if kind == b"acTL":
            raise ObjectError(f"{what} is a film, not a picture")
        if kind == b"IDAT":
            drawn += _inflated(inflater, body, expected + 1 - drawn, what)
            if drawn > expected:
                raise ObjectError(f"{what} unpacks to more than the {megabytes(expected)} of its {width} x {height} pixels")
        elif kind in (b"zTXt", b"iTXt", b"iCCP"):
            notes += _note(kind, body, _TEXT - notes, what)
        elif kind == b"IEND":
            ended = True
            break
    if not ended or drawn < expected:
        raise ObjectError(f"{what} is cut short: it holds {drawn} of the {expected} bytes of its pixels")
    return width, height


def _chunks(data: memoryview, what: str) -> Iterator[tuple[bytes, memoryview]]:
    place = 8
    while place < len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if place + 12 + length > len(data):
            raise ObjectError(f"{what} is cut short")
        body = data[place + 8 : place + 8 + length]
        if kind[0] & 32 == 0 and zlib.crc32(data[place + 4 : place + 8 + length]) != struct.unpack_from(">I", data, place + 8 + length)[0]:
            raise ObjectError(f"{what} is damaged: the checksum of {say(kind.decode('latin-1'))} is wrong")
        yield kind, body
        place += 12 + length


def _size(width: int, height: int, bits: int, interlaced: bool) -> int:
    """Bytes of a PNG's pixels, with a byte for the filter of each row."""
    passes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in _ADAM7] if interlaced else [(width, height)]
    return sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in passes if columns > 0 and rows > 0)


def _note(kind: bytes, body: memoryview, most: int, what: str) -> int:
    """Bytes that a packed note unpacks to."""
    raw = bytes(body)
    name, _, rest = raw.partition(b"\0")
    if kind == b"iTXt":
        packed = rest[:1] == b"\1"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
        if not packed:
            return len(raw)
    else:
        rest = rest[1:]
    size = len(name) + _inflated(zlib.decompressobj(), rest, most + 1, what)
    if size > most:
        raise ObjectError(f"{what} holds a note that unpacks to more than {megabytes(_TEXT)}")
    return size


def _inflated(inflater: zlib._Decompress, packed: bytes | memoryview, most: int, what: str) -> int:
    """How many bytes it unpacks to; stops beyond `most`, holds little at a time."""
    size = 0
    try:
        for start in range(0, len(packed), _SLICE):
            left: bytes | memoryview = packed[start : start + _SLICE]
            while size < most and not inflater.eof:
                out = inflater.decompress(left, _SLICE)
                size += len(out)
                left = inflater.unconsumed_tail
                if not left and len(out) < _SLICE:
                    break
    except zlib.error as error:
        raise ObjectError(f"{what} is damaged: {error}") from error
    return size


def _jpeg(data: memoryview, what: str, side: int) -> tuple[int, int]:
    place, found, scans = 2, None, 0
    while True:
        if data[place] != 0xFF:
            raise ObjectError(f"{what} is a damaged JPEG")
        marker = data[place + 1]
        if marker == 0xFF:  # padding
            place += 1
            continue
        if marker == 0xD9:
            break
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            place += 2
            continue
        (length,) = struct.unpack_from(">H", data, place + 2)
        if length < 2 or place + 2 + length > len(data):
            raise ObjectError(f"{what} is cut short")
        if marker in _FRAMES:
            if found:
                raise ObjectError(f"{what} is a JPEG that says its size twice")
            height, width = struct.unpack_from(">HH", data, place + 5)
            _sides(width, height, what, "JPEG", side)
            found = width, height
        elif marker == 0xDC:
            raise ObjectError(f"{what} is a JPEG that says its height afterwards")
        place += 2 + length
        if marker == 0xDA:
            scans += 1
            if scans > _PROGRESSIVE:
                raise ObjectError(f"{what} is a JPEG of more than {_PROGRESSIVE} scans")
            place = _after_scan(data, place, what)
    if found is None or not scans:
        raise ObjectError(f"{what} is a JPEG without a picture")
    return found


def _after_scan(data: memoryview, place: int, what: str) -> int:
    """Where the next marker stands: 0xFF followed by neither 0 nor a restart."""
    raw = data.obj if isinstance(data.obj, bytes) and data.nbytes == len(data.obj) else bytes(data)
    while True:
        place = raw.find(b"\xff", place)
        if place < 0 or place + 1 >= len(raw):
            raise ObjectError(f"{what} is cut short: its picture has no end")
        if raw[place + 1] != 0 and not 0xD0 <= raw[place + 1] <= 0xD7:
            return place
        place += 2
