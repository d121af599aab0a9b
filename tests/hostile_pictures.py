"""Pictures that nobody should decode."""

from __future__ import annotations

import struct
import zlib

PNG = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, pixels: bytes, *extra: bytes, end: bool = True, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG of these rows, each with its byte in front."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return PNG + head + b"".join(extra) + chunk(b"IDAT", zlib.compress(pixels)) + (chunk(b"IEND", b"") if end else b"")


def plain(width: int, height: int, *extra: bytes) -> bytes:
    """A grey PNG that is in order."""
    return png(width, height, (b"\0" + b"\x80" * 3 * width) * height, *extra)


def png_of_many_pixels(side: int) -> bytes:
    """As it says: with rows of one bit, and few bytes."""
    row = bytes(1 + -(-side // 8))
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(row * 100) for _ in range(side // 100)) + packer.flush()
    return PNG + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def jpeg(width: int, height: int, *, scans: int = 1, frames: int = 1, end: bytes = b"\xff\xd9") -> bytes:
    """The markers of a JPEG, without a picture behind them."""
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\1\x11\0"
    scan = b"\xff\xda" + struct.pack(">HB", 8, 1) + b"\1\0\0\x3f\0" + b"\0" * 8
    return b"\xff\xd8" + frame * frames + scan * scans + end


def wrong_sum(data: bytes) -> bytes:
    """With another checksum of its header."""
    return data[:29] + bytes([data[29] ^ 1]) + data[30:]
