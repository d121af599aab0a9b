"""Files and names that strangers chose: what may be opened, where it lies, and how it is said."""

from __future__ import annotations

import os
import stat
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

from assets.errors import ObjectError

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def say(name: str, most: int = 60) -> str:
    """A foreign name for a message of one line: quoted, with control characters and broken bytes escaped, cut to `most`."""
    safe = "".join(c if c.isprintable() and not _deceives(c) else ascii(c)[1:-1] for c in name[: most + 1])
    return repr(safe[:most] + ("..." if len(safe) > most else "")).replace("\\\\", "\\")


def size_of(path: Path, most: int) -> int:
    """Size of a regular file [bytes]; opens nothing, so that a pipe cannot hold it up. Raises ObjectError."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise ObjectError(f"{say(path.name)} cannot be read: {_why(error)}") from error
    if not stat.S_ISREG(status.st_mode):
        raise ObjectError(f"{say(path.name)} is no file but {_KINDS.get(stat.S_IFMT(status.st_mode), 'something else')}")
    if status.st_size > most:
        raise ObjectError(f"{say(path.name)} holds {megabytes(status.st_size)}; at most {megabytes(most)} are read")
    return status.st_size


def read(path: Path, most: int) -> bytes:
    """A regular file of at most `most` bytes, also where it grows meanwhile or becomes a pipe. Raises ObjectError."""
    size_of(path, most)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ObjectError(f"{say(path.name)} cannot be read: {_why(error)}") from error
    if len(data) > most:
        raise ObjectError(f"{say(path.name)} holds more than {megabytes(most)}")
    return data


def inside(folder: Path, name: str, *, up: Path | None = None) -> Path:
    """The file that `name`, written in a file of `folder`, means.

    Args:
        up: the folder that it must not leave; `folder` by default.

    Raises:
        ObjectError: it is absolute, an address, or leads outside, by its words or through a link.
    """
    foreign = (
        "\\" in name
        or "\0" in name
        or ":" in name
        or ".." in PurePosixPath(name).parts
        or PurePosixPath(name).is_absolute()
        or name[:1] == "~"
    )
    try:
        path = folder / name
        if not foreign and path.resolve().is_relative_to((up or folder).resolve()):
            return path
    except (OSError, ValueError, RuntimeError):  # a circle of links, a name too long
        pass
    raise ObjectError(f"it names the file {say(name)} outside its folder")


def check_name(name: str, depth: int, length: int) -> PurePosixPath:
    """The place of an archive's member below its folder. Raises ObjectError for a name that could lead elsewhere or deceive."""
    if not name or len(name.encode(errors="surrogateescape")) > length:
        raise ObjectError(f"its name holds {len(name)} letters; 1 to {length} are read")
    bad = next((c for c in name if _deceives(c)), None)
    if bad is not None:
        raise ObjectError(f"its name holds the character {bad!a}")
    if "\\" in name or PureWindowsPath(name).drive or ":" in name:
        raise ObjectError("its name is a path of Windows")
    if name.startswith("/"):
        raise ObjectError("its name is absolute")
    path = PurePosixPath(name)
    if ".." in name.split("/"):
        raise ObjectError("its name leads outside with '..'")
    if not path.parts:  # the folder itself
        return path
    if len(path.parts) > depth:
        raise ObjectError(f"it lies {len(path.parts)} folders deep; at most {depth} are read")
    if max(len(part.encode()) for part in path.parts) > 255:
        raise ObjectError("a part of its name is longer than 255 bytes")
    return path


def folded(path: PurePosixPath) -> str:
    """The same for all names that some file system takes for one."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", str(path)).casefold())


def megabytes(size: float) -> str:
    """A size for people."""
    return f"{size / (1 << 20):.0f} MB" if size >= 1 << 20 else f"{size:.0f} bytes"


def _deceives(c: str) -> bool:
    """Control characters, marks that turn the direction of writing, broken bytes, line ends."""
    return unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
