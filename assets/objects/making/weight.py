"""What objects weigh: a table beside their meshes, or a density."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assets.errors import ObjectError
from assets.objects.guard.place import read
from assets.objects.pack import MASSES

TABLES = ("masses.csv", "masses.json")
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254}
"""What a length of one is in the mesh [m]."""
DENSITY, BOUNDS = 400.0, (0.02, 0.5)
"""Of what nobody weighed [kg/m3]: plastic with air in it; and the bounds of what comes of it [kg]."""
_DENSITIES = (1.0, 25_000.0)
_BYTES, _LEVELS = 4 << 20, 3
_COLUMNS = ("mass_kg", "density", "unit")


@dataclass(frozen=True)
class Weight:
    """What a table says of one mesh; None and metres where it says nothing."""

    mass: float | None = None
    """[kg]"""
    density: float | None = None
    """Of its material [kg/m3]."""
    unit: str = "m"
    """One of UNITS."""

    def of(self, volume: float) -> float:
        """The mass of so much material [m3] in [kg]."""
        if self.mass is not None:
            return self.mass
        if self.density is not None:
            return min(max(self.density * volume, MASSES[0]), MASSES[1])
        return min(max(DENSITY * volume, BOUNDS[0]), BOUNDS[1])

    @property
    def source(self) -> str:
        return "table" if self.mass is not None else f"density {self.density or DENSITY:g} kg/m3"


def find_weight(path: Path) -> Weight:
    """What the table beside a mesh says of it: `masses.csv` or `masses.json` with the columns name, mass_kg, density and unit.

    A row is of the mesh by its name, with or without its suffix; of a mesh in a folder of its own also by the name of that folder; the
    row "*" is of all that have none. Raises ObjectError where the table or the row cannot be used.
    """
    path = path.absolute()
    rows = _table(path.parent)
    own = next((name for name in (path.name, path.stem) if name in rows), None)
    if own is not None:
        return _weight(own, rows[own])
    above = _of_a_folder_above(path)
    if above is not None:
        return _weight(*above)
    return _weight("*", rows["*"]) if "*" in rows else Weight()


def _of_a_folder_above(path: Path) -> tuple[str, Any] | None:
    """The row of a folder that holds the mesh, in a table beside that folder."""
    folder = path.parent
    for _ in range(_LEVELS):
        name, folder = folder.name, folder.parent
        try:
            rows = _table(folder)
        except ObjectError:  # somebody else's table
            continue
        if name in rows:
            return name, rows[name]
    return None


def _table(folder: Path) -> dict[str, dict[str, Any]]:
    """The rows of a folder's table by name; empty where it has none."""
    for name in TABLES:
        file = folder / name
        if not file.is_file():
            continue
        try:
            text = read(file, _BYTES).decode("utf-8-sig")
            return _rows_of_json(text) if file.suffix == ".json" else _rows_of_csv(text)
        except (ValueError, RecursionError, csv.Error) as error:
            raise ObjectError(f"{name} cannot be read: {' '.join(str(error).split())[:100]}") from error
    return {}


def _rows_of_csv(text: str) -> dict[str, dict[str, Any]]:
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    columns = [c.strip() for c in reader.fieldnames or ()]
    if "name" not in columns or not set(columns) & set(_COLUMNS):
        raise ValueError(f"its first line is {', '.join(columns)[:60]!r}; name and one of {', '.join(_COLUMNS)} are expected")
    reader.fieldnames = columns
    return {(row["name"] or "").strip(): {k: (row[k] or "").strip() for k in _COLUMNS if k in row} for row in reader}


def _rows_of_json(text: str) -> dict[str, dict[str, Any]]:
    """{name: kg}, {name: {"mass_kg": ..., "density": ..., "unit": ...}}, or a list of such with a "name"."""
    found = json.loads(text)
    if isinstance(found, list):
        found = {row.get("name"): row for row in found if isinstance(row, dict)}
    if not isinstance(found, dict):
        raise ValueError("it is neither a table by name nor a list of rows")
    return {str(name): row if isinstance(row, dict) else {"mass_kg": row} for name, row in found.items()}


def _weight(name: str, row: dict[str, Any]) -> Weight:
    mass = _number(name, "mass_kg", row.get("mass_kg"), MASSES)
    density = _number(name, "density", row.get("density"), _DENSITIES)
    unit = row.get("unit") or "m"
    if unit not in UNITS:
        raise ObjectError(f"the table of masses says the unit {str(unit)[:20]!r} of {name[:60]}; there are {', '.join(UNITS)}")
    return Weight(mass, density, str(unit))


def _number(name: str, column: str, value: Any, bounds: tuple[float, float]) -> float | None:
    if value in (None, ""):
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not bounds[0] <= number <= bounds[1]:
        raise ObjectError(
            f"the table of masses says {column} {str(value)[:20]!r} of {name[:60]}; {bounds[0]:g} to {bounds[1]:g} are expected"
        )
    return number
