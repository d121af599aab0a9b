"""STL by strangers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from assets.errors import ObjectError
from assets.objects.guard.textlines import check_floats, lines_of

_FACE = 50


def check_stl(path: Path, size: int, faces: int) -> None:
    """See check_mesh."""
    with path.open("rb") as file:
        head = file.read(84)
    count = int.from_bytes(head[80:84], "little") if len(head) == 84 else 0
    if head.lstrip()[:5].lower() == b"solid" and size != 84 + _FACE * count:
        _text(path, faces)
        return
    if len(head) < 84:
        raise ObjectError("it is cut short: an STL begins with 84 bytes")
    if 84 + _FACE * count > size:
        raise ObjectError(f"it says {count} faces, and holds {(size - 84) // _FACE}")
    if count > faces:
        raise ObjectError(f"it holds {count} faces; at most {faces} are read: simplify it first")
    if not count:
        raise ObjectError("it holds no faces")
    table = np.memmap(path, np.dtype([("numbers", "<f4", 12), ("colour", "<u2")]), "r", offset=84, shape=(count,))
    check_floats(table["numbers"][:, 3:])


def _text(path: Path, faces: int) -> None:
    count = corners = ended = 0
    for lines in lines_of(path):
        points = []
        for line in lines:
            words = line.split()
            key = words[0].lower()
            if key == b"facet":
                count += 1
            elif key == b"endsolid":
                ended += 1
            elif key == b"vertex":
                if len(words) != 4:
                    raise ObjectError("it is no STL: a vertex has three coordinates")
                points += words[1:]
        corners += len(points) // 3
        if count > faces or corners > 3 * faces:
            raise ObjectError(f"it holds more than {faces} faces: simplify it first")
        check_floats(points)
    if not count:
        raise ObjectError("it holds no faces")
    if corners != 3 * count or not ended:
        raise ObjectError(f"it is cut short or damaged: {count} faces, {corners} corners")
