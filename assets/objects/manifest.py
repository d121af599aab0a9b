"""What `cezanne objects` says of a set that it made: `set.json`, with a checksum of every file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assets.errors import ObjectError
from assets.objects.document import read_document, write_document
from assets.objects.home import MANIFEST
from assets.objects.meta import META

FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """A set, as it was made."""

    name: str
    licence: str = ""
    attribution: str = ""
    origin: str = ""
    """Where it came from: an address or the name of a folder."""
    objects: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The files of each pack and their SHA-256."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """What was not taken, and why."""


def read_manifest(folder: Path) -> Manifest | None:
    """What the folder says of itself; None where it says nothing. Raises ObjectError where what it says cannot be read."""
    path = folder / MANIFEST
    found = read_document(path)
    if not found:
        return None
    if found.get("format") != FORMAT:
        raise ObjectError(f"{path} is of format {found.get('format')!r:.20}; this version reads {FORMAT}")
    objects, refused = found.get("objects", {}), found.get("refused", {})
    if not isinstance(objects, dict) or not all(_texts(files) for files in objects.values()) or not _texts(refused):
        raise ObjectError(f"{path} is damaged: its lists of files and of what was refused are not as they were written")
    said = {key: str(found.get(key, ""))[:2000] for key in ("licence", "attribution", "origin")}
    return Manifest(str(found.get("name", folder.name)), **said, objects=objects, refused=refused)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replaces what the folder says of itself."""
    said = {"format": FORMAT, "name": manifest.name, "licence": manifest.licence, "attribution": manifest.attribution}
    said |= {"origin": manifest.origin, "objects": {k: dict(v) for k, v in sorted(manifest.objects.items())}}
    write_document(folder / MANIFEST, said | {"refused": dict(sorted(manifest.refused.items()))})


def checksums(pack: Path) -> dict[str, str]:
    """SHA-256 of every file of a pack by its name, without what was measured of it. Raises ObjectError."""
    try:
        files = sorted(p for p in pack.rglob("*") if p.is_file() and p.name != META and not p.name.startswith("."))
        return {p.relative_to(pack).as_posix(): sha256(p) for p in files}
    except OSError as error:
        raise ObjectError(f"{pack.name} cannot be read: {error.strerror}") from error


def differences(pack: Path, recorded: Mapping[str, str]) -> str:
    """What changed of a pack since its checksums were taken, in words; empty: nothing. Raises ObjectError."""
    found = checksums(pack)
    changed = [name for name in recorded.keys() & found.keys() if recorded[name] != found[name]]
    rows = {"changed": changed, "missing": recorded.keys() - found.keys(), "new": found.keys() - recorded.keys()}
    return "; ".join(f"{what}: {', '.join(sorted(names))[:200]}" for what, names in rows.items() if names)


def digest(files: Mapping[str, str]) -> str:
    """One number for all files of a pack, from their checksums."""
    return hashlib.sha256("".join(f"{name}\0{files[name]}\n" for name in sorted(files)).encode()).hexdigest()


def sha256(path: Path) -> str:
    """Of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(k, str) and isinstance(v, str) for k, v in value.items())
