"""Packs and meshes carried from a stranger's folder into one of ours: plain files of the kinds that are needed, and no more of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from assets.errors import ObjectError
from assets.objects.guard.place import check_name, say

KINDS = frozenset({".xml", ".obj", ".mtl", ".stl", ".msh", ".ply", ".glb", ".gltf", ".bin", ".png", ".jpg", ".jpeg", ".json"})
"""Suffixes of what is carried."""
MOST_FILES, MOST_BYTES, DEPTH = 1000, 256 << 20, 3


def carry(source: Path, to: Path) -> None:
    """Copies the files of one object, folders within it too; links are left behind.

    Raises ObjectError where they are too many or too large for one object.
    """
    total = count = 0
    try:
        to.mkdir(parents=True)
        for at, folders, files in os.walk(source):
            here = Path(at).relative_to(source)
            if len(here.parts) >= DEPTH:
                folders.clear()
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            for name in sorted(files):
                path = Path(at) / name
                if path.suffix.lower() not in KINDS or path.is_symlink() or not path.is_file():
                    continue
                check_name(name, 1, 255)
                count, total = count + 1, total + path.stat().st_size
                if count > MOST_FILES or total > MOST_BYTES:
                    raise ObjectError(f"it is more than {MOST_FILES} files or {MOST_BYTES >> 20} MB, too much for one object")
                (to / here).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, to / here / name)
    except OSError as error:
        raise ObjectError(f"{say(source.name)} cannot be copied: {error.strerror}") from error


def lone_mesh(folder: Path, suffixes: tuple[str, ...]) -> Path | None:
    """The mesh of a folder that holds one object, such as NAME/google_16k/textured.obj or NAME/meshes/model.obj; None where it holds none.

    Of several formats of one shape the first in `suffixes` counts. Raises ObjectError where nobody can say which is meant.
    """
    found: dict[str, list[Path]] = {suffix: [] for suffix in suffixes}
    seen = 0
    try:
        for at, folders, files in os.walk(folder):
            if len(Path(at).relative_to(folder).parts) >= DEPTH:
                folders.clear()
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            seen += len(files) + len(folders)
            if seen > 10 * MOST_FILES:
                raise ObjectError(f"it holds more than {10 * MOST_FILES} files")
            for name in sorted(files):
                path = Path(at) / name
                if path.suffix.lower() in found and path.is_file() and not path.is_symlink():
                    found[path.suffix.lower()].append(path)
    except OSError as error:
        raise ObjectError(f"it cannot be read: {error.strerror}") from error
    for paths in found.values():
        if len(paths) == 1:
            return paths[0]
        if paths:
            names = ", ".join(say(p.relative_to(folder).as_posix()) for p in paths[:4])
            raise ObjectError(f"it holds {len(paths)} meshes ({names}): keep one in a folder, or put them beside each other")
    return None
