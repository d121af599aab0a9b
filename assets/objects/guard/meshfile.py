"""Mesh files by strangers: looked over with little memory before any reader sees them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from assets.errors import ObjectError
from assets.objects.guard.gltf import check_gltf
from assets.objects.guard.limits import MESH_BYTES, MOST_FACES, MOST_VERTICES
from assets.objects.guard.place import say, size_of
from assets.objects.guard.ply import check_ply
from assets.objects.guard.stl import check_stl
from assets.objects.guard.textlines import check_floats, check_polygons, integers, lines_of, rows_of
from assets.objects.guard.wavefront import check_obj


def check_mesh(path: Path, *, faces: int = MOST_FACES, size: int = MESH_BYTES) -> None:
    """Refuses what no object needs: files that promise more than they hold, millions of faces, numbers that are none, faces of vertices
    that are not there, compression, names of other files outside the folder.

    Args:
        path: a file of one of FORMATS; the pictures that its materials name are looked over too.
        faces: most triangles.
        size: most bytes of the file.

    Raises:
        ObjectError: with the reason.
    """
    check = FORMATS.get(path.suffix.lower())
    if check is None:
        raise ObjectError(f"{say(path.name)} is no mesh: a mesh is one of {', '.join(FORMATS)}")
    held = size_of(path, size)
    try:
        check(path, held, faces)
    except OSError as error:
        raise ObjectError(f"it cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, struct.error, RecursionError) as error:
        raise ObjectError(f"it is no {path.suffix[1:].upper()}: {' '.join(str(error).split())[:100]}") from error


def check_msh(path: Path, size: int, faces: int) -> None:
    """MuJoCo's own format: four counts, then what they count."""
    with path.open("rb") as file:
        head = file.read(16)
    if len(head) < 16:
        raise ObjectError("it is cut short")
    vertices, normals, texture, triangles = struct.unpack("<4i", head)
    if min(vertices, normals, texture, triangles) < 0 or triangles > faces:
        raise ObjectError(f"it says {vertices} vertices and {triangles} faces; at most {faces} faces are read")
    held = 16 + 12 * vertices + 12 * normals + 8 * texture + 12 * triangles
    if held != size:
        raise ObjectError(f"its header promises {held} bytes, it holds {size}")
    if not vertices or not triangles:
        raise ObjectError("it holds no faces")
    data = np.memmap(path, "<f4", "r", offset=16, shape=(3 * (vertices + normals) + 2 * texture,))
    check_floats(data[: 3 * vertices])
    if len(data) > 3 * vertices:
        check_floats(data[3 * vertices :])
    corners = np.memmap(path, "<i4", "r", offset=16 + data.nbytes, shape=(3 * triangles,))
    if corners.min() < 0 or corners.max() >= vertices:
        raise ObjectError(f"a face names a vertex that is not there: there are 0 to {vertices - 1}")


def check_off(path: Path, size: int, faces: int) -> None:
    """OFF: a word, three counts, a line for each vertex and face."""
    lines = (line for piece in lines_of(path) for line in piece if line[:1] != b"#")
    words = next(lines, b"").split()
    if not words or words[0] not in (b"OFF", b"COFF"):
        raise ObjectError("it is no OFF of text")
    counts = integers((words[1:] or next(lines, b"").split())[:2])
    if len(counts) < 2 or min(counts) < 1:
        raise ObjectError("it holds no faces")
    vertices, polygons = map(int, counts)
    if vertices > MOST_VERTICES or polygons > faces:
        raise ObjectError(f"it says {vertices} vertices and {polygons} faces; at most {MOST_VERTICES} and {faces} are read")
    for rows in rows_of(lines, vertices, "vertices"):
        if min(map(len, rows)) < 3:
            raise ObjectError("one of its vertices has fewer than three coordinates")
        check_floats([word for row in rows for word in row[:3]])
    triangles = 0
    for rows in rows_of(lines, polygons, "faces"):
        triangles += check_polygons(rows, vertices)
        if triangles > faces:
            raise ObjectError(f"it holds more than {faces} faces: simplify it first")


FORMATS: dict[str, Callable[[Path, int, int], None]] = {
    ".glb": check_gltf,
    ".gltf": check_gltf,
    ".msh": check_msh,
    ".obj": check_obj,
    ".off": check_off,
    ".ply": check_ply,
    ".stl": check_stl,
}
"""What looks over a file, by its suffix: of the path, its size [bytes] and the most faces."""
