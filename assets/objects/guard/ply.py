"""PLY by strangers: what its header promises is held against the bytes that are there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from assets.errors import ObjectError
from assets.objects.guard.limits import MOST_VERTICES
from assets.objects.guard.place import say
from assets.objects.guard.textlines import check_floats, check_polygons, lines_of, rows_of

_HEADER, _MANY = 1 << 16, 10_000
_SCALARS = {
    **{name: code for names, code in ((("char", "int8"), "i1"), (("uchar", "uint8"), "u1")) for name in names},
    **{name: code for names, code in ((("short", "int16"), "i2"), (("ushort", "uint16"), "u2")) for name in names},
    **{name: code for names, code in ((("int", "int32"), "i4"), (("uint", "uint32"), "u4")) for name in names},
    **{name: code for names, code in ((("float", "float32"), "f4"), (("double", "float64"), "f8")) for name in names},
}
_PLACE, _INDICES = ("x", "y", "z"), ("vertex_indices", "vertex_index")


@dataclass
class _Element:
    name: str
    count: int
    properties: list[tuple[str, str, str | None]] = field(default_factory=list)
    """(name, code, code of the length where it is a list)."""


def check_ply(path: Path, size: int, faces: int) -> None:
    """See check_mesh."""
    form, elements, start = _header(path)
    counts = {e.name: e.count for e in elements}
    for element in elements:
        if element.count > (faces if element.name == "face" else MOST_VERTICES):
            raise ObjectError(f"it says {element.count} of {say(element.name)}: simplify it first")
        if element.count and not element.properties:
            raise ObjectError(f"it says {element.count} of {say(element.name)} without properties")
    least = start + sum(e.count * _least(e, form) for e in elements)
    if least > size:
        raise ObjectError(f"it is cut short: its header promises {least} bytes at least, it holds {size}")
    if not counts.get("face"):
        raise ObjectError("it holds no faces")
    if not counts.get("vertex"):
        raise ObjectError("it holds no vertices")
    triangles = _text(path, start, elements) if form == "ascii" else _binary(path, start, elements, ">" if "big" in form else "<")
    if triangles > faces:
        raise ObjectError(f"it holds more than {faces} faces: simplify it first")


def _header(path: Path) -> tuple[str, list[_Element], int]:
    with path.open("rb") as file:
        head = file.read(_HEADER)
    end = head.find(b"end_header")
    stop = head.find(b"\n", end)
    if head[:3] != b"ply" or end < 0 or stop < 0:
        raise ObjectError(f"it is no PLY with a header of at most {_HEADER >> 10} KB")
    form, elements = "", []
    for line in head[:end].decode("latin-1").splitlines()[1:]:
        match line.split():
            case ["format", ("ascii" | "binary_little_endian" | "binary_big_endian") as form, _]:
                pass
            case ["element", name, number]:
                if not number.isdecimal() or len(number) > 12:
                    raise ObjectError(f"it says {say(number, 20)} of {say(name)}: that is no number of things")
                if any(e.name == name for e in elements):
                    raise ObjectError(f"it says twice how many of {say(name)} there are")
                elements.append(_Element(name, int(number)))
            case ["property", "list", length, kind, name] if elements and _SCALARS.get(length, "f")[0] in "iu" and kind in _SCALARS:
                elements[-1].properties.append((name, _SCALARS[kind], _SCALARS[length]))
            case ["property", kind, name] if elements and kind in _SCALARS:
                elements[-1].properties.append((name, _SCALARS[kind], None))
            case ["comment" | "obj_info", *_] | []:
                pass
            case _:
                raise ObjectError(f"its header says {say(line, 40)}")
    if not form:
        raise ObjectError("it is a PLY without a format")
    if len(elements) > 16 or max((len(e.properties) for e in elements), default=0) > 64:
        raise ObjectError("its header is fuller than that of a mesh")
    for element in elements:
        if len({name for name, _, _ in element.properties}) < len(element.properties):
            raise ObjectError(f"two properties of {say(element.name)} have one name")
    return form, elements, stop + 1


def _least(element: _Element, form: str) -> int:
    """Bytes that one of them takes when its lists are empty."""
    if form == "ascii":
        return 2 * len(element.properties)
    return sum(np.dtype(length or code).itemsize for _, code, length in element.properties)


def _binary(path: Path, start: int, elements: list[_Element], order: str) -> int:
    """How many triangles there are, when all is in order."""
    data = np.memmap(path, np.uint8, "r")
    place, triangles = start, 0
    vertices = next(e.count for e in elements if e.name == "vertex")
    for element in elements:
        if all(length is None for _, _, length in element.properties):
            row = np.dtype([(name, order + code) for name, code, _ in element.properties])
            if place + element.count * row.itemsize > len(data):
                raise ObjectError(f"it is cut short in {say(element.name)}")
            table = data[place : place + element.count * row.itemsize].view(row)
            place += table.nbytes
            if element.name == "vertex":
                for name in _PLACE:
                    if name not in (table.dtype.names or ()):
                        raise ObjectError(f"its vertices have no {name}")
                    check_floats(table[name])
            continue
        place, corners = _lists(data, place, element, order, vertices)
        triangles += corners - 2 * element.count if element.name == "face" else 0
    return triangles


def _lists(data: np.ndarray, place: int, element: _Element, order: str, vertices: int) -> tuple[int, int]:
    """Goes over an element with lists. Returns where it ends, and how many corners its faces have."""
    if element.name == "vertex":
        raise ObjectError("its vertices hold lists")
    uniform = _uniform(data, place, element, order)
    if uniform is not None:
        table, corners = uniform, 0
        for name, _, length in element.properties:
            if length is not None and element.name == "face" and name in _INDICES:
                _check_indices(table[name], vertices)
                corners += table[name].size
        return place + table.nbytes, corners
    corners, raw, end = 0, memoryview(data), len(data)
    held: list[np.ndarray] = []
    plan = [
        (name in _INDICES, np.dtype(order + code), None if length is None else np.dtype(order + length))
        for name, code, length in element.properties
    ]
    for _ in range(element.count):
        for indexed, kind, length in plan:
            n = 1
            if length is not None:
                if place + length.itemsize > end:
                    raise ObjectError(f"it is cut short in {say(element.name)}")
                n = int(np.frombuffer(raw, length, 1, place)[0])
                place += length.itemsize
            if n < 0 or place + n * kind.itemsize > end:
                raise ObjectError(f"a list of {n} in {say(element.name)}: the file ends before")
            if indexed and element.name == "face":
                held.append(np.frombuffer(raw, kind, n, place))
                corners += n
            place += n * kind.itemsize
        if len(held) >= _MANY:
            _check_indices(np.concatenate(held), vertices)
            held = []
    if held:
        _check_indices(np.concatenate(held), vertices)
    return place, corners


def _uniform(data: np.ndarray, place: int, element: _Element, order: str) -> np.ndarray | None:
    """The rows, where all their lists are as long as those of the first: (n,) of named fields."""
    fields, at = [], place
    for k, (name, code, length) in enumerate(element.properties):
        kind = np.dtype(order + code)
        if length is None:
            fields.append((name, kind))
            at += kind.itemsize
            continue
        counter = np.dtype(order + length)
        if at + counter.itemsize > len(data):
            return None
        n = int(data[at : at + counter.itemsize].view(counter)[0])
        if not 0 <= n <= 8:
            return None
        fields += [(f"n{k} of", counter), (name, kind, (n,))]
        at += counter.itemsize + n * kind.itemsize
    row = np.dtype(fields)
    if place + element.count * row.itemsize > len(data):
        return None
    table = data[place : place + element.count * row.itemsize].view(row)
    counters = [name for name in row.names or () if name.endswith(" of")]
    return table if all((table[name] == table[name][0]).all() for name in counters) else None


def _check_indices(indices: np.ndarray, vertices: int) -> None:
    if indices.size and not (indices.min() >= 0 and indices.max() < vertices):
        raise ObjectError(f"a face names a vertex that is not there: there are 0 to {vertices - 1}")


def _text(path: Path, start: int, elements: list[_Element]) -> int:
    """How many triangles there are, when all is in order."""
    lines = (line for piece in lines_of(path, start) for line in piece)
    triangles = 0
    vertices = next(e.count for e in elements if e.name == "vertex")
    for element in elements:
        places = [i for i, (name, _, _) in enumerate(element.properties) if name in _PLACE]
        if element.name == "vertex" and len(places) < 3:
            raise ObjectError("its vertices have no x, y, z")
        for words in rows_of(lines, element.count, say(element.name, 20)):
            if min(map(len, words)) < len(element.properties):
                raise ObjectError(f"{say(element.name)} of {min(map(len, words))} numbers; {len(element.properties)} are meant")
            if element.name == "vertex":
                check_floats([row[i] for row in words for i in places])
            elif element.name == "face":
                first, _, length = element.properties[0]
                if first not in _INDICES or length is None:
                    raise ObjectError("its faces do not begin with their corners: write it as a binary PLY")
                triangles += check_polygons(words, vertices)
    return triangles
