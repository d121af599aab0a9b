"""The files that belong to a mesh: its materials and its pictures. No other is read on its behalf, and all of them are in its cache key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from trimesh.resolvers import Resolver

from assets.errors import ObjectError
from assets.objects.guard.limits import MARKUP_BYTES, PICTURE_BYTES
from assets.objects.guard.picture import check_picture
from assets.objects.guard.place import inside, read

FILE_BYTES, MOST_FACES = 64 << 20, 500_000
"""What is read of a mesh; more is to be simplified first."""
PICTURES = (".png", ".jpg", ".jpeg")
MOST = 64
"""Files that one mesh may name."""
_LIBRARY = re.compile(rb"^[ \t]*mtllib[ \t]+(\S[^\r\n]*)", re.MULTILINE)
_PICTURE = re.compile(rb"^[ \t]*map_Kd[ \t]+(\S[^\r\n]*)", re.MULTILINE | re.IGNORECASE)
_OF_PLY = re.compile(rb"^comment[ \t]+TextureFile[ \t]+(\S[^\r\n]*)", re.MULTILINE)


def companions(path: Path, data: bytes) -> dict[str, Path]:
    """The files that a mesh names, by the names that it gives them, and under "" the picture that lies beside it under its own name.

    Those that are not there are left out. Raises ObjectError where one lies outside the mesh's folder.
    """
    found: dict[str, Path] = {}
    suffix = path.suffix.lower()
    if suffix == ".obj":
        for library in _named(path.parent, _LIBRARY.findall(data), (".mtl",), found):
            _named(library.parent, _PICTURE.findall(read(library, MARKUP_BYTES)), PICTURES, found)
    elif suffix == ".ply":
        _named(path.parent, _OF_PLY.findall(data[:MARKUP_BYTES].partition(b"end_header")[0]), PICTURES, found)
    for name in (path.stem, "texture", "texture_map") if suffix in (".obj", ".ply") else ():
        beside = next((p for end in PICTURES if (p := path.with_name(name + end)).is_file() and not p.is_symlink()), None)
        if beside is not None:
            found[""] = beside
            break
    return found


def _named(folder: Path, names: list[bytes], suffixes: tuple[str, ...], found: dict[str, Path]) -> list[Path]:
    """Adds the files of these names and suffixes that are there to what was found."""
    new = []
    for raw in dict.fromkeys(names):
        name = raw.decode("utf-8", "surrogateescape").strip().strip('"')
        for form in dict.fromkeys((name, name.replace("\\", "/").removeprefix("./"), name.split()[-1] if name.split() else "")):
            if Path(form).suffix.lower() not in suffixes or form in found:
                continue
            path = inside(folder, form)
            if path.is_file():
                found[form] = path
                new.append(path)
        if len(found) > MOST:
            raise ObjectError(f"it names more than {MOST} files")
    return new


class Beside(Resolver):
    """Gives a reader the files in the table and nothing else; pictures are looked over first."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def get(self, key: str) -> bytes:
        name = key.strip().strip('"')
        path = self._files.get(name) or self._files.get(name.replace("\\", "/").removeprefix("./")) or self._files.get(name.split()[-1])
        if path is None:
            raise FileNotFoundError(name)
        if path.suffix.lower() in PICTURES:
            check_picture(path)
            return read(path, PICTURE_BYTES)
        return read(path, MARKUP_BYTES)

    def write(self, name: str, data: object) -> None:
        raise PermissionError("nothing is written beside a mesh")

    def namespaced(self, namespace: str) -> Resolver:
        return self

    def keys(self) -> list[str]:
        return [name for name in self._files if name]
