"""Mesh files that nobody should read, and things that are named like one. Each is made in a folder where a harmless pack lies too."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hostile_files import CUBE, Hostile
from hostile_pictures import png, png_of_many_pixels

FACE = struct.pack("<12fH", 0, 0, 1, 0, 0, 0, 0.1, 0, 0, 0, 0.1, 0, 0)
NAN_FACE = struct.pack("<12fH", 0, 0, 1, 0, 0, 0, float("nan"), 0, 0, 0, 0.1, 0, 0)
CORNERS = np.array([[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0], [0, 0, 0.1]], "<f4")
POINTS = "".join(f"{x} {y} {z}\n" for x, y, z in CORNERS)


def file(name: str, said: str, data: bytes | str | Callable[[], bytes]) -> Hostile:
    """One file of these bytes, made when it is needed."""

    def make(folder: Path) -> None:
        held = data() if callable(data) else data
        (folder / name).write_bytes(held.encode() if isinstance(held, str) else held)

    return Hostile(name, said, make)


def stl(count: int, faces: bytes) -> bytes:
    return bytes(80) + struct.pack("<I", count) + faces


def ply(*header: str, body: bytes | str = "", form: str = "binary_little_endian") -> bytes:
    head = "\n".join(["ply", f"format {form} 1.0", *header, "end_header", ""])
    return head.encode() + (body.encode() if isinstance(body, str) else body)


def vertices(n: int | str = 4) -> tuple[str, ...]:
    return (f"element vertex {n}", "property float x", "property float y", "property float z")


def faces(n: int | str, length: str = "uchar", kind: str = "int") -> tuple[str, ...]:
    return (f"element face {n}", f"property list {length} {kind} vertex_indices")


def glb(tree: dict | bytes, binary: bytes = b"", *, length: int | None = None, version: int = 2) -> bytes:
    text = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + (struct.pack("<I4s", len(binary), b"BIN\0") + binary if binary else b"")
    return struct.pack("<4sII", b"glTF", version, len(chunks) + 12 if length is None else length) + chunks


def scene(**changes: object) -> dict:
    """A tetrahedron as glTF, with other values for some keys."""
    tree: dict = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": 12, "type": "SCALAR"},
        ],
        "bufferViews": [{"buffer": 0, "byteLength": 48}, {"buffer": 0, "byteOffset": 48, "byteLength": 24}],
        "buffers": [{"byteLength": 72}],
    }
    return tree | changes


BINARY = CORNERS.tobytes() + np.array([0, 2, 1, 0, 1, 3, 0, 3, 2, 1, 2, 3], "<u2").tobytes()


def tetrahedron(**changes: object) -> bytes:
    return glb(scene(**changes), BINARY)


def accessor(**changes: object) -> bytes:
    return tetrahedron(accessors=[scene()["accessors"][0] | changes, scene()["accessors"][1]])


def doubling(n: int) -> list[dict]:
    """Each node holds the next one twice: 2^n meshes."""
    return [*({"children": [k + 1, k + 1]} for k in range(n)), {"mesh": 0}]


def materials(text: str, *pictures: tuple[str, bytes]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / "painted.obj").write_text("mtllib painted.mtl\nusemtl a\n" + CUBE)
        (folder / "painted.mtl").write_text("newmtl a\n" + text)
        for name, data in pictures:
            (folder / name).write_bytes(data)

    return make


def fifty_million_faces(folder: Path) -> None:
    """400 MB that take no room on the disk."""
    with (folder / "fifty.obj").open("wb") as sparse:
        sparse.write(CUBE.encode())
        sparse.truncate(400 << 20)


def a_socket(folder: Path) -> None:
    here = os.getcwd()
    with socket.socket(socket.AF_UNIX) as found:
        os.chdir(folder)  # its name must be short
        try:
            found.bind("socket.obj")
        finally:
            os.chdir(here)


def circle_of_links(folder: Path) -> None:
    (folder / "one.stl").symlink_to("two.stl")
    (folder / "two.stl").symlink_to("one.stl")
    (folder / "round").symlink_to(folder, target_is_directory=True)


def named(name: str | bytes) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        with open(os.path.join(os.fsencode(folder), os.fsencode(name)), "w") as text:
            text.write(CUBE)

    return make


BIN = {"uri": "data:application/octet-stream;base64,AAAA"}
MESHES = [
    file("four_billion.stl", "says 4294967295 faces, and holds 0", lambda: stl(2**32 - 1, b"")),
    file("short.stl", "says 3 faces, and holds 1", lambda: stl(3, FACE)),
    file("many.stl", "1200000 faces; at most|holds 57 MB", lambda: stl(1_200_000, FACE * 1_200_000)),
    file("nan.stl", "not finite", lambda: stl(2, FACE + NAN_FACE)),
    file("none.stl", "no faces", lambda: stl(0, b"")),
    file("head.stl", "cut short", b"\1" * 50),
    file(
        "unended.stl",
        "cut short or damaged: 1 faces",
        "solid x\nfacet normal 0 0 1\nouter loop\n" + "vertex 0 0 0\n" * 3 + "endloop\nendfacet\n",
    ),
    file("endless.stl", "a line of more than", lambda: b"solid x\nfacet normal " + b"0" * (20 << 20)),
    file("inf.stl", "not finite", "solid x\nfacet normal 0 0 1\nouter loop\n" + "vertex 0 inf 0\n" * 3 + "endloop\nendfacet\nendsolid\n"),
    file("half.stl", "cut short or damaged", "solid x\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\n"),
    file(
        "words.stl",
        "says 'a' where a number belongs",
        "solid x\nfacet normal 0 0 1\nouter loop\n" + "vertex a b c\n" * 3 + "endloop\nendfacet\nendsolid\n",
    ),
    file("lists.ply", "the file ends before", lambda: ply(*vertices(), *faces(1, "uint"), body=CORNERS.tobytes() + b"\xff" * 4)),
    file("less.ply", "a list of -1", lambda: ply(*vertices(), *faces(1, "char"), body=CORNERS.tobytes() + b"\xff" * 40)),
    file("minus.ply", "no number of things", lambda: ply(*vertices("-4"))),
    file("four_billion.ply", "says 4294967295", lambda: ply(*vertices(2**32 - 1), *faces(1))),
    file("promises.ply", "promises 228", lambda: ply(*vertices(1_900_000), *faces(1))),
    file("nothing.ply", "without properties", lambda: ply("element air 1900000", *vertices(), *faces(1))),
    file("nan.ply", "not finite", lambda: ply(*vertices(), *faces(1), body=CORNERS.tobytes()[:-4] + b"\0\0\xc0\x7f\3" + bytes(12))),
    file("far.ply", "a vertex that is not there", lambda: ply(*vertices(), *faces(1), body=CORNERS.tobytes() + b"\3" + b"\x7f" * 12)),
    file("below.ply", "not there", lambda: ply(*vertices(), *faces(1), body=POINTS + "3 0 1 -2\n", form="ascii")),
    file("says.ply", "says 9999999 corners", lambda: ply(*vertices(), *faces(1), body=POINTS + "9999999 0 1 2\n", form="ascii")),
    file("short.ply", "cut short", lambda: ply(*vertices(), *faces(5), body=POINTS + "3 0 1 2\n" * 4 + " " * 40, form="ascii")),
    file("header.ply", "header", lambda: b"ply\n" + b"comment x\n" * 100_000),
    Hostile("fifty.obj", "holds 400 MB", fifty_million_faces),
    file("million.obj", "more than [0-9]+ faces", lambda: CUBE.encode() + b"f 1 2 3\n" * 2_500_000),
    file("fan.obj", "more than [0-9]+ faces", lambda: CUBE.encode() + (b"f" + b" 1" * 30_000 + b"\n") * 60),
    file("far.obj", "names the vertex 99; there are 1 to 8", CUBE + "f 1 2 99\n"),
    file("zero.obj", "names the vertex 0", CUBE + "f 0 1 2\n"),
    file("back.obj", "names the vertex -9; 8 come before", CUBE + "f -1 -2 -9\n"),
    file("wide.obj", "'99999999999999999999' where the number of a vertex belongs", CUBE + "f 1 2 99999999999999999999\n"),
    file("large.obj", r"lies at 1e\+308", CUBE + "v 1e308 0 0\n"),
    file("nan.obj", "not finite", CUBE + "v nan 0 0\n"),
    file("letters.obj", "64 letters", CUBE + "v " + "1" * 500 + " 0 0\n"),
    file("one.obj", "no faces", "v 0 0 0\n"),
    file("vertices.obj", "more than 2000000 vertices", lambda: b"v 0 0 0\n" * 2_100_000 + CUBE.encode()),
    file("groups.obj", "groups and materials", lambda: CUBE.encode() + b"g a\n" * 30_000),
    file("runs.obj", "runs programs", CUBE + "csh rm -rf /\n"),
    file("zeros.obj", "bytes of zero", lambda: CUBE.encode() + bytes(100)),
    file("endless.obj", "a line of more than", lambda: CUBE.encode() + b"f" + b" 1" * (5 << 20)),
    file("goes_on.obj", "a line of more than", lambda: CUBE.encode() + b"f 1 \\\n" * 100_000),
    file("passwd.obj", "'../../etc/passwd' outside", "mtllib ../../etc/passwd\n" + CUBE),
    Hostile("painted.obj", "'/etc/passwd' outside", materials("map_Kd /etc/passwd\n")),
    Hostile("painted.obj", "outside", materials("map_Kd -bm 1.0 http://127.0.0.1/a.png\n")),
    Hostile("painted.obj", "40000 x 40000", materials("map_Kd a.png\n", ("a.png", png_of_many_pixels(40_000)))),
    Hostile("painted.obj", "no PNG or JPEG", materials("bump a.png\n", ("a.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>"))),
    file("lying.glb", "says 99999 bytes", lambda: glb(scene(), BINARY, length=99_999)),
    file("old.glb", "version 1", lambda: glb(scene(), BINARY, version=1)),
    file("chunk.glb", "a piece of 4294967295 bytes", lambda: struct.pack("<4sIIII", b"glTF", 2, 20, 2**32 - 1, 0x4E4F534A)),
    file("outside.glb", "outside itself", lambda: tetrahedron(buffers=[{"byteLength": 72, "uri": "http://127.0.0.1/a.bin"}])),
    file("passwd.glb", "outside itself", lambda: tetrahedron(images=[{"uri": "../../../etc/passwd"}])),
    file("gigabytes.glb", "a buffer says 8000000000", lambda: tetrahedron(buffers=[BIN | {"byteLength": 8_000_000_000}])),
    file("base.glb", "base64", lambda: tetrahedron(buffers=[{"byteLength": 72, "uri": "data:;base64,!!!!"}])),
    file("draco.glb", "is compressed", lambda: tetrahedron(extensionsRequired=["KHR_draco_mesh_compression"])),
    file("meshopt.glb", "is compressed", lambda: tetrahedron(extensionsUsed=["EXT_meshopt_compression"])),
    file("circle.glb", "circle", lambda: tetrahedron(nodes=[{"mesh": 0, "children": [1]}, {"children": [0]}])),
    file("doubling.glb", "two parents", lambda: tetrahedron(nodes=doubling(40))),
    file("deep.glb", "nest 1001 deep", lambda: tetrahedron(nodes=[*({"children": [k + 1]} for k in range(1000)), {"mesh": 0}])),
    file("instances.glb", "30000 'nodes'; at most", lambda: tetrahedron(nodes=[{"mesh": 0}] * 30_000)),
    file("zeros.glb", "has no bytes", lambda: tetrahedron(accessors=[{"componentType": 5126, "count": 4, "type": "VEC3"}])),
    file("sparse.glb", "sparse", lambda: accessor(sparse={"count": 2**31})),
    file("count.glb", "says count '4294967295'", lambda: accessor(count=2**32 - 1)),
    file("beyond.glb", "does not fit", lambda: accessor(count=5)),
    file("type.glb", "a type that there is not", lambda: accessor(type="VEC9")),
    file("before.glb", "says byteOffset '-48'", lambda: accessor(byteOffset=-48)),
    file(
        "again.glb",
        "again and again",
        lambda: tetrahedron(bufferViews=[*scene()["bufferViews"], *([{"buffer": 0, "byteLength": 72}] * 19_000)]),
    ),
    file("views.glb", "view of 9000 bytes", lambda: tetrahedron(bufferViews=[{"buffer": 0, "byteLength": 9000}])),
    file("index.glb", r"bufferViews\['7'\]", lambda: accessor(bufferView=7)),
    file("nan.glb", "not finite", lambda: glb(scene(), b"\xff" * 48 + BINARY[48:])),
    file("far.glb", "names the vertex 65535", lambda: glb(scene(), BINARY[:48] + b"\xff" * 24)),
    file("matrix.glb", "description says NaN", lambda: tetrahedron(nodes=[{"mesh": 0, "scale": [float("nan")] * 3}])),
    file(
        "power.glb",
        "16 finite numbers|says '1e999'",
        lambda: glb(json.dumps(scene()).replace('"mesh": 0', '"mesh":0,"x":1e999').encode(), BINARY),
    ),
    file("nested.glb", "nests too deep", lambda: glb(b'{"asset":' + b"[" * 200_000 + b"]" * 200_000 + b"}")),
    file("full.glb", "fuller than", lambda: glb(b'{"asset":{},"x":[' + b"[]," * 3_000_000 + b"0]}")),
    file("twos.glb", "two parents|names", lambda: tetrahedron(nodes=[{"children": [1, 1]}, {"mesh": 0}])),
    file("list.glb", "no 'asset'", lambda: glb(b"[]")),
    file("picture.glb", "unpacks to more", lambda: picture_in_glb(png(1, 1, bytes(50 << 20)))),
    file("far.off", "not there", f"OFF\n4 1 0\n{POINTS}3 0 1 4\n"),
    file("corners.off", "says 9 corners, and holds 3", f"OFF\n4 1 0\n{POINTS}9 0 1 2\n"),
    file("half.off", "cut short: 4 of 9 vertices", f"OFF\n9 1 0\n{POINTS}"),
    file("lines.off", "more than 500000 faces", lambda: (f"OFF\n4 60 0\n{POINTS}" + ("30000" + " 1" * 30_000 + "\n") * 60).encode()),
    file("text.gltf", "at most 32 MB", lambda: b'{"asset":"' + b"A" * (40 << 20) + b'"}'),
    file(
        "corners.ply",
        "more than 500000 faces",
        lambda: ply(*vertices(), *faces(60), body=POINTS + ("30000" + " 1" * 30_000 + "\n") * 60, form="ascii"),
    ),
    file("huge.off", "says 2000000000 vertices", "OFF\n2000000000 2000000000 0\n0 0 0\n"),
    file("bomb.dae", ".dae is not read", '<!DOCTYPE a [<!ENTITY b "x">]><COLLADA>&b;</COLLADA>'),
    file("bomb.3mf", ".3mf is not read", b"PK\x03\x04" + bytes(100)),
    Hostile("pipe.obj", "it is a pipe", lambda folder: os.mkfifo(folder / "pipe.obj")),
    Hostile("zero.stl", "it is a device", lambda folder: (folder / "zero.stl").symlink_to("/dev/zero")),
    Hostile("socket.obj", "it is a socket", a_socket),
    Hostile("nowhere.glb", "a link to nothing", lambda folder: (folder / "nowhere.glb").symlink_to("/nowhere/at/all")),
    Hostile("one.stl", "a link to nothing", circle_of_links),
    Hostile("folder.obj", "it is a folder", lambda folder: (folder / "folder.obj").mkdir()),
    Hostile(r"a\nb.obj", "the character", named("a\nb.obj")),
    Hostile(r"a\udcff.obj", "the character", named(b"a\xff.obj")),
    Hostile(r"a\u202ejbo.stl", "the character", named("a\u202ejbo.stl")),
    Hostile(r"c:x.obj", "a path of Windows", named("c:x.obj")),
]


def picture_in_glb(picture: bytes) -> bytes:
    views = [*scene()["bufferViews"], {"buffer": 0, "byteOffset": 72, "byteLength": len(picture)}]
    tree = scene(bufferViews=views, images=[{"bufferView": 2, "mimeType": "image/png"}], buffers=[{"byteLength": 72 + len(picture)}])
    return glb(tree, BINARY + picture)
