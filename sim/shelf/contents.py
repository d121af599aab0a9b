"""What a folder, an archive or a file of the user's holds: packs and meshes, under the names that they will have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from assets.errors import ObjectError
from assets.objects.delivery import lone_mesh
from assets.objects.guard import unpack
from assets.objects.guard.survey import survey
from assets.objects.objectset import MESHES

_ORDER = (".glb", ".obj", *sorted(set(MESHES) - {".glb", ".obj"}))
"""Of a folder that holds one shape in several formats the first of these is taken: those that have a texture come first."""


@dataclass(frozen=True)
class Item:
    """One thing that may become an object."""

    label: str
    """As it is called where it comes from."""
    name: str
    """As it will be called."""
    path: Path
    """A pack's folder, or a mesh."""

    @property
    def is_pack(self) -> bool:
        return self.path.is_dir()


@dataclass(frozen=True)
class Contents:
    """Everything that was found."""

    items: tuple[Item, ...]
    refused: Mapping[str, str]


def look_into(source: Path, staging: Path) -> Contents:
    """What is in a folder of packs, of meshes, or of folders with a mesh each; in an archive of such; or one pack or mesh.

    An archive is unpacked into `staging`. Raises ObjectError where the source cannot be read at all.
    """
    refused: dict[str, str] = {}
    if source.is_file() and source.suffix.lower() in MESHES:
        return Contents((Item(source.name, safe_name(source.stem), source),), {})
    if not source.is_dir():
        unpacked = unpack(source, staging / "unpacked")
        refused |= unpacked.refused
        source = _innermost(staging / "unpacked")
    if (source / "object.xml").is_file():
        return Contents((Item(source.name, safe_name(source.name), source),), refused)
    found = survey(source, MESHES)
    refused |= dict(found.refused)
    items = [Item(path.name, path.name, path) for path in found.packs]
    items += [Item(path.name, safe_name(path.stem), path) for path in found.meshes]
    for folder in sorted(source.iterdir()):
        if folder in found.packs or folder.is_symlink() or not folder.is_dir() or folder.name in refused or folder.name.startswith("."):
            continue
        try:
            mesh = lone_mesh(folder, _ORDER)
        except ObjectError as error:
            refused[folder.name] = str(error)
            continue
        if mesh is not None:
            items.append(Item(folder.name, safe_name(folder.name), mesh))
    first: dict[str, Item] = {}
    for item in items:
        if item.name in first:
            refused[item.label] = f"{first[item.name].label} is called {item.name} too: rename one"
        else:
            first[item.name] = item
    return Contents(tuple(first[name] for name in sorted(first)), refused)


def safe_name(text: str) -> str:
    """A name for a set or an object, like the text."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text).strip("._-")[:80] or "object"


def _innermost(folder: Path) -> Path:
    """The folder itself, or the one that it consists of: archives often hold all in one."""
    for _ in range(8):
        inside = [path for path in folder.iterdir() if path.name != "__MACOSX"]
        if len(inside) != 1 or not inside[0].is_dir() or (inside[0] / "object.xml").is_file():
            return folder
        folder = inside[0]
    return folder
