"""Where sets of objects are kept, and how one is found by its name."""

from __future__ import annotations

import os
import re
from pathlib import Path

from assets.errors import ObjectError

HOUSEHOLD, YCB = "household", "ycb"
RESERVED = frozenset({HOUSEHOLD, YCB, "ycb65", "toys", "robosuite", "robosuite_twins", "list", "fetch", "add", "check"})
"""Names that mean something else already; a set that is fetched may have its own."""
MANIFEST = "set.json"


def cache_folder() -> Path:
    """Where what is slow to make is kept between runs: `CEZANNE_CACHE`, else the user's cache."""
    base = os.environ.get("CEZANNE_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "cezanne")
    return Path(base)


def named_folder() -> Path | None:
    """What `CEZANNE_OBJECTS` says: a folder of sets, or one set."""
    named = os.environ.get("CEZANNE_OBJECTS")
    return Path(named).expanduser().absolute() if named else None


def sets_folder() -> Path:
    """Where new sets are put: `CEZANNE_OBJECTS` where that is a folder of sets that can be written to, else `sets` in the cache."""
    named = named_folder()
    if named is not None and not is_set(named):
        there = next(folder for folder in (named, *named.parents) if folder.exists())
        if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
            return named
    return cache_folder().absolute() / "sets"


def known_sets() -> dict[str, Path]:
    """The folder of every set by name. Of two sets of one name, the user's own comes before the one beside the checkout."""
    found: dict[str, Path] = {}
    for home in _homes():
        try:
            inside = sorted(home.iterdir()) if home.is_dir() else []
        except OSError:
            continue
        for folder in inside:
            if is_set(folder) and not _flaw(folder.name):
                found.setdefault(folder.name, folder)
    named = named_folder()
    if named is not None and is_set(named):
        found = {named.name: named} | found
    return found


def find_set(name: str) -> Path | None:
    """The folder of the set of this name, or None."""
    return None if _flaw(name) else known_sets().get(name)


def is_set(folder: Path) -> bool:
    """Whether it is a folder of packs, or one that `cezanne objects` made."""
    try:
        return folder.is_dir() and ((folder / MANIFEST).is_file() or next(folder.glob("*/object.xml"), None) is not None)
    except OSError:
        return False


def check_set_name(name: str, *, reserved: bool = True) -> str:
    """The name, if a set of the user's may have it. Raises ObjectError."""
    flaw = _flaw(name)
    if flaw:
        raise ObjectError(f"a set cannot be called {name[:90]!r}: {flaw}")
    if reserved and name in RESERVED:
        raise ObjectError(f"a set cannot be called {name!r}, which means something else already; give it another with name=...")
    return name


def _homes() -> list[Path]:
    homes = [sets_folder()]
    named = named_folder()
    if named is None:
        homes.append(Path(__file__).resolve().parents[3] / "shared" / "objects")
    elif not is_set(named):
        homes.insert(0, named)
    return list(dict.fromkeys(homes))


def _flaw(name: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}", name):
        return ""
    return "letters, digits, '_', '.' and '-' are taken, 80 at most, a letter or digit first"
