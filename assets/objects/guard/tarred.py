"""Tar archives by strangers. Our own reader of their headers: tarfile takes headers of any length into memory, and follows sparse maps."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from assets.errors import ObjectError
from assets.objects.guard.limits import Limits
from assets.objects.guard.member import Member
from assets.objects.guard.place import megabytes

_BLOCK, _PIECE = 512, 1 << 16
_HEADER_BYTES = 1 << 16
"""Longest long name, and longest list of extended attributes [bytes]."""
_FREE = 64 << 20
"""What an archive may unpack to however small it is [bytes]."""
_XZ_MEMORY = 128 << 20
_KINDS = {b"1": "hard link", b"2": "link", b"3": "device", b"4": "device", b"6": "pipe", b"S": "sparse file", b"5": "folder"}
_FILES = (b"0", b"\0", b"7")


@dataclass
class Tar:
    """A tar, packed as a whole by `packing` ("gz", "bz2", "xz", or "" for none)."""

    archive: Path
    packing: str
    size: int
    limits: Limits

    def __enter__(self) -> Tar:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def members(self) -> Iterator[Member]:
        """What the headers say. Raises ObjectError where the archive is damaged or unpacks to too much."""
        for i, (member, _) in enumerate(self._walk()):
            if i >= self.limits.members:
                raise ObjectError(f"it holds more than {self.limits.members} members")
            yield member

    def contents(self, wanted: set[int]) -> Iterator[tuple[int, Iterator[bytes]]]:
        """The pieces of each wanted member, by its number, in order."""
        for i, (_, pieces) in enumerate(self._walk()):
            if i in wanted:
                yield i, pieces

    def _walk(self) -> Iterator[tuple[Member, Iterator[bytes]]]:
        with self.archive.open("rb") as file:
            most = min(self.limits.total, int(_FREE + self.limits.ratio * self.size)) + _BLOCK * (self.limits.members + 2) * 2
            stream = _Stream(file, self.packing, most)
            said: dict[str, str] = {}
            while (header := stream.read(_BLOCK)) and header.count(0) < _BLOCK:
                kind, size = header[156:157], _number(header[124:136])
                _check_sum(header)
                if kind in (b"L", b"K", b"x", b"g"):
                    if size > _HEADER_BYTES:
                        raise ObjectError(f"one of its headers says {megabytes(size)}; at most {megabytes(_HEADER_BYTES)} are read")
                    body = stream.read(-(-size // _BLOCK) * _BLOCK)[:size]
                    if kind == b"L":
                        said["path"] = _text(body)
                    elif kind == b"x":
                        said |= _records(body)
                    continue
                if kind == b"S":
                    more = header[482:483]
                    while more not in (b"\0", b""):
                        more = stream.read(_BLOCK)[504:505]
                word = "file" if kind in _FILES else _KINDS.get(kind, "thing of a kind that there is not")
                if any(key.startswith("GNU.sparse") for key in said):
                    word = "sparse file"
                if "size" in said:
                    size = _whole(said["size"])
                if kind in (b"1", b"2", b"3", b"4", b"5", b"6"):
                    size = 0
                name = said.get("path", _name(header))
                if word == "file" and name.endswith("/"):
                    word = "folder"
                said = {}
                yield Member(name, word, size), stream.pieces(size)
                stream.skip()
            if not header and not stream.place:
                raise ObjectError("it is an empty tar")


@dataclass
class _Stream:
    """The unpacked bytes of an archive, forwards, counted."""

    file: BinaryIO
    packing: str
    most: int
    place: int = 0
    _left: int = 0
    _ready: bytes = b""
    _engine: _Engine | None = field(default=None)

    def read(self, size: int) -> bytes:
        """`size` bytes; none where the archive has ended. Raises ObjectError where it ends in between."""
        pieces, missing = [], size
        while missing:
            if not self._ready:
                self._ready = self._next()
            if not self._ready:
                break
            pieces.append(self._ready[:missing])
            self._ready = self._ready[len(pieces[-1]) :]
            missing -= len(pieces[-1])
        if 0 < missing < size or (missing and self._left):
            raise ObjectError("it is cut short")
        return b"".join(pieces)

    def pieces(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes, little by little; what is not asked for, `skip` passes over."""
        self._left = -(-size // _BLOCK) * _BLOCK
        return self._pieces(size)

    def _pieces(self, size: int) -> Iterator[bytes]:
        while size > 0:
            piece = self.read(min(size, _PIECE))
            self._left -= len(piece)
            size -= len(piece)
            yield piece

    def skip(self) -> None:
        """Goes to the next header."""
        while self._left:
            self._left -= len(self.read(min(self._left, _PIECE)))

    def _next(self) -> bytes:
        """The next bytes of the archive; none at its end. Raises ObjectError for more than `most`."""
        try:
            found = self.file.read(_PIECE) if not self.packing else self._unpacked()
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, MemoryError) as error:
            raise ObjectError(f"it is damaged: {error or type(error).__name__}") from error
        self.place += len(found)
        if self.place > self.most:
            raise ObjectError(f"it unpacks to more than {megabytes(self.most)}")
        return found

    def _unpacked(self) -> bytes:
        while True:
            if self._engine is None:
                head = self.file.read(_PIECE)
                if not head.strip(b"\0"):
                    return b""
                self._engine = _Engine(self.packing, head)
            out = self._engine.more(self.file)
            if out:
                return out
            rest, self._engine = self._engine.rest, None  # another packed piece may follow
            self.file.seek(-len(rest), 1)


class _Engine:
    """One packed piece: bounded in what it gives at a time, and in memory."""

    def __init__(self, packing: str, head: bytes) -> None:
        self._gz = zlib.decompressobj(31) if packing == "gz" else None
        self._other = None if self._gz else bz2.BZ2Decompressor() if packing == "bz2" else lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
        self._input = head

    @property
    def rest(self) -> bytes:
        """What follows the piece, read already."""
        return self._gz.unused_data if self._gz else self._other.unused_data if self._other else b""

    def more(self, file: BinaryIO) -> bytes:
        """The next bytes; none when the piece has ended. Raises EOFError where it is cut short."""
        while True:
            if self._gz:
                if self._gz.eof:
                    return b""
                out = self._gz.decompress(self._input, _PIECE)
                self._input = self._gz.unconsumed_tail
                hungry = not out and not self._input
            else:
                assert self._other is not None
                if self._other.eof:
                    return b""
                out = self._other.decompress(self._input, _PIECE)
                self._input = b""
                hungry = self._other.needs_input
            if out:
                return out
            if hungry and not (self._gz or self._other).eof:  # type: ignore[union-attr]
                self._input = file.read(_PIECE)
                if not self._input:
                    raise EOFError("it is cut short")


def _number(field: bytes) -> int:
    """Octal, or binary where the first bit is set. Raises ObjectError."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    text = field.strip(b" \0")
    try:
        value = int(text or b"0", 8)
    except ValueError:
        value = -1
    if value < 0:
        raise ObjectError("it is a damaged tar: a header says a size that is no number")
    return value


def _whole(text: str) -> int:
    if not text.isdecimal() or len(text) > 18:
        raise ObjectError("it is a damaged tar: a header says a size that is no number")
    return int(text)


def _check_sum(header: bytes) -> None:
    if sum(header[:148]) + sum(header[156:]) + 8 * 32 != _number(header[148:156]):
        raise ObjectError("it is a damaged tar: the checksum of a header is wrong")


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _name(header: bytes) -> str:
    name = _text(header[:100])
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _records(body: bytes) -> dict[str, str]:
    """Extended attributes: LENGTH KEY=VALUE and a line end, again and again. Raises ObjectError."""
    found: dict[str, str] = {}
    place = 0
    while place < len(body):
        digits, _, _ = body[place : place + 20].partition(b" ")
        length = _whole(digits.decode("latin-1"))
        if not len(digits) < length <= len(body) - place:
            raise ObjectError("it is a damaged tar: its extended headers do not add up")
        key, _, value = body[place + len(digits) + 1 : place + length - 1].partition(b"=")
        found[key.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
        place += length
    return found
