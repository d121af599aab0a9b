"""glTF by strangers, as .glb or .gltf: every length it says is held against the bytes that are there, and nothing outside it is named."""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from assets.errors import ObjectError
from assets.objects.guard.limits import MOST_PARTS, MOST_VERTICES, PIXELS
from assets.objects.guard.picture import check_pixels
from assets.objects.guard.place import megabytes, read, say
from assets.objects.guard.textlines import check_floats

_TEXT, _SIGNS = 32 << 20, 2_000_000
"""Length of the description [bytes], and its brackets and commas: what it costs to read it goes with them."""
_COMPRESSED = ("draco", "meshopt", "quantized_compression", "basisu", "gpu_instancing")
_TYPES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_LISTS = ("accessors", "buffers", "bufferViews", "images", "meshes", "nodes")
_OVERLAP, _SLACK = 4, 1 << 20
"""How often views and accessors may read the same bytes, and what they always may [bytes]: readers copy them."""
_DEPTH = 256
"""Nodes within nodes."""


@dataclass(frozen=True)
class _Asset:
    """A description and its buffers, checked against each other."""

    things: dict[str, list[dict[str, Any]]]
    """Of each of _LISTS, what there is."""
    buffers: tuple[memoryview, ...] = ()

    def many(self, name: str) -> list[dict[str, Any]]:
        return self.things[name]

    def one(self, name: str, index: object) -> dict[str, Any]:
        things = self.many(name)
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(things):
            raise ObjectError(f"it names {name}[{say(str(index), 20)}]; there are {len(things)}")
        return things[index]

    def view(self, index: object) -> tuple[memoryview, int]:
        """The bytes of a buffer view, and its stride; 0 where it has none."""
        view = self.one("bufferViews", index)
        buffer = self.buffers[_whole(view, "buffer", len(self.buffers) - 1)]
        start, length = _whole(view, "byteOffset", len(buffer), 0), _whole(view, "byteLength", None)
        if start + length > len(buffer):
            raise ObjectError(f"a view of {length} bytes at {start} does not fit its buffer of {len(buffer)}")
        return buffer[start : start + length], _whole(view, "byteStride", 252, 0)

    def values(self, index: object) -> np.ndarray:
        """What an accessor reads, (count, n), still in the file."""
        accessor = self.one("accessors", index)
        if "sparse" in accessor:
            raise ObjectError("it holds sparse accessors: export it without")
        count = _whole(accessor, "count", 3 * MOST_VERTICES)
        kind, n = _COMPONENTS.get(accessor.get("componentType", 0)), _TYPES.get(str(accessor.get("type")))
        if kind is None or n is None:
            raise ObjectError("an accessor has a type that there is not")
        if "bufferView" not in accessor:
            raise ObjectError(f"an accessor of {count} things has no bytes")
        data, stride = self.view(accessor["bufferView"])
        item = np.dtype(kind).itemsize * n
        start = _whole(accessor, "byteOffset", len(data), 0)
        stride = stride or item
        if count and start + (count - 1) * stride + item > len(data):
            raise ObjectError(f"an accessor of {count} things does not fit its {len(data)} bytes")
        return np.ndarray((count, n), kind, data, start, (stride, np.dtype(kind).itemsize)) if count else np.empty((0, n), kind)


def check_gltf(path: Path, size: int, faces: int) -> None:
    """See check_mesh."""
    data = memoryview(read(path, size))
    if data[:4] == b"glTF":
        text, binary = _chunks(data)
    else:
        text, binary = data, None
    tree = _tree(text)
    for name in [*_names(tree, "extensionsRequired"), *_names(tree, "extensionsUsed")]:
        if any(word in name.lower() for word in _COMPRESSED):
            raise ObjectError(f"it is compressed ({say(name, 40)}): export it without")
    for name in tree:
        if isinstance(tree[name], list) and len(tree[name]) > MOST_PARTS:
            raise ObjectError(f"it holds {len(tree[name])} {say(name, 20)}; at most {MOST_PARTS} are read")
    things = {name: _dicts(tree, name) for name in _LISTS}
    asset = _Asset(things, tuple(_buffer(buffer, binary if k == 0 else None) for k, buffer in enumerate(things["buffers"])))
    held = _SLACK + _OVERLAP * sum(map(len, asset.buffers))
    if sum(len(asset.view(k)[0]) for k in range(len(asset.many("bufferViews")))) > held:
        raise ObjectError("its views read the same bytes again and again")
    if sum(asset.values(k).nbytes for k in range(len(asset.many("accessors")))) > held:
        raise ObjectError("its accessors read the same bytes again and again")
    _check_images(asset)
    triangles = _check_meshes(asset)
    total = sum(triangles[node["mesh"]] for node in _placed(asset) if asset.one("meshes", node.get("mesh")))
    if total > faces or sum(triangles) > faces:
        raise ObjectError(f"it holds {max(total, sum(triangles))} faces; at most {faces} are read: simplify it first")
    if not total:
        raise ObjectError("it holds no faces")


def _chunks(data: memoryview) -> tuple[memoryview, memoryview | None]:
    if len(data) < 20:
        raise ObjectError("it is no mesh: a GLB has 20 bytes at least")
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2:
        raise ObjectError(f"it is no mesh: a GLB of version {version}; 2 is read")
    if length != len(data):
        raise ObjectError(f"it is cut short or padded: it says {length} bytes, and holds {len(data)}")
    found: list[tuple[bytes, memoryview]] = []
    place = 12
    while place + 8 <= length:
        size, kind = struct.unpack_from("<I4s", data, place)
        if place + 8 + size > length:
            raise ObjectError(f"it is cut short: a piece of {size} bytes where {length - place - 8} are left")
        found.append((kind, data[place + 8 : place + 8 + size]))
        if len(found) > 16:
            raise ObjectError("it holds more than 16 pieces")
        place += 8 + size
    if not found or found[0][0] != b"JSON":
        raise ObjectError("it is no mesh: a GLB begins with its description")
    return found[0][1], next((body for kind, body in found[1:] if kind == b"BIN\0"), None)


def _tree(text: memoryview) -> dict[str, Any]:
    if len(text) > _TEXT:
        raise ObjectError(f"its description holds {megabytes(len(text))}; at most {megabytes(_TEXT)} are read")
    raw = bytes(text)
    if sum(map(raw.count, (b"[", b"{", b","))) > _SIGNS:
        raise ObjectError("its description is fuller than that of a mesh")
    try:
        tree = json.loads(raw, parse_constant=_no_number, parse_float=_finite)
    except RecursionError as error:
        raise ObjectError("its description nests too deep") from error
    except ValueError as error:
        raise ObjectError(f"it is no glTF: {' '.join(str(error).split())[:80]}") from error
    if not isinstance(tree, dict) or not isinstance(tree.get("asset"), dict):
        raise ObjectError("it is no glTF: its description has no 'asset'")
    return tree


def _buffer(buffer: dict[str, Any], binary: memoryview | None) -> memoryview:
    length = _whole(buffer, "byteLength", None)
    uri = buffer.get("uri")
    found = memoryview(_embedded(uri)) if uri is not None else binary if binary is not None else memoryview(b"")
    if length > len(found):
        raise ObjectError(f"a buffer says {length} bytes, and holds {len(found)}")
    return found[:length]


def _embedded(uri: object) -> bytes:
    """What a data: address holds."""
    if not isinstance(uri, str) or not uri.startswith("data:"):
        raise ObjectError(f"it names {say(str(uri))} outside itself: export it as one file")
    head, _, body = uri.partition(",")
    if not head.endswith(";base64"):
        raise ObjectError("it holds an address of data that is not base64")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ObjectError(f"it holds base64 that is none: {error}") from error


def _check_images(asset: _Asset) -> None:
    pixels = 0
    for k, image in enumerate(asset.many("images")):
        data = asset.view(image["bufferView"])[0] if "bufferView" in image else memoryview(_embedded(image.get("uri")))
        width, height = check_pixels(data, f"its picture {k}")
        pixels += width * height
        if pixels > PIXELS:
            raise ObjectError(f"its pictures have more than {PIXELS >> 20} million pixels together")


def _check_meshes(asset: _Asset) -> list[int]:
    """How many triangles each mesh has."""
    pieces = [_dicts(mesh, "primitives") for mesh in asset.many("meshes")]
    if sum(map(len, pieces)) > MOST_PARTS:
        raise ObjectError(f"its meshes have {sum(map(len, pieces))} pieces; at most {MOST_PARTS} are read")
    vertices, triangles = 0, []
    for primitives in pieces:
        triangles.append(0)
        for primitive in primitives:
            points, faces = _check_primitive(asset, primitive)
            vertices, triangles[-1] = vertices + points, triangles[-1] + faces
            if vertices > MOST_VERTICES:
                raise ObjectError(f"its pieces have more than {MOST_VERTICES} vertices")
    return triangles


def _check_primitive(asset: _Asset, primitive: dict[str, Any]) -> tuple[int, int]:
    """How many vertices and triangles it has, when all its vertices are finite and all its faces are of them."""
    attributes = primitive.get("attributes")
    if not isinstance(attributes, dict):
        raise ObjectError("a piece of it has no vertices")
    if "POSITION" not in attributes:
        return 0, 0
    points = asset.values(attributes["POSITION"])
    if points.dtype != np.dtype("<f4") or points.shape[1] != 3:
        raise ObjectError("its vertices are not three floats each")
    if len(points):
        check_floats(points)
    for name, index in attributes.items():
        other = asset.values(index)
        if len(other) != len(points):
            raise ObjectError(f"its {say(name, 20)} are {len(other)}, its vertices {len(points)}")
    count = len(points)
    if "indices" in primitive:
        indices = asset.values(primitive["indices"])
        if indices.dtype.kind != "u" or indices.shape[1] != 1:
            raise ObjectError("its faces are not of whole numbers")
        count = len(indices)
        if count and int(indices.max()) >= len(points):
            raise ObjectError(f"a face names the vertex {int(indices.max())}; there are 0 to {len(points) - 1}")
    mode = primitive.get("mode", 4)
    return len(points), count // 3 if mode == 4 else max(0, count - 2) if mode in (5, 6) else 0


def _placed(asset: _Asset) -> Iterator[dict[str, Any]]:
    """The nodes that place a mesh, each once: a node has one parent, or a few of them make millions. Raises ObjectError."""
    nodes = asset.many("nodes")
    parents = [-1] * len(nodes)
    for k, node in enumerate(nodes):
        children = node.get("children", [])
        if not isinstance(children, list):
            raise ObjectError("the children of a node are no list")
        for child in children:
            asset.one("nodes", child)
            if parents[child] >= 0:
                raise ObjectError(f"node {child} has two parents")
            parents[child] = k
        for name, n in (("matrix", 16), ("translation", 3), ("rotation", 4), ("scale", 3)):
            if name in node and not _numbers(node[name], n):
                raise ObjectError(f"the {name} of a node is not {n} finite numbers")
    depths = [0] * len(nodes)  # 0: not known yet
    for k in range(len(nodes)):
        path, at = [], k
        while at >= 0 and not depths[at]:
            path.append(at)
            if len(path) > len(nodes):
                raise ObjectError("its nodes form a circle")
            at = parents[at]
        above = depths[at] if at >= 0 else 0
        for n, node in enumerate(reversed(path)):
            depths[node] = above + n + 1
    if max(depths, default=0) > _DEPTH:
        raise ObjectError(f"its nodes nest {max(depths)} deep; at most {_DEPTH} are read")
    return (node for node in nodes if "mesh" in node)


def _dicts(thing: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = thing.get(name, [])
    if not isinstance(found, list) or len(found) > MOST_PARTS or not all(isinstance(x, dict) for x in found):
        raise ObjectError(f"its {name} are no list of at most {MOST_PARTS} things")
    return found


def _names(tree: dict[str, Any], name: str) -> list[str]:
    found = tree.get(name, [])
    return [str(x) for x in found] if isinstance(found, list) else [str(found)]


def _whole(thing: dict[str, Any], name: str, most: int | None, default: int | None = None) -> int:
    value = thing.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0 or (most is not None and value > most):
        raise ObjectError(f"it says {name} {say(str(value), 24)}" + (f"; at most {most} is possible" if most is not None else ""))
    return value


def _numbers(value: object, n: int) -> bool:
    return isinstance(value, list) and len(value) == n and all(isinstance(x, int | float) and abs(x) < 1e9 for x in value)


def _no_number(word: str) -> NoReturn:
    raise ObjectError(f"its description says {word}")


def _finite(word: str) -> float:
    value = float(word)
    if not math.isfinite(value):
        raise ObjectError(f"its description says {say(word, 24)}: that is no number")
    return value
