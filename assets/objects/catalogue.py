"""Sets that can be fetched. One file a set in `sets/`: adding a set is adding a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from assets.errors import ObjectError
from assets.objects.document import read_document

_DATA = Path(__file__).parent / "sets"


@dataclass(frozen=True)
class Source:
    """A public set: one archive an object, one mesh with its texture in each."""

    name: str
    title: str
    licence: str
    licence_url: str
    attribution: str
    home: str
    """The page of those who made it."""
    base: str
    """Address of the folder of its archives, ending in "/"."""
    archive: str
    """Name of an object's archive there; "{name}" stands for the object."""
    mesh: str
    """Where the mesh lies in the archive."""
    most_bytes: int
    """No archive of it is larger."""
    objects: Mapping[str, float]
    """Mass of every object [kg]."""
    lists: Mapping[str, tuple[str, ...]]
    """Files of names that lie beside the packs, such as the list of a benchmark."""

    def archive_of(self, name: str) -> str:
        return self.archive.replace("{name}", name)

    def mesh_of(self, name: str) -> str:
        return self.mesh.replace("{name}", name)

    @property
    def notice(self) -> str:
        """Whose it is and under which terms, in a few lines."""
        return f"{self.title}\n{self.attribution}\nLicence: {self.licence} ({self.licence_url}); {self.home}\n"


def find_source(name: str) -> Source:
    """The set of this name. Raises ObjectError where none can be fetched."""
    known = sources()
    if name not in known:
        raise ObjectError(f"no set {name[:60]!r} can be fetched; there is {', '.join(known)} (your own: cezanne objects add FOLDER)")
    found = read_document(_DATA / f"{name}.json")
    lists = {key: tuple(names) for key, names in found.pop("lists").items()}
    return Source(**found, lists=lists)


def sources() -> tuple[str, ...]:
    """The names of all sets that can be fetched."""
    return tuple(sorted(path.stem for path in _DATA.glob("*.json")))
