"""Things become objects of a set: checked, made into packs where they are meshes, and put on the shelf one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tqdm import tqdm

from assets.errors import ObjectError
from assets.objects.manifest import Manifest
from assets.objects.mesh import each_pack, warnings_of
from sim.shelf.contents import Item
from sim.shelf.place import Place, note, note_refused


@dataclass(frozen=True)
class Filled:
    """A set after things were put into it."""

    manifest: Manifest
    new: int = 0
    """Objects that were not there before, or were others."""
    warnings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What its owner should look at, such as units, by object."""


def fill(place: Place, filled: Filled, items: Sequence[Item], bar: tqdm) -> Filled:
    """Puts things into a set; what cannot be used is noted with its reason, and the rest goes on."""
    for item, pack, warnings in _packs(items):
        manifest = filled.manifest
        for warning in warnings:
            bar.write(f"{item.label}: {warning}", file=bar.fp)
        try:
            if isinstance(pack, ObjectError):
                raise pack
            files = place.put(item.name, pack)
        except ObjectError as error:
            bar.write(f"{item.label}: refused: {error}", file=bar.fp)
            filled = replace(filled, manifest=note_refused(place.folder, manifest, {item.label: str(error)}))
        else:
            new = filled.new + (manifest.objects.get(item.name) != files)
            said = {**filled.warnings, item.name: warnings} if warnings else filled.warnings
            filled = Filled(note(place.folder, manifest, item.name, files), new, said)
        bar.update()
    return filled


def _packs(items: Sequence[Item]) -> Iterator[tuple[Item, Path | ObjectError, tuple[str, ...]]]:
    """Each thing with the folder of its pack, or why it has none, and what to look at; meshes as they are ready."""
    for item in items:
        if item.is_pack:
            yield item, item.path, ()
    meshes = {item.path: item for item in items if not item.is_pack}
    for path, pack in each_pack([*meshes]):
        if isinstance(pack, ObjectError):
            yield meshes[path], pack, ()
        else:
            yield meshes[path], pack.folder, warnings_of(pack)
