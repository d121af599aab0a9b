"""How large a zstd frame unpacks, without unpacking it: a small file may claim, or fill, all memory."""

from __future__ import annotations

_MAGIC = b"\x28\xb5\x2f\xfd"


def unpacked_size(data: bytes) -> int:
    """Bytes that exactly one frame (RFC 8878) says it holds. Raises ValueError for more, less, or a frame that does not say."""
    try:
        if data[:4] != _MAGIC:
            raise ValueError("no zstd frame")
        flags = data[4]
        single, checksum = flags >> 5 & 1, flags >> 2 & 1
        field = (single, 2, 4, 8)[flags >> 6]
        if not field:
            raise ValueError("a zstd frame that does not say its size")
        at = 5 + (not single) + (0, 1, 2, 4)[flags & 3]
        size = int.from_bytes(data[at : at + field], "little") + (256 if field == 2 else 0)
        at += field
        last = 0
        while not last:
            block = data[at] | data[at + 1] << 8 | data[at + 2] << 16
            last, kind = block & 1, block >> 1 & 3
            at += 3 + (1 if kind == 1 else block >> 3)
    except IndexError as error:
        raise ValueError("a zstd frame that ends early") from error
    if at + 4 * checksum != len(data):
        raise ValueError("more or less than one zstd frame")
    return size
