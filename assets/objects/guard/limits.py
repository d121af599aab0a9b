"""How much of a foreign file is read. One place: what refuses and what reads agree."""

from __future__ import annotations

from dataclasses import dataclass

MESH_BYTES, MARKUP_BYTES, PICTURE_BYTES = 128 << 20, 1 << 20, 64 << 20
MOST_FACES, MOST_VERTICES = 1_000_000, 2_000_000
"""Triangles, and vertices before equal ones are merged."""
MOST_PARTS = 20_000
"""Materials, groups and nodes of one mesh file."""
FARTHEST = 1e6
"""Largest coordinate, whatever the unit: 1 km in millimetres."""
SIDE, PIXELS = 8192, 1 << 27
"""Longest side of a picture, and all pictures of one object [pixels]."""
LINE = 1 << 16
"""Longest line of a text format [bytes]."""
DEPTH, ELEMENTS, ATTRIBUTES, VALUE = 64, 50_000, 64, 1 << 18
"""Of XML: how deep, how many elements, how many attributes each, how long one is [bytes]."""


@dataclass(frozen=True)
class Limits:
    """What an archive may hold."""

    archive: int = 4 << 30
    """Size of the archive itself [bytes]."""
    members: int = 20_000
    depth: int = 12
    """Folders within folders."""
    name: int = 1024
    """Length of a member's whole name [bytes]."""
    file: int = 256 << 20
    """Size of one file [bytes]."""
    total: int = 8 << 30
    """Size of all files [bytes]."""
    ratio: float = 100.0
    """How many times its packed size a file may have, beyond the first megabyte."""


LIMITS = Limits()
