"""Sets of real objects, opened by name or from a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from assets.errors import ObjectError
from assets.graspable import Graspable
from assets.objects import household
from assets.objects.guard.survey import survey
from assets.objects.home import HOUSEHOLD, YCB, find_set, is_set, known_sets, named_folder
from assets.objects.mesh import pack_meshes
from assets.objects.pack import open_pack

MESHES = (".glb", ".gltf", ".obj", ".off", ".ply", ".stl")
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
    """The objects of a set or of a folder.

    What cannot be read is left out and listed in `.refused`.

    Args:
        source: "household"; "ycb", which is the 74 of ManiSkill (see `open_ycb`); the name of a set that `cezanne objects` made; or a
            folder of packs (NAME/object.xml) or of meshes in metres (MESHES). Of a set and a folder of one name the set is
            meant; "./NAME" is the folder.
        cache: holds meshes prepared for MuJoCo; by default a folder in the user's cache.

    Raises:
        ObjectError: the source is missing, or nothing of it can be read.
    """
    if isinstance(source, str):
        if source == HOUSEHOLD:
            return ObjectSet(tuple(household.Household(name) for name in household.MASSES))
        named = find_ycb() if source == YCB else find_set(source)
        if named is not None:
            return open_ycb(named) if source == YCB else open_folder(named, cache=cache)
    folder = Path(source).expanduser()
    if not folder.is_dir():
        if str(source) == YCB:
            raise ObjectError("YCB is not here: `cezanne objects fetch ycb`, or name its folder in CEZANNE_OBJECTS")
        sets = ", ".join(repr(name) for name in (HOUSEHOLD, *known_sets()))
        raise ObjectError(
            f"{folder} is no folder; there are {sets}, folders of packs (NAME/object.xml) and of meshes ({', '.join(MESHES)})"
        )
    return open_folder(folder, cache=cache)


def open_folder(folder: Path, *, cache: Path | None = None) -> ObjectSet:
    """The objects of a folder of packs or of meshes: see `open_objects`. Raises ObjectError."""
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
    """Where YCB lies: what CEZANNE_OBJECTS names where that is a set, whatever it is called; else the set of this name, fetched or beside
    the checkout (shared/objects/ycb); None where there is none."""
    named = named_folder()
    return named if named is not None and is_set(named) else find_set(YCB)


def open_ycb(folder: Path) -> ObjectSet:
    """ManiSkill's PickSingleYCB, by the list that lies beside the packs; all packs where none does. Raises ObjectError."""
    found = open_folder(folder)
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
