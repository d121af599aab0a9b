"""One archive of many files, and checksums of a folder."""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import tarfile
from pathlib import Path


def pack(folder: Path, archive: Path, preset: int) -> None:
    """One solid .tar.xz of a folder: the same files give the same bytes."""
    kinds = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: (path.suffix, path.name, path.as_posix()))
    code = {"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": 64 << 20}
    with (
        lzma.open(archive, "wb", format=lzma.FORMAT_XZ, check=lzma.CHECK_SHA256, filters=[{"id": lzma.FILTER_X86}, code]) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in kinds:
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            member.size, member.mode = path.stat().st_size, 0o755 if os.access(path, os.X_OK) else 0o644
            tar.addfile(member, io.BytesIO(path.read_bytes()))


def seal(folder: Path) -> None:
    """Writes SHA256SUMS of all files of a folder, as sha256sum reads them."""
    rows = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "SHA256SUMS"):
        with path.open("rb") as file:
            rows.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.relative_to(folder).as_posix()}\n")
    (folder / "SHA256SUMS").write_text("".join(rows))


def weigh(folder: Path) -> int:
    """Size of all files of a folder [bytes]."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
