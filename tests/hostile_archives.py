"""Zip and tar files that nobody should unpack. Each also holds a pack that is harmless, where its form allows one."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from hostile_files import CUBE, PACK, Hostile

MEGA, GIGA = 1 << 20, 1 << 30


def zeros(size: int) -> bytes:
    """A deflate stream of `size` zeros [bytes], made without making them: 1 MB of them, again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    one = packer.compress(bytes(MEGA)) + packer.flush(zlib.Z_FULL_FLUSH)
    return one * (size // MEGA) + b"\x03\x00"


@dataclass
class Entry:
    """A member of a zip: what it holds, and what is said of it."""

    name: bytes
    data: bytes = b"x"
    packed: bytes | None = None
    size: int | None = None
    crc: int | None = None
    flags: int = 0
    method: int = 0
    mode: int = 0o100644
    at: int | None = None
    """Where its bytes are said to lie; behind those before it by default."""


GOOD = (Entry(b"good/object.xml", PACK.encode()), Entry(b"good/m.obj", CUBE.encode()))


def write_zip(path: Path, *entries: Entry, count: int | None = None, length: int | None = None) -> None:
    """A zip of these members behind those of a harmless pack, whatever they say."""
    body, listed = b"", b""
    for e in (*GOOD, *entries):
        packed = e.data if e.packed is None else e.packed
        crc = zlib.crc32(e.data) if e.crc is None else e.crc
        size = len(e.data) if e.size is None else e.size
        method = 8 if e.packed is not None and not e.method else e.method
        head = struct.pack("<5H3L2H", 20, e.flags, method, 0, 33, crc, len(packed), min(size, 2**32 - 1), len(e.name), 0)
        at = len(body) if e.at is None else e.at
        if e.at is None:
            body += b"PK\x03\x04" + head + e.name + packed
        listed += b"PK\x01\x02" + struct.pack("<H", 0x0314) + head + struct.pack("<3H2L", 0, 0, 0, e.mode << 16, at) + e.name
    n = len(entries) + len(GOOD)
    n, long = count if count is not None else n, length if length is not None else len(listed)
    path.write_bytes(body + listed + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, min(n, 65535), min(n, 65535), long, len(body), 0))


def zipped(name: str, said: str, *entries: Entry, **says: int) -> Hostile:
    return Hostile(name, said, lambda path: write_zip(path, *entries, **says))


def overlapping(path: Path) -> None:
    """As Fifield's: one piece of bytes, many names."""
    kernel = Entry(b"0", packed=zeros(64 * MEGA), size=64 * MEGA, crc=0)
    first = sum(30 + len(e.name) + len(e.data) for e in GOOD)
    write_zip(path, kernel, *(Entry(b"%d" % i, packed=kernel.packed, size=64 * MEGA, crc=0, at=first) for i in range(1, 400)))


def a_million_members(path: Path) -> None:
    """Really there: 70 MB of list."""
    entry = b"PK\x01\x02" + struct.pack("<H5H3L2H3H2L", 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    body = b"PK\x03\x04" + struct.pack("<5H3L2H", 20, 0, 0, 0, 33, 0, 0, 0, 1, 0) + b"a"
    path.write_bytes(body + entry * 10**6 + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 999, 999, len(entry) * 10**6, len(body), 0))


def a_zip64_of_a_million(path: Path) -> None:
    record = b"PK\x06\x06" + struct.pack("<Q2H2L4Q", 44, 45, 45, 0, 0, 10**6, 10**6, 2**40, 40)
    body = b"PK\x03\x04" + bytes(36)
    locator = b"PK\x06\x07" + struct.pack("<LQL", 0, len(body), 1)
    path.write_bytes(body + record + locator + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0))


def a_zip_cut_short(path: Path) -> None:
    write_zip(path)
    path.write_bytes(path.read_bytes()[:-40])


def a_zip_without_its_middle(path: Path) -> None:
    write_zip(path, Entry(b"long", bytes(1000)))
    data = path.read_bytes()
    path.write_bytes(data[:60] + data[500:])


def a_picture_named_zip(path: Path) -> None:
    path.write_bytes(b"GIF89a" + bytes(1000))


ZIPS = [
    zipped("../evil", "leads outside", Entry(b"../evil")),
    zipped("good/../../evil", "leads outside", Entry(b"good/../../evil")),
    zipped("/etc/cron.d/evil", "absolute", Entry(b"/etc/cron.d/evil")),
    zipped("C:/evil.obj", "path of Windows", Entry(b"C:/evil.obj")),
    zipped("..\\evil.obj", "path of Windows", Entry(b"..\\evil.obj")),
    zipped("link", "it is a link", Entry(b"link", b"/etc", mode=0o120777)),
    zipped("link/passwd", "below a link", Entry(b"link", b"/etc", mode=0o120777), Entry(b"link/passwd")),
    zipped("null", "it is a device", Entry(b"null", b"", mode=0o020666)),
    zipped("evil.obj\\x00.txt", "the character", Entry(b"evil.obj\0.txt")),
    zipped("evil\\nrefused.obj", "the character", Entry(b"evil\nrefused.obj")),
    zipped("evil\\x1b[2Jobj", "the character", Entry(b"evil\x1b[2Jobj")),
    zipped("evil\\u202ejbo.exe", "the character", Entry("evil\u202ejbo.exe".encode(), flags=0x800)),
    zipped("good/M.OBJ", "differs in its case alone", Entry(b"good/M.OBJ")),
    zipped("twice.obj", "2 members have this name", Entry(b"twice.obj", b"a"), Entry(b"twice.obj", b"b")),
    zipped("file/inside", "below a file", Entry(b"file"), Entry(b"file/inside")),
    zipped("secret.obj", "encrypted", Entry(b"secret.obj", flags=1)),
    zipped("strong.obj", "encrypted", Entry(b"strong.obj", flags=0x40)),
    zipped("wrong.obj", "damaged: Bad CRC", Entry(b"wrong.obj", crc=1)),
    zipped("other.obj", "another way than 'deflate'", Entry(b"other.obj", method=14)),
    zipped("nested.zip", "an archive in an archive", Entry(b"nested.zip", b"PK\x05\x06" + bytes(18))),
    zipped("a/" * 40 + "deep", "folders deep", Entry(b"a/" * 40 + b"deep")),
    zipped("n" * 120 + "...", "longer than 255 bytes", Entry(b"n" * 300)),
    zipped("ten_gigabytes.stl", "at most 256 MB a file", Entry(b"ten_gigabytes.stl", packed=zeros(GIGA), size=2**32 - 2, crc=0)),
    zipped("zeros.stl", "at most 100 times as much", Entry(b"zeros.stl", packed=zeros(200 * MEGA), size=200 * MEGA, crc=0)),
    zipped("modest.stl", "damaged: Bad CRC", Entry(b"modest.stl", packed=zeros(10 * GIGA), size=1000, crc=7)),
    zipped("short.stl", "damaged|says 1000 bytes", Entry(b"short.stl", packed=zeros(0), size=1000, crc=0)),
    zipped("noise.stl", "damaged", Entry(b"noise.stl", packed=b"\xff" * 100, size=100)),
    zipped("", "65000 members", count=65000),
    zipped("", "its list of members takes", length=2**31),
    *(
        Hostile("", said, make)
        for make, said in (
            (overlapping, "overlap"),
            (a_million_members, "its list of members takes"),
            (a_zip64_of_a_million, "holds 1000000 members"),
            (a_zip_cut_short, "cut short|no list of members"),
            (a_zip_without_its_middle, "damaged|overlap|cut short|nothing of it"),
            (a_picture_named_zip, "is no .zip and no .tar"),
        )
    ),
]


def info(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, **more: str | int | dict) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.size = kind, size
    for key, value in more.items():
        setattr(found, key, value)
    return found


def write_tar(path: Path, *members: tarfile.TarInfo | bytes) -> None:
    """A tar of a harmless pack and these members; of bytes as they are."""
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for e in GOOD:
                tar.addfile(info(e.name.decode(), size=len(e.data)), io.BytesIO(e.data))
            for member in members:
                if isinstance(member, bytes):
                    tar.fileobj.write(member)  # type: ignore[union-attr]
                    tar.offset += len(member)
                else:
                    tar.addfile(member, io.BytesIO(bytes(member.size)))
        path.write_bytes(buffer.getvalue())


def header(name: str, kind: bytes, size: int) -> bytes:
    """A header that is right in itself, of a member of any size."""
    field = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    block = bytearray(name.encode().ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + field + b"00000000000\0" + b" " * 8 + kind)
    block = block.ljust(257, b"\0") + bytearray(b"ustar\x0000")
    block = block.ljust(512, b"\0")
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def tarred(name: str, said: str, *members: tarfile.TarInfo | bytes) -> Hostile:
    return Hostile(name, said, lambda path: write_tar(path, *members))


def a_tar_gz_of_a_gigabyte(path: Path) -> None:
    start = gzip.compress(header("zeros", b"0", GIGA))
    path.write_bytes(start + b"\x1f\x8b\x08" + bytes(6) + b"\xff" + zeros(GIGA) + bytes(8))


def a_tar_bz2_of_nine_gigabytes(path: Path) -> None:
    path.write_bytes(bz2.compress(header("zeros", b"0", 9 * GIGA)) + bz2.compress(bytes(8 * MEGA)) * 1152)


def a_tar_xz_of_nine_gigabytes(path: Path) -> None:
    path.write_bytes(lzma.compress(header("zeros", b"0", 9 * GIGA)) + lzma.compress(bytes(8 * MEGA), preset=0) * 1152)


def an_xz_with_a_dictionary_of_four_gigabytes(path: Path) -> None:
    write_tar(path)
    data = bytearray(lzma.compress(path.read_bytes()))
    size = (data[12] + 1) * 4
    at = data.index(b"\x21\x01", 12) + 2
    data[at] = 40
    data[12 + size - 4 : 12 + size] = struct.pack("<I", zlib.crc32(data[12 : 12 + size - 4]))
    path.write_bytes(data)


def a_tar_cut_short(path: Path) -> None:
    write_tar(path, info("long", size=5000))
    path.write_bytes(path.read_bytes()[:6000])


def a_tar_gz_cut_short(path: Path) -> None:
    write_tar(path)
    path.write_bytes(gzip.compress(path.read_bytes())[:200])


def a_tar_with_a_wrong_sum(path: Path) -> None:
    write_tar(path)
    data = bytearray(path.read_bytes())
    data[150] ^= 1
    path.write_bytes(data)


def an_empty_tar(path: Path) -> None:
    path.write_bytes(gzip.compress(bytes(10240)))


def headers_without_end(path: Path) -> None:
    """Long names of long names."""
    path.write_bytes((header("x", b"L", 60_000) + bytes(60_416)) * 400)


def thirty_thousand_members(path: Path) -> None:
    path.write_bytes(gzip.compress(header("x", b"0", 0) * 30_000, 1))


TARS = [
    tarred("../evil", "leads outside", info("../evil")),
    tarred("/etc/evil", "absolute", info("/etc/evil")),
    tarred("link", "it is a link", info("link", tarfile.SYMTYPE, linkname="/etc")),
    tarred("link/passwd", "below a link", info("link", tarfile.SYMTYPE, linkname="/etc"), info("link/passwd")),
    tarred("hard", "it is a hard link", info("hard", tarfile.LNKTYPE, linkname="/etc/passwd")),
    tarred("null", "it is a device", info("null", tarfile.CHRTYPE)),
    tarred("pipe", "it is a pipe", info("pipe", tarfile.FIFOTYPE)),
    tarred("odd", "of a kind that there is not", header("odd", b"Q", 0)),
    tarred("hollow.stl", "it is a sparse file", header("hollow.stl", b"S", 0)),
    tarred("holes.stl", "it is a sparse file", info("holes.stl", pax_headers={"GNU.sparse.realsize": "99999999999"})),
    tarred("../overridden", "leads outside", info("harmless", pax_headers={"path": "../overridden"})),
    tarred("", "cut short", header("huge.stl", b"0", 300 * MEGA)),
    tarred("evil\\udcff.obj", "the character", info("evil\udcff.obj")),
    tarred("twice", "2 members have this name", info("twice"), info("twice")),
    tarred("inner.tar.gz", "an archive in an archive", info("inner.tar.gz", size=10)),
    tarred("", "headers says 8192 MB", header("x", b"x", 8 * GIGA)),
    tarred("", "headers says", header("x", b"L", 8 * GIGA)),
    tarred("", "a size that is no number", header("x", b"0", 0)[:124] + b"nonsense\0\0\0\0" + header("x", b"0", 0)[136:]),
    tarred("", "do not add up", header("x", b"x", 10) + b"99 a=b\n".ljust(512, b"\0")),
    *(
        Hostile("", said, make)
        for make, said in (
            (a_tar_gz_of_a_gigabyte, "unpacks to more than"),
            (a_tar_bz2_of_nine_gigabytes, "unpacks to more than"),
            (a_tar_xz_of_nine_gigabytes, "unpacks to more than"),
            (an_xz_with_a_dictionary_of_four_gigabytes, "damaged: Memory usage limit"),
            (a_tar_cut_short, "cut short"),
            (a_tar_gz_cut_short, "cut short"),
            (a_tar_with_a_wrong_sum, "checksum"),
            (an_empty_tar, "empty tar|nothing of it"),
            (headers_without_end, "nothing of it|empty tar|unpacks to more|long names"),
            (thirty_thousand_members, "more than 20000 members"),
        )
    ),
]
