"""What an archive says of one of its members."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Member:
    """What an archive says of one of its members, before anything of it is read."""

    name: str
    kind: str
    """"file", "folder", or a word for what else it is."""
    size: int
    """[bytes]"""
    packed: int | None = None
    """What it takes in the archive [bytes]; None where the archive is packed as a whole."""
    flaw: str = ""
    """Why its archive does not give it; empty where it does."""
