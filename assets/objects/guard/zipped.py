"""Zip archives by strangers."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from assets.errors import ObjectError
from assets.objects.guard.limits import Limits
from assets.objects.guard.member import Member

_END = struct.Struct("<4s4H2LH")
"""The record at the end: how many members, and where their list lies."""
_ENTRY = 46
"""Least length of an entry of the list [bytes]."""
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_ENCRYPTED = 0x1 | 0x40
_KINDS = {
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


class Zip:
    """A zip whose list of members is short enough to be read. Raises ObjectError, as do its methods, for one that is damaged."""

    def __init__(self, archive: Path, size: int, limits: Limits) -> None:
        _check_list(archive, size, limits)
        try:
            self._zip = zipfile.ZipFile(archive)
        except _BROKEN as error:
            raise ObjectError(f"it is a damaged zip: {error}") from error
        self._size, self._limits = size, limits

    def __enter__(self) -> Zip:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def members(self) -> Iterator[Member]:
        """What the list says. Raises ObjectError where members share bytes, as bombs' do."""
        infos = self._zip.infolist()
        if len(infos) > self._limits.members:
            raise ObjectError(f"it holds {len(infos)} members; at most {self._limits.members} are read")
        end = 0
        for info in sorted(infos, key=lambda i: i.header_offset):
            if info.header_offset < end:
                raise ObjectError("its members overlap: one piece of the archive unpacks to several files")
            end = info.header_offset + 30 + len(info.orig_filename) + info.compress_size
        if end > self._size:
            raise ObjectError("it is cut short: its list names bytes that are not there")
        for info in infos:
            kind = stat.S_IFMT(info.external_attr >> 16)
            flaw = ""
            if info.flag_bits & _ENCRYPTED:
                flaw = "it is encrypted"
            elif info.compress_type not in _METHODS:
                flaw = "it is packed in another way than 'deflate'"
            yield Member(
                info.orig_filename, _KINDS.get(kind, "folder" if info.is_dir() else "file"), info.file_size, info.compress_size, flaw
            )

    def contents(self, wanted: set[int]) -> Iterator[tuple[int, Iterator[bytes]]]:
        """The pieces of each wanted member, by its number."""
        for i, info in enumerate(self._zip.infolist()):
            if i in wanted:
                yield i, self._pieces(info)

    def _pieces(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        try:
            with self._zip.open(info) as file:
                while piece := file.read(1 << 16):
                    yield piece
        except _BROKEN as error:
            raise ObjectError(f"it is damaged: {error}") from error


_BROKEN = (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, KeyError, EOFError, zlib.error, struct.error, OverflowError)


def _check_list(archive: Path, size: int, limits: Limits) -> None:
    """Refuses a list of members that would fill the memory, before zipfile reads all of it."""
    tail = min(size, _END.size + (1 << 16) + 20)
    with archive.open("rb") as file:
        file.seek(size - tail)
        data = file.read(tail)
    at = data.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(data):
        raise ObjectError("it is a damaged zip: it has no list of members; is it cut short?")
    _, _, _, _, count, length, _, _ = _END.unpack_from(data, at)
    if at >= 20 and data[at - 20 : at - 16] == b"PK\x06\x07":  # zip64
        (place,) = struct.unpack_from("<Q", data, at - 12)
        with archive.open("rb") as file:
            file.seek(min(place, size))
            record = file.read(56)
        if len(record) < 56 or record[:4] != b"PK\x06\x06":
            raise ObjectError("it is a damaged zip: its list of members is not where it says")
        count, length = struct.unpack_from("<2Q", record, 32)
    if count > limits.members:
        raise ObjectError(f"it holds {count} members; at most {limits.members} are read")
    if length > limits.members * (_ENTRY + 256):
        raise ObjectError(f"its list of members takes {length} bytes: it holds more than {limits.members}")
