"""Writing a dataset: one shard at a time, whole or not at all, from any number of processes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from episodes.dataset import read_info
from episodes.episode import Episode
from episodes.errors import StoreError
from episodes.info import DatasetInfo, check_name
from episodes.shard import sync, write_shard


class DatasetWriter:
    """Creates a dataset, or continues one of the same contract."""

    def __init__(self, path: str | Path, info: DatasetInfo) -> None:
        self.path, self.info = Path(path), info
        try:
            (self.path / "shards").mkdir(parents=True, exist_ok=True)
            self._describe()
            self._clean()
        except OSError as error:
            raise _refused(f"dataset {self.path}", error) from error

    def has(self, name: str) -> bool:
        """Whether a shard of this name is there, whole."""
        check_name("shard", name)
        return self._folder(name).is_dir()

    def write(self, name: str, episodes: Sequence[Episode]) -> None:
        """Stores episodes, any number of them, under a new name. Raises StoreError and leaves nothing behind where it cannot."""
        if self.has(name):
            raise self._there(name)
        for episode in episodes:
            self.info.check(episode)
        part = self.path / "shards" / f"{_owner(os.getpid())}{secrets.token_hex(4)}.{name}"
        try:
            part.mkdir()
            write_shard(part, episodes, self.info)
            os.rename(part, self._folder(name))  # refused where another process was first: folders that hold something are not replaced
            sync(self.path / "shards")
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and self.has(name):
                raise self._there(name) from error
            raise _refused(f"shard {name!r} of {self.path}", error) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _there(self, name: str) -> StoreError:
        return StoreError(f"shard {name!r} of {self.path} is there already; shards are never rewritten")

    def _folder(self, name: str) -> Path:
        return self.path / "shards" / f"{name}.zarr"

    def _describe(self) -> None:
        """Writes dataset.json, or compares with the one that is there."""
        path = self.path / "dataset.json"
        if not path.exists():
            part = self.path / f"{_owner(os.getpid())}{secrets.token_hex(4)}.dataset.json"
            try:
                part.write_text(json.dumps(self.info.to_json(), indent=1), encoding="utf-8")
                sync(part)
                os.link(part, path)  # unlike a rename, refused where another process was first
            except FileExistsError:
                pass
            finally:
                part.unlink(missing_ok=True)
        differences = read_info(self.path).differences(self.info)
        if differences:
            raise StoreError(f"dataset {self.path} has another contract ({'; '.join(differences)[:300]}); choose another folder")

    def _clean(self) -> None:
        """Removes what killed writers of this machine left; what living ones write stays."""
        for folder in (self.path, self.path / "shards"):
            for part in folder.glob(".part-*"):
                fields = part.name.split("-", 3)
                mine = len(fields) == 4 and fields[1] == _machine() and fields[2].isdigit()
                if mine and not part.name.startswith(_owner(int(fields[2]))):
                    shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)


def _owner(pid: int) -> str:
    """Start of the names of what a living process writes; a process that took over a dead one's number has another."""
    try:
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        started = "dead"
    return f".part-{_machine()}-{pid}-{started}-"


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _refused(what: str, error: OSError) -> StoreError:
    return StoreError(f"cannot write {what}: {error.strerror or error}; what was stored before is kept")
