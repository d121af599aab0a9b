"""Objects of a public set, one at a time: from where its makers keep them, from a mirror, or from a folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from assets.errors import ObjectError
from assets.objects.catalogue import Source
from assets.objects.delivery import carry
from assets.objects.document import read_document, write_document
from assets.objects.download import Patience, Progress, check_url, download
from assets.objects.guard import LIMITS, unpack
from assets.objects.manifest import checksums, digest, sha256

_FORMAT = 1


@dataclass(frozen=True)
class Fetched:
    """One object that is here now."""

    name: str
    path: Path
    """A pack's folder, or a mesh with its texture beside it."""
    pin: tuple[str, str]
    """What it was got as (an archive's name, or "NAME/" of a pack), and its SHA-256."""
    leftovers: tuple[Path, ...] = ()
    """To be removed when the object is on the shelf; until then nothing needs to be fetched again."""


def check_mirror(mirror: str) -> None:
    """Raises ObjectError unless it is empty, an address, or a folder."""
    if "://" in mirror:
        check_url(mirror)
    elif mirror and not Path(mirror).expanduser().is_dir():
        raise ObjectError(f"mirror={mirror} is neither a folder nor an address")


def fetch_object(
    source: Source,
    name: str,
    work: Path,
    *,
    mirror: str = "",
    pins: Mapping[str, str] | None = None,
    patience: Patience | None = None,
    progress: Progress | None = None,
) -> Fetched:
    """Brings one object of a set into the folder `work`, which keeps what is half done.

    Args:
        source: the set.
        name: one of its objects.
        work: where archives and what is in them are put.
        mirror: an address or a folder that holds the set's archives under their names, or (a folder) ready packs NAME/object.xml, or
            unpacked archives; empty: where the makers keep them.
        pins: SHA-256 of what was got before; other bytes are refused.
        patience: with a bad connection.
        progress: told what came over the line.

    Raises:
        UnreachableError: nobody answers there.
        ObjectError: it is not there, is not what was pinned, or may not be unpacked.
    """
    if name not in source.objects:
        raise ObjectError(f"{source.name} has no object {name[:60]!r}")
    pins = pins or {}
    local = Path(mirror).expanduser() if mirror and "://" not in mirror else None
    opened = work / name
    shutil.rmtree(opened, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    if local is not None and (local / name / "object.xml").is_file():
        carry(local / name, opened)
        files = checksums(opened)
        return Fetched(name, opened, _pinned(f"{name}/", digest(files), pins), (opened,))
    archive_name = source.archive_of(name)
    if local is not None and (local / source.mesh_of(name)).is_file():
        carry((local / source.mesh_of(name)).parent, opened)
        mesh = opened / Path(source.mesh_of(name)).name
        return Fetched(name, _called(mesh, name), _pinned(f"{name}/", digest(checksums(opened)), pins), (opened,))
    if local is not None:
        archive = local / archive_name
        if not archive.is_file():
            raise ObjectError(f"{local} holds neither {archive_name} nor {name}/object.xml")
        pin = _pinned(archive_name, sha256(archive), pins)
    else:
        archive = work / archive_name
        url = (mirror.rstrip("/") + "/" if mirror else source.base) + archive_name
        pinned = pins.get(archive_name)
        if archive.is_file() and pinned in (None, found := sha256(archive)):
            pin = archive_name, found
        else:
            pin = archive_name, download(url, archive, most=source.most_bytes, pinned=pinned, patience=patience, progress=progress)
    try:
        unpack(archive, opened, LIMITS)
        mesh = opened / source.mesh_of(name)
        if not mesh.is_file():
            raise ObjectError(f"{archive_name} holds no {source.mesh_of(name)}")
        return Fetched(name, _called(mesh, name), pin, (opened, archive) if local is None else (opened,))
    except ObjectError:
        shutil.rmtree(opened, ignore_errors=True)
        if local is None:
            archive.unlink(missing_ok=True)  # the same bytes would be refused again
        raise


def read_pins(path: Path) -> dict[str, str]:
    """SHA-256 by what was got; empty where there is no such file. Raises ObjectError."""
    found = read_document(path)
    pins = found.get("files", {})
    good = isinstance(pins, dict) and all(isinstance(v, str) and len(v) == 64 for v in pins.values())
    if found and (found.get("format") != _FORMAT or not good):
        raise ObjectError(f"{path} is no lock file of cezanne")
    return dict(pins)


def write_pins(path: Path, source: Source, pins: Mapping[str, str]) -> None:
    """Keeps what was got, so that another machine, or a later day, gets the same or an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_document(path, {"format": _FORMAT, "set": source.name, "from": source.base, "files": dict(sorted(pins.items()))})


def _pinned(key: str, found: str, pins: Mapping[str, str]) -> tuple[str, str]:
    if key in pins and pins[key] != found:
        raise ObjectError(f"{key} is not what was pinned (SHA-256 {found[:16]}..., pinned {pins[key][:16]}...)")
    return key, found


def _called(mesh: Path, name: str) -> Path:
    """The mesh under its object's name, its texture where it was."""
    return mesh.rename(mesh.with_name(name + mesh.suffix))
