"""A set's folder while it is being filled: one at a time, one object after the other, so that whatever stops it leaves whole objects."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from assets.errors import ObjectError
from assets.objects.delivery import carry
from assets.objects.home import is_set
from assets.objects.manifest import Manifest, checksums, differences, read_manifest, write_manifest
from assets.objects.pack import open_pack

STAGING, DOWNLOADS = ".staging", ".downloads"


@dataclass(frozen=True)
class Place:
    """The folder of a set that nobody else fills meanwhile."""

    folder: Path

    @property
    def staging(self) -> Path:
        """For what is half done; emptied before and after."""
        return self.folder / STAGING

    @property
    def downloads(self) -> Path:
        """For what is half fetched; kept."""
        return self.folder / DOWNLOADS

    def put(self, name: str, source: Path) -> dict[str, str]:
        """Copies a pack into the set under a name, in the place of another of that name; one that is the same stays as it is.

        Returns its files with their checksums. Raises ObjectError where it is no pack that can be used.
        """
        copy = self.staging / "put" / name
        shutil.rmtree(copy.parent, ignore_errors=True)
        carry(source, copy)
        open_pack(copy)
        files, there = checksums(copy), self.folder / name
        if not there.is_dir() or differences(there, files):
            shutil.rmtree(there, ignore_errors=True)
            copy.replace(there)
        return files


@contextmanager
def filling(folder: Path) -> Iterator[Place]:
    """The folder of a set, made where it is missing. Raises ObjectError where somebody else fills it, or it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ObjectError(f"another `cezanne objects` is filling {folder}; wait for it") from error
            place = Place(folder)
            shutil.rmtree(place.staging, ignore_errors=True)
            place.staging.mkdir()
            try:
                yield place
            finally:
                shutil.rmtree(place.staging, ignore_errors=True)
                if not is_set(folder) and not any(place.downloads.glob("*")):
                    shutil.rmtree(folder, ignore_errors=True)  # nothing came of it
    except PermissionError as error:
        raise ObjectError(f"{error.filename or folder} cannot be written to; CEZANNE_OBJECTS names another place for sets") from error


def whole(folder: Path, fresh: Manifest) -> Manifest:
    """What the folder says of itself, with what `fresh` says instead: without objects that are gone or were changed. Raises ObjectError."""
    old = read_manifest(folder)
    kept: Mapping[str, Mapping[str, str]] = {}
    if old is not None:
        kept = {name: files for name, files in old.objects.items() if (folder / name).is_dir() and not differences(folder / name, files)}
    licence = fresh.licence or (old.licence if old is not None else "")
    return replace(fresh, licence=licence, objects=kept, refused={})


def note(folder: Path, manifest: Manifest, name: str, files: Mapping[str, str]) -> Manifest:
    """The manifest with one more object, written."""
    return _written(folder, replace(manifest, objects={**manifest.objects, name: files}, refused=_without(manifest.refused, name)))


def note_refused(folder: Path, manifest: Manifest, refused: Mapping[str, str]) -> Manifest:
    """The manifest with more of what was refused, written where the set has an object."""
    return _written(folder, replace(manifest, refused={**manifest.refused, **refused}))


def _written(folder: Path, manifest: Manifest) -> Manifest:
    if manifest.objects:
        write_manifest(folder, manifest)
    return manifest


def _without(refused: Mapping[str, str], name: str) -> dict[str, str]:
    return {key: why for key, why in refused.items() if key != name}
