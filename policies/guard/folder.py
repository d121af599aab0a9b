"""What lies in a checkpoint folder: regular files of its own, and none that may hold code."""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path

from policies.errors import PolicyError

CODE = frozenset((".bin", ".ckpt", ".dill", ".joblib", ".pickle", ".pkl", ".pt", ".pth", ".py", ".pyc", ".so"))
"""Endings of files that may hold code: pickles, under the names that torch and others give them, and what Python imports."""
MOST = 1000
"""Files in a folder."""


def check_folder(path: Path) -> None:
    """Raises PolicyError where a file may hold code, or where there are too many. Reads none of them."""
    try:
        with os.scandir(path) as entries:
            for number, entry in enumerate(entries):
                if number >= MOST:
                    raise PolicyError(f"holds more than {MOST} files: this is no checkpoint")
                if Path(entry.name).suffix.lower() in CODE:
                    raise PolicyError(
                        f"holds {shown(entry.name)}, which may run code; nothing of that kind is opened: save weights as safetensors, and "
                        "delete it"
                    )
    except OSError as error:
        raise PolicyError(f"cannot be read ({error.strerror})") from None


def open_file(file: Path) -> BufferedReader:
    """A regular file of the folder that it is said to lie in, opened. Never waits, as a pipe would make it. Raises PolicyError."""
    if file.is_symlink() and not _inside(file):
        raise PolicyError(f"{file.name} is a link that leads out of the folder; put the file itself there")
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise PolicyError(f"{file.name} is missing") from None
    except OSError as error:
        raise PolicyError(f"{file.name} cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PolicyError(f"{file.name} is no regular file")
    return os.fdopen(descriptor, "rb")


def shown(text: object, most: int = 120) -> str:
    """A stranger's words on one line of a terminal."""
    line = "".join(letter if letter.isprintable() else "?" for letter in str(text))
    return line if len(line) <= most else line[: most - 3] + "..."


def _inside(link: Path) -> bool:
    """Whether a link ends in its own folder, or in the store of a hub's cache: snapshots/REVISION/FILE are links to blobs/HASH."""
    target, folder = link.resolve(), link.parent.resolve()
    store = folder.parent.parent / "blobs"
    return target.parent == folder or (folder.parent.name == "snapshots" and target.parent == store)
