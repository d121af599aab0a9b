"""Things become objects of a set: checked, made into packs where they are meshes, and put on the shelf one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from assets.errors import ObjectError
from assets.objects.manifest import Manifest
from assets.objects.mesh import each_pack, warnings_of
from assets.objects.pack import Pack
from sim.shelf.contents import Item
from sim.shelf.place import Place, note, note_refused


@dataclass(frozen=True)
class Filled:
    """A set after things were put into it."""

    manifest: Manifest
    new: int = 0
    """Objects that were not there before, or were others."""


def fill(place: Place, filled: Filled, items: Sequence[Item], bar: tqdm) -> Filled:
    """Puts things into a set; what cannot be used is noted with its reason, and the rest goes on."""
    for item, pack in _packs(items):
        manifest = filled.manifest
        try:
            if isinstance(pack, ObjectError):
                raise pack
            files = place.put(item.name, pack)
            for warning in warnings_of(Pack(pack)):
                bar.write(f"{item.label}: {warning}", file=bar.fp)
        except ObjectError as error:
            bar.write(f"{item.label}: refused: {error}", file=bar.fp)
            filled = replace(filled, manifest=note_refused(place.folder, manifest, {item.label: str(error)}))
        else:
            new = filled.new + (manifest.objects.get(item.name) != files)
            filled = Filled(note(place.folder, manifest, item.name, files), new)
        bar.update()
    return filled


def _packs(items: Sequence[Item]) -> Iterator[tuple[Item, Path | ObjectError]]:
    """Each thing with the folder of its pack, or why it has none; meshes as they are finished."""
    for item in items:
        if item.is_pack:
            yield item, item.path
    meshes = {item.path: item for item in items if not item.is_pack}
    for path, pack in each_pack([*meshes]):
        yield meshes[path], pack if isinstance(pack, ObjectError) else pack.folder
