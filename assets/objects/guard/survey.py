"""What a folder by strangers holds: packs, meshes, and what is named like one but is none."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from assets.errors import ObjectError
from assets.objects.guard.place import check_name, say

MOST_ENTRIES = 100_000
SHAPES = re.compile(r"\.(3ds|3mf|blend|dae|fbx|glb|gltf|iges|igs|msh|obj|off|ply|step|stl|stp|usd[acz]?|wrl|x3d|xaml)")
"""Suffixes by which people know a shape."""


@dataclass(frozen=True)
class Survey:
    """A folder, looked over without opening any of its files."""

    packs: tuple[Path, ...]
    """Folders with something named object.xml."""
    meshes: tuple[Path, ...]
    """Regular files of the suffixes asked for."""
    refused: tuple[tuple[str, str], ...]
    """(name, reason): pipes, devices, dangling links and folders named like a mesh, names that deceive, formats that are not read."""


def survey(folder: Path, suffixes: Collection[str]) -> Survey:
    """Looks over a folder, not the folders in it.

    Args:
        suffixes: of the meshes that are read, with their dot, in lower case.

    Raises:
        ObjectError: it cannot be read or holds more than MOST_ENTRIES things.
    """
    packs: list[Path] = []
    meshes: list[Path] = []
    refused: list[tuple[str, str]] = []
    stems: set[str] = set()
    others: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry, _ in zip(entries, range(MOST_ENTRIES + 1), strict=False)]
    except OSError as error:
        raise ObjectError(f"{say(folder.name)} cannot be read: {error.strerror}") from error
    if len(names) > MOST_ENTRIES:
        raise ObjectError(f"{say(folder.name)} holds more than {MOST_ENTRIES} things")
    for name in sorted(names):
        path = folder / name
        suffix = path.suffix.lower()
        if not SHAPES.fullmatch(suffix) and suffix not in suffixes and not os.path.lexists(path / "object.xml"):
            continue
        try:
            check_name(name, 1, 255)
            if _kind(path) == stat.S_IFDIR and os.path.lexists(path / "object.xml"):
                packs.append(path)
            elif _kind(path) != stat.S_IFREG:
                raise ObjectError(_WORDS.get(_kind(path), "it is no file"))
            elif suffix in suffixes:
                meshes.append(path)
                stems.add(path.stem)
            else:
                others.append(path)
        except ObjectError as error:
            refused.append((say(name, 80)[1:-1], str(error)))
    refused += [(p.name, f"{p.suffix} is not read: convert it to {' or '.join(sorted(suffixes))}") for p in others if p.stem not in stems]
    return Survey(tuple(packs), tuple(meshes), tuple(sorted(refused)))


_WORDS = {
    stat.S_IFDIR: "it is a folder",
    stat.S_IFIFO: "it is a pipe",
    stat.S_IFSOCK: "it is a socket",
    stat.S_IFCHR: "it is a device",
    stat.S_IFBLK: "it is a device",
}


def _kind(path: Path) -> int:
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except OSError as error:
        raise ObjectError(f"it is a link to nothing: {error.strerror}" if path.is_symlink() else f"{error.strerror}") from error
