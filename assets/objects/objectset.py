"""Sets of real objects, opened by name or from a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from assets.errors import ObjectError
from assets.graspable import Graspable
from assets.objects import household
from assets.objects.guard.survey import survey
from assets.objects.mesh import pack_meshes
from assets.objects.pack import open_pack

MESHES = (".obj", ".stl", ".glb")
SUITE = "maniskill_pick_single_ycb.txt"


@dataclass(frozen=True)
class ObjectSet:
    """Objects in order of their names, and what was refused. A sequence of its objects."""

    objects: tuple[Graspable, ...]
    refused: tuple[tuple[str, str], ...] = ()
    """(name, reason) of what the source holds but may not or cannot be read."""

    def __len__(self) -> int:
        return len(self.objects)

    def __iter__(self) -> Iterator[Graspable]:
        return iter(self.objects)

    def __getitem__(self, i: int) -> Graspable:
        return self.objects[i]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(o.name for o in self.objects)

    def select(self, names: Iterable[str]) -> ObjectSet:
        """The named objects, in the order given. Raises ObjectError where one is not there."""
        by_name = {o.name: o for o in self.objects}
        chosen = []
        for name in names:
            if name not in by_name:
                raise ObjectError(f"no object {name!r} here; there are {', '.join(self.names)[:300]}")
            chosen.append(by_name[name])
        return ObjectSet(tuple(chosen), self.refused)


def open_objects(source: str | Path, *, cache: Path | None = None) -> ObjectSet:
    """Objects of "household", of a folder of packs (NAME/object.xml) or of a folder of meshes in metres (.obj, .stl, .glb).

    What cannot be read is left out and listed in `.refused`. Raises ObjectError where the source is missing or nothing of it can be read.
    `cache` holds meshes prepared for MuJoCo; by default a folder in the user's cache.
    """
    if str(source) == "household":
        return ObjectSet(tuple(household.Household(name) for name in household.MASSES))
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise ObjectError(
            f"{folder} is no folder; there are 'household', folders of packs (NAME/object.xml), folders of meshes ({', '.join(MESHES)})"
        )
    found = survey(folder, MESHES)
    objects: list[Graspable] = []
    refused = [*found.refused]
    for path in found.packs:
        try:
            objects.append(open_pack(path))
        except ObjectError as error:
            refused.append((path.name, str(error)))
    meshes = [*found.meshes]
    for path, pack in zip(meshes, pack_meshes(meshes, cache) if meshes else [], strict=True):
        if isinstance(pack, ObjectError):
            refused.append((path.name, str(pack)))
        else:
            objects.append(pack)
    twice = {o.name for i, o in enumerate(objects) if o.name in {other.name for other in objects[:i]}}
    if twice:
        raise ObjectError(f"{folder} holds two objects of one name: {', '.join(sorted(twice))}; rename one")
    if not objects:
        why = (
            f"; the first was refused: {refused[0][0]}: {refused[0][1]}"
            if refused
            else f"; packs are NAME/object.xml, meshes {', '.join(MESHES)}"
        )
        raise ObjectError(f"{folder} holds no object that can be read{why}")
    return ObjectSet(tuple(sorted(objects, key=lambda o: o.name)), tuple(refused))


def find_ycb() -> Path | None:
    """Where the YCB pack lies: CEZANNE_OBJECTS, or shared/objects/ycb beside the checkout; None where it is not there."""
    named = os.environ.get("CEZANNE_OBJECTS")
    beside = Path(__file__).resolve().parents[3] / "shared" / "objects" / "ycb"
    for folder in [Path(named).expanduser()] if named else [beside]:
        for candidate in (folder, folder / "ycb"):
            if next(candidate.glob("*/object.xml"), None) is not None:
                return candidate
    return None


def open_ycb(folder: Path) -> ObjectSet:
    """ManiSkill's PickSingleYCB, by the list that lies beside the packs; all packs where none does. Raises ObjectError."""
    found = open_objects(folder)
    try:
        wanted = (folder / SUITE).read_text().split()
    except FileNotFoundError:
        return found
    except (OSError, ValueError) as error:
        raise ObjectError(f"{folder / SUITE} cannot be read: {error}") from error
    refused = dict(found.refused)
    missing = [(name, "it is not in the folder") for name in wanted if name not in found.names and name not in refused]
    chosen = found.select(name for name in wanted if name in found.names)
    if not len(chosen):
        raise ObjectError(f"{folder} holds none of the objects that {SUITE} names")
    return ObjectSet(chosen.objects, (*((name, why) for name, why in found.refused if name in wanted), *missing))
