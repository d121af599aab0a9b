"""What was measured of an object: how it lies, and which robots can grasp it. Kept as `meta.json` beside the pack."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard

from assets.errors import ObjectError
from assets.objects.document import read_document, write_document

META = "meta.json"


@dataclass(frozen=True)
class Rest:
    """How an object lies on a table after it was put down as modelled."""

    pos: tuple[float, float, float]
    """Of its frame: how far it moved in x and y, and its height above the table [m]."""
    quat: tuple[float, float, float, float]
    """Of its frame, wxyz; (1, 0, 0, 0) as modelled."""
    settled: bool
    """False: it still moved when time was up, or fell from the table."""


@dataclass(frozen=True)
class Grasps:
    """What became of the grasps that a robot's expert proposed."""

    tried: int
    held: int


@dataclass(frozen=True)
class Meta:
    """Measurements of one pack."""

    of: str = ""
    """The digest of the pack that was measured; measurements of another are worth nothing."""
    rest: Rest | None = None
    grasps: Mapping[str, Grasps] = field(default_factory=dict)
    """By robot."""

    def valid_for(self, digest: str) -> Meta:
        """Itself, or nothing measured where the pack is another by now."""
        return self if self.of == digest else Meta(of=digest)

    def with_grasps(self, robot: str, grasps: Grasps) -> Meta:
        return replace(self, grasps={**self.grasps, robot: grasps})


def read_meta(folder: Path) -> Meta:
    """What is known of a pack; nothing where its `meta.json` is missing, broken or says something else."""
    try:
        found = read_document(folder / META)
    except ObjectError:
        return Meta()
    pos, quat, grasps = found.get("rest_pos"), found.get("rest_quat"), found.get("grasps")
    rest = None
    if _numbers(pos, 3) and _numbers(quat, 4) and abs(math.hypot(*quat) - 1) < 1e-3:
        (x, y, z), (w, i, j, k) = pos, quat
        rest = Rest((x, y, z), (w, i, j, k), found.get("settled") is not False)
    tries = {
        robot: Grasps(row["tried"], row["held"])
        for robot, row in (grasps.items() if isinstance(grasps, dict) else ())
        if isinstance(row, dict) and _count(row.get("tried")) and _count(row.get("held")) and row["held"] <= row["tried"]
    }
    of = found.get("measured_of")
    return Meta(of if isinstance(of, str) else "", rest, tries)


def write_meta(folder: Path, meta: Meta) -> None:
    """Puts measurements into `meta.json`; what else it says stays."""
    try:
        found = read_document(folder / META)
    except ObjectError:
        found = {}
    found["measured_of"] = meta.of
    if meta.rest is not None:
        found |= {"rest_pos": list(meta.rest.pos), "rest_quat": list(meta.rest.quat), "settled": meta.rest.settled}
    found["grasps"] = {robot: {"tried": g.tried, "held": g.held} for robot, g in sorted(meta.grasps.items())}
    write_document(folder / META, found)


def _numbers(value: Any, n: int) -> TypeGuard[list[float]]:
    return (
        isinstance(value, list)
        and len(value) == n
        and all(isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) for x in value)
    )


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
