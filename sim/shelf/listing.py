"""`cezanne objects list`: which sets are here, whose they are, and what was found out about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from assets.errors import ObjectError
from assets.objects.catalogue import find_source, sources
from assets.objects.home import HOUSEHOLD, known_sets
from assets.objects.household import MASSES
from assets.objects.manifest import digest, read_manifest
from assets.objects.meta import read_meta


@dataclass(frozen=True)
class Row:
    """One set."""

    objects: int
    licence: str
    where: str
    refused: int = 0
    graspable: dict[str, int] = field(default_factory=dict)
    """By robot: objects that it held at least once."""
    measured: dict[str, int] = field(default_factory=dict)
    """By robot: objects that it tried."""
    note: str = ""


def list_sets() -> dict[str, Any]:
    """Prints the table."""
    rows = dict(_rows())
    lines = [("set", "objects", "refused", "graspable", "licence", "where")]
    for name, row in rows.items():
        grasps = ", ".join(f"{robot} {row.graspable[robot]}/{n}" for robot, n in row.measured.items()) or "-"
        lines.append(
            (name, str(row.objects), str(row.refused), grasps, row.licence or "-", row.where + (f" ({row.note})" if row.note else ""))
        )
    missing = [name for name in sources() if name not in rows]
    for name in missing:
        lines.append((name, "-", "-", "-", find_source(name).licence, f"not here: cezanne objects fetch {name}"))
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
    return {"sets": {name: asdict(row) for name, row in rows.items()}, "to_fetch": missing}


def _rows() -> Iterator[tuple[str, Row]]:
    yield HOUSEHOLD, Row(len(MASSES), "MIT", "robosuite's wheel")
    for name, folder in known_sets().items():
        yield name, _row(name, folder)


def _row(name: str, folder: Path) -> Row:
    try:
        manifest = read_manifest(folder)
    except ObjectError as error:
        return Row(0, "", str(folder), note=str(error))
    packs = sorted(path.parent for path in folder.glob("*/object.xml"))
    licence = manifest.licence if manifest is not None else (find_source(name).licence if name in sources() else "")
    metas = []
    for pack in packs:
        meta = read_meta(pack)
        listed = manifest is not None and pack.name in manifest.objects
        metas.append(meta.valid_for(digest(manifest.objects[pack.name])) if manifest is not None and listed else meta)
    robots = sorted({robot for meta in metas for robot in meta.grasps})
    measured = {robot: sum(robot in meta.grasps for meta in metas) for robot in robots}
    graspable = {robot: sum(robot in meta.grasps and meta.grasps[robot].held > 0 for meta in metas) for robot in robots}
    return Row(len(packs), licence, str(folder), len(manifest.refused) if manifest else 0, graspable, measured)
