"""`cezanne objects fetch NAME`: a public set is brought in, whatever the connection does."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from itertools import batched
from pathlib import Path
from typing import Any

from tqdm import tqdm

from assets.errors import ObjectError
from assets.objects.catalogue import Source, find_source
from assets.objects.download import Patience, UnreachableError
from assets.objects.fetch import Fetched, fetch_object, read_pins, write_pins
from assets.objects.home import sets_folder
from assets.objects.manifest import Manifest
from sim.shelf.config import ObjectsConfig
from sim.shelf.contents import Item
from sim.shelf.fill import Filled, fill
from sim.shelf.finish import finish
from sim.shelf.place import Place, filling, note_refused, whole

LOCK, LICENCE = "lock.json", "LICENCE.txt"


def fetch(cfg: ObjectsConfig, patience: Patience | None = None) -> dict[str, Any]:
    """Brings in what is missing of a set, and finishes it. Raises ObjectError where nobody answers, or nothing came."""
    source = find_source(cfg.what)
    print(source.notice, end="", file=sys.stderr)
    with filling(sets_folder() / source.name) as place:
        lock = Path(cfg.lock).expanduser() if cfg.lock else place.folder / LOCK
        manifest = whole(place.folder, Manifest(source.name, source.licence, source.attribution, cfg.mirror or source.base))
        wanted = cfg.only or [*source.objects]
        names = [name for name in wanted if name not in manifest.objects]
        filled, gone = Filled(manifest), ""
        pins = read_pins(lock)
        with tqdm(
            total=len(cfg.only or source.objects), initial=len(cfg.only or source.objects) - len(names), desc="fetch", unit="object"
        ) as bar:
            for some in batched(names, os.cpu_count() or 1):
                came, refused, gone = _bring(source, some, place, cfg.mirror, pins, patience, bar)
                filled = replace(filled, manifest=note_refused(place.folder, filled.manifest, refused))
                filled = fill(place, filled, [Item(one.name, one.name, one.path) for one in came], bar)
                pins |= dict(one.pin for one in came if one.name in filled.manifest.objects)
                if came:
                    write_pins(lock, source, pins)
                    _write_words(place.folder, source)
                for one in came:
                    for path in one.leftovers:
                        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
                if gone:
                    break
        if not gone:
            shutil.rmtree(place.downloads, ignore_errors=True)
        if gone and filled.manifest.objects:
            print(f"{len(filled.manifest.objects)} objects are in {place.folder}", file=sys.stderr)
        if gone:
            raise ObjectError(f"{gone}; mirror=ADDRESS or mirror=FOLDER names another place")
        if not filled.manifest.objects:
            name, why = next(iter(filled.manifest.refused.items()))
            raise ObjectError(f"nothing of {source.name} could be fetched; the first was refused: {name}: {why}")
        return finish(place, filled, cfg)


def _bring(
    source: Source, names: tuple[str, ...], place: Place, mirror: str, pins: Mapping[str, str], patience: Patience | None, bar: tqdm
) -> tuple[list[Fetched], dict[str, str], str]:
    """Some objects, what was refused and why, and why it makes no sense to go on (or nothing)."""
    came: list[Fetched] = []
    refused: dict[str, str] = {}
    for name in names:
        with tqdm(desc=name, unit="B", unit_scale=True, unit_divisor=1024, leave=False, disable=bar.disable) as bytes_bar:

            def progress(there: int, total: int | None, shown: tqdm = bytes_bar) -> None:
                shown.total = total
                shown.update(there - shown.n)

            try:
                one = fetch_object(source, name, place.downloads, mirror=mirror, pins=pins, patience=patience, progress=progress)
            except UnreachableError as error:
                return came, refused, str(error)
            except ObjectError as error:
                bar.write(f"{name}: refused: {error}", file=bar.fp)
                bar.update()
                refused[name] = str(error)
                continue
        if one.path.is_file():
            (one.path.parent / "masses.csv").write_text(f"name,mass_kg\n{name},{source.objects[name]}\n")
        came.append(one)
    return came, refused, ""


def _write_words(folder: Path, source: Source) -> None:
    """Whose the set is, and the lists that go with it."""
    (folder / LICENCE).write_text(source.notice)
    for name, names in source.lists.items():
        (folder / name).write_text("\n".join(names) + "\n")
