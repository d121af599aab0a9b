"""Hostile files: what is made, and what is said of it. `tests/test_objects_hostile.py` shows each to the door that it would knock at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CUBE = "".join(f"v {x} {y} {z}\n" for z in (-0.02, 0.02) for x, y in ((-0.02, -0.02), (0.02, -0.02), (0.02, 0.02), (-0.02, 0.02)))
CUBE += "f 1 3 2\nf 1 4 3\nf 5 6 7\nf 5 7 8\nf 1 2 6\nf 1 6 5\nf 2 3 7\nf 2 7 6\nf 3 4 8\nf 3 8 7\nf 4 1 5\nf 4 5 8\n"
BODY = (
    '<asset><mesh name="m" file="m.obj"/></asset><worldbody><body name="x"><freejoint/><geom type="mesh" mesh="m" group="2" mass="0"/>'
    '<geom type="mesh" mesh="m" group="3" mass="0.1"/></body></worldbody>'
)
PACK = f'<mujoco model="x">{BODY}</mujoco>'


@dataclass(frozen=True)
class Hostile:
    """One thing that somebody might send."""

    name: str
    """The file, pack or member that is refused; "" where it is the whole archive."""
    said: str
    """Of the reason: a regular expression."""
    make: Callable[[Path], object]
    """Makes it: in a folder for objects, at a path for archives."""

    def __str__(self) -> str:
        own = self.make.__name__ not in ("<lambda>", "make", "made")
        return self.make.__name__ if own else ascii(f"{self.name[:30]}: {self.said[:40]}")[1:-1]


def write_pack(folder: Path, xml: str | bytes = PACK) -> Path:
    """A folder of the form of a pack."""
    folder.mkdir(parents=True)
    (folder / "m.obj").write_text(CUBE)
    (folder / "object.xml").write_bytes(xml.encode() if isinstance(xml, str) else xml)
    return folder
