"""Archives by strangers: zip and tar, unpacked to a new folder. Members are judged by what the archive says of them before a byte is
written, and held to it while they are written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from assets.errors import ObjectError
from assets.objects.guard.limits import LIMITS, Limits
from assets.objects.guard.member import Member
from assets.objects.guard.place import check_name, folded, megabytes, say, size_of
from assets.objects.guard.tarred import Tar
from assets.objects.guard.zipped import Zip

_NESTED = (".zip", ".tar", ".tgz", ".tbz2", ".txz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst", ".lzma")
_FREE = 1 << 20
"""What a member may unpack to however small it is [bytes]."""
_PACKINGS = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\0": "xz"}


@dataclass(frozen=True)
class Unpacked:
    """What came of an archive."""

    files: tuple[Path, ...]
    """Where they lie, in order of the archive."""
    refused: dict[str, str] = field(default_factory=dict)
    """The members that were left out, by name, and why."""


def unpack(archive: Path, into: Path, limits: Limits = LIMITS) -> Unpacked:
    """Unpacks a .zip or a .tar (also .gz, .bz2, .xz) to a folder that is not there yet, or is empty.

    Links, devices, names that lead outside or deceive, encrypted members, archives in archives, and members of one name are left out, by
    name and reason. Modes and owners are not taken over. The folder appears when all is done: what goes wrong leaves nothing behind.

    Args:
        archive: the file; what it is is told by its first bytes, not by its name.
        into: the folder; its parent must be there.
        limits: what the archive may hold.

    Raises:
        ObjectError: it is no such archive, is damaged, holds more than `limits` as a whole, or nothing of it may be unpacked.
    """
    size = size_of(archive, limits.archive)
    try:
        if into.is_symlink() or (into.exists() and (not into.is_dir() or any(into.iterdir()))):
            raise ObjectError(f"{say(into.name)} is there already: name a new folder")
        with _open(archive, size, limits) as reader:
            return _unpack(reader, into, limits)
    except OSError as error:
        raise ObjectError(f"{say(archive.name)} cannot be unpacked: {error.strerror or error}") from error


def _open(archive: Path, size: int, limits: Limits) -> Zip | Tar:
    with archive.open("rb") as file:
        head = file.read(512)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return Zip(archive, size, limits)
    packing = next((name for magic, name in _PACKINGS.items() if head.startswith(magic)), "")
    if packing or head[257:262] == b"ustar":
        return Tar(archive, packing, size, limits)
    raise ObjectError(f"{say(archive.name)} is no .zip and no .tar (.gz, .bz2, .xz)")


def _unpack(reader: Zip | Tar, into: Path, limits: Limits) -> Unpacked:
    members = list(reader.members())
    reasons = dict(reversed([*_judge(members, limits)]))  # the first reason of each
    wanted = {i: m for i, m in enumerate(members) if m.kind == "file" and i not in reasons}
    total = sum(m.size for m in wanted.values())
    if total > limits.total:
        raise ObjectError(f"it unpacks to {megabytes(total)}; at most {megabytes(limits.total)} are read")
    free = shutil.disk_usage(into.parent).free
    if total > free:
        raise ObjectError(f"it unpacks to {megabytes(total)}; the disk has room for {megabytes(free)}")
    files = []
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=into.parent) as temporary:
        root = Path(temporary) / "it"
        root.mkdir()
        for i, pieces in reader.contents(set(wanted)):
            place = PurePosixPath(wanted[i].name)
            try:
                _write(root / place, pieces, wanted[i].size)
                files.append(into / place)
            except ObjectError as error:
                reasons[i] = str(error)
        refused = {say(members[i].name, 120)[1:-1]: why for i, why in sorted(reasons.items())}
        if not files:
            raise ObjectError("nothing of it may be unpacked" + "".join(f"; {name}: {why}" for name, why in [*refused.items()][:1]))
        os.replace(root, into)  # an empty folder makes room for it
    return Unpacked(tuple(files), refused)


def _judge(members: list[Member], limits: Limits) -> Iterator[tuple[int, str]]:
    """Which members are left out, by number, and why."""
    places: dict[int, PurePosixPath] = {}
    for i, member in enumerate(members):
        try:
            places[i] = check_name(member.name, limits.depth, limits.name)
            _check(member, limits)
        except ObjectError as error:
            yield i, str(error)
    alike = Counter(folded(places[i]) for i in places if members[i].kind != "folder")
    others = {folded(places[i]): members[i].kind for i in places if members[i].kind != "folder"}
    for i, place in places.items():
        above = next((others[key] for parent in place.parents if (key := folded(parent)) in others), None)
        if above is not None:
            yield i, f"it lies below a {above}"
        elif members[i].kind != "folder" and alike[folded(place)] > 1:
            yield i, f"{alike[folded(place)]} members have this name, or one that differs in its case alone"


def _check(member: Member, limits: Limits) -> None:
    if member.kind not in ("file", "folder"):
        raise ObjectError(f"it is a {member.kind}")
    if member.flaw:
        raise ObjectError(member.flaw)
    if member.size > limits.file:
        raise ObjectError(f"it unpacks to {megabytes(member.size)}; at most {megabytes(limits.file)} a file are read")
    if member.packed is not None and member.size > _FREE + limits.ratio * member.packed:
        raise ObjectError(
            f"{megabytes(member.packed)} of it unpack to {megabytes(member.size)}: at most {limits.ratio:g} times as much is read"
        )
    if member.kind == "file" and member.name.lower().endswith(_NESTED):
        raise ObjectError("it is an archive in an archive")


def _write(path: Path, pieces: Iterator[bytes], size: int) -> None:
    """A new file of `size` bytes; nothing where it is not that long. Raises ObjectError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "wb") as file:
            for piece in pieces:
                written += len(piece)
                if written > size:
                    break
                file.write(piece)
        if written != size:
            raise ObjectError(f"it says {size} bytes, and holds {'more' if written > size else written}")
    except BaseException:
        path.unlink(missing_ok=True)
        raise
