"""OBJ by strangers, and the materials and pictures that it names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from assets.errors import ObjectError
from assets.objects.guard.limits import LINE, MARKUP_BYTES, MOST_PARTS, MOST_VERTICES, PICTURE_BYTES, PIXELS
from assets.objects.guard.picture import check_pixels
from assets.objects.guard.place import inside, read, say
from assets.objects.guard.textlines import check_floats, integers, lines_of

_SIZES = {b"v": (3, 7), b"vt": (1, 3), b"vn": (3, 3)}
"""How many numbers a line of each kind has, at least and at most; a vertex may have a colour."""
_NOT_VERTEX = re.compile(rb"/\S*")
"""What stands behind the vertex in a corner of a face: its texture and its normal."""
_PARTS = frozenset({b"o", b"g", b"usemtl", b"s"})
_PROGRAMS = frozenset({b"call", b"csh"})
_PICTURES = frozenset({b"bump", b"disp", b"decal", b"norm", b"refl"})


def check_obj(path: Path, size: int, faces: int) -> None:
    """See check_mesh."""
    counts = dict.fromkeys(_SIZES, 0)
    highest = triangles = parts = 0
    libraries: list[str] = []
    for lines in _continued(lines_of(path)):
        groups: dict[bytes, list[bytes]] = defaultdict(list)
        for line in lines:
            groups[line.partition(b" ")[0]].append(line)
        if program := _PROGRAMS & groups.keys():
            raise ObjectError(f"it holds {min(program).decode()!r}, which runs programs")
        libraries += [line[6:].decode("utf-8", "surrogateescape").strip() for line in groups[b"mtllib"]]
        parts += sum(len(groups[key]) for key in _PARTS)
        polygons = groups[b"f"]
        triangles += sum([max(0, len(line.split()) - 3) for line in polygons])
        text = b" ".join(polygons)
        if b"-" in text:
            text = b" ".join(_absolute(lines, counts[b"v"]))
        for key in _SIZES:
            counts[key] += len(groups[key])
        if triangles > faces:
            raise ObjectError(f"it holds more than {faces} faces: simplify it first")
        if max(counts.values()) > MOST_VERTICES:
            raise ObjectError(f"it holds more than {MOST_VERTICES} vertices: simplify it first")
        if parts > MOST_PARTS:
            raise ObjectError(f"it holds more than {MOST_PARTS} groups and materials")
        for key, (low, high) in _SIZES.items():
            words = b" ".join(groups[key]).split()
            if not low * len(groups[key]) <= len(words) - len(groups[key]) <= high * len(groups[key]):
                raise ObjectError(f"it is no OBJ: {key.decode()!r} is followed by {low} to {high} numbers")
            check_floats([word for word in words if word != key])
        corners = [word for word in _NOT_VERTEX.sub(b"", text).split() if word != b"f"]
        if corners:
            indices = integers(corners)
            if indices.min() < 1:
                raise ObjectError(f"a face names the vertex {indices.min()}; there are 1 to {counts[b'v']}")
            highest = max(highest, int(indices.max()))
    if highest > counts[b"v"]:
        raise ObjectError(f"a face names the vertex {highest}; there are 1 to {counts[b'v']}")
    if not triangles:
        raise ObjectError("it holds no faces")
    for library in dict.fromkeys(libraries):
        _check_material(inside(path.parent, library))


def _absolute(lines: Sequence[bytes], here: int) -> list[bytes]:
    """The faces among lines that follow the vertex `here`: indices that count back from the last vertex made to count from the first."""
    found = []
    for line in lines:
        key, *words = line.split()
        here += key == b"v"
        if key != b"f":
            continue
        indices = integers([word.partition(b"/")[0] for word in words])
        if len(indices) and indices.min() < -here:
            raise ObjectError(f"a face names the vertex {indices.min()}; {here} come before it")
        found.append(b"f " + b" ".join(b"%d" % (i if i >= 0 else here + i + 1) for i in indices))
    return found


def _continued(pieces: Iterable[list[bytes]]) -> Iterable[list[bytes]]:
    """Joins lines that end in a backslash."""
    held = b""
    for lines in pieces:
        if not held and b"\\" not in b"".join(lines):
            yield lines
            continue
        joined = []
        for line in lines:
            held += line
            if len(held) > LINE:
                raise ObjectError(f"it holds a line of more than {LINE} bytes")
            if held.endswith(b"\\"):
                held = held[:-1] + b" "
                continue
            if held.strip():
                joined.append(held)
            held = b""
        yield joined
    if held.strip():
        yield [held]


def _check_material(path: Path) -> None:
    """The pictures that a library of materials names. A library that is not there is no danger: the mesh has no looks then."""
    if not path.exists():
        return
    pixels: dict[Path, int] = {}
    for line in read(path, MARKUP_BYTES).replace(b"\r", b"\n").split(b"\n"):
        key, _, rest = line.strip().partition(b" ")
        if not (key.lower().startswith(b"map_") or key.lower() in _PICTURES) or not rest.strip():
            continue
        try:
            name = _without_options(rest.decode("utf-8", "surrogateescape").strip()).strip('"')
            picture = inside(path.parent, name.replace("\\", "/"))
            if picture not in pixels and picture.exists():
                width, height = check_pixels(read(picture, PICTURE_BYTES), say(picture.name))
                pixels[picture] = width * height
        except ObjectError as error:
            raise ObjectError(f"{say(path.name)}: {error}") from error
        if sum(pixels.values()) > PIXELS:
            raise ObjectError(f"{say(path.name)} names pictures of more than {PIXELS >> 20} million pixels together")


def _without_options(text: str) -> str:
    """The file's name after options such as -bm 1.0 -clamp on."""
    words = text.split()
    if not words[0].startswith("-"):
        return text
    last = max(i for i, word in enumerate(words) if word.startswith("-"))
    k = last + 1
    while k < len(words) - 1 and (_is_number(words[k]) or words[k] in {"on", "off", "r", "g", "b", "m", "l", "z"}):
        k += 1
    return " ".join(words[k:])


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
