"""`cezanne objects check [NAME]`: whether sets are what they were: files, packs, and how their objects come to rest."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from assets.errors import ObjectError
from assets.graspable import Graspable
from assets.objects.home import HOUSEHOLD, find_set, known_sets
from assets.objects.manifest import Manifest, differences, digest, read_manifest
from assets.objects.meta import Rest, read_meta
from assets.objects.objectset import open_folder, open_objects
from sim.shelf.config import ObjectsConfig
from sim.shelf.measure import settle_all

HEIGHT = 0.002
"""By so much an object may lie higher or lower than it did [m]: other versions of the physics move it a little, toppling more."""


@dataclass(frozen=True)
class Case:
    """One object to be looked at."""

    label: str
    """set/object."""
    thing: Graspable | Path
    """An object, or the folder of a pack that must be opened."""
    rest: Rest | None
    """As it was recorded."""


@dataclass(frozen=True)
class Docket:
    """What a set says of itself, before anything is opened."""

    cases: tuple[Case, ...]
    refused: Mapping[str, str]
    broken: Mapping[str, str]
    changed: Mapping[str, str]


def check(cfg: ObjectsConfig) -> dict[str, Any]:
    """Looks into one set, or into all. `ok` is False where something is broken. Raises ObjectError where there is no such set."""
    dockets = [_docket(name, folder) for name, folder in _wanted(cfg.what).items()]
    refused = {k: v for d in dockets for k, v in d.refused.items()}
    broken = {k: v for d in dockets for k, v in d.broken.items()}
    changed = {k: v for d in dockets for k, v in d.changed.items()}
    cases = [case for d in dockets for case in d.cases]
    good = 0
    with tqdm(total=len(cases), desc="check", unit="object", disable=not cases) as bar:
        for k, found in settle_all([case.thing for case in cases], cfg.workers or None):
            case = cases[k]
            if isinstance(found, str):
                broken[case.label] = found
            else:
                good += case.label not in broken
                said = _moved(case.rest, found)
                if said:
                    changed[case.label] = said
            bar.update()
    for word, rows in (("broken", broken), ("changed", changed)):
        for label, why in sorted(rows.items()):
            print(f"{label}: {word}: {why}", file=sys.stderr)
    summary: dict[str, Any] = {"ok": not broken, "objects": good, "refused": dict(sorted(refused.items()))}
    return summary | {"broken": sorted(broken), "changed": dict(sorted(changed.items())), "reasons": dict(sorted(broken.items()))}


def _wanted(what: str) -> dict[str, Path | None]:
    """Folders by name; of the household objects there is none."""
    if not what:
        return {HOUSEHOLD: None} | known_sets()
    if what == HOUSEHOLD:
        return {HOUSEHOLD: None}
    folder = find_set(what) or Path(what).expanduser()
    if not folder.is_dir():
        raise ObjectError(f"there is no set {what!r}, nor such a folder; there are {', '.join([HOUSEHOLD, *known_sets()])}")
    return {what if find_set(what) else folder.resolve().name: folder}


def _docket(name: str, folder: Path | None) -> Docket:
    if folder is None:
        return Docket(tuple(Case(f"{name}/{thing.name}", thing, None) for thing in open_objects(HOUSEHOLD)), {}, {}, {})
    try:
        manifest = read_manifest(folder)
        if manifest is not None:
            return _listed(name, folder, manifest)
        found = open_folder(folder)
    except ObjectError as error:
        return Docket((), {}, {name: str(error)}, {})
    cases = (Case(f"{name}/{thing.name}", thing, read_meta(folder / thing.name).rest) for thing in found)
    return Docket(tuple(cases), {f"{name}/{label}": why for label, why in found.refused}, {}, {})


def _listed(name: str, folder: Path, manifest: Manifest) -> Docket:
    """Of a set that has a list of its files."""
    cases: list[Case] = []
    broken: dict[str, str] = {}
    for item, files in sorted(manifest.objects.items()):
        pack = folder / item
        try:
            said = differences(pack, files) if pack.is_dir() else "its folder is missing"
        except ObjectError as error:
            said = str(error)
        if said:
            broken[f"{name}/{item}"] = said
        else:
            cases.append(Case(f"{name}/{item}", pack, read_meta(pack).valid_for(digest(files)).rest))
    unlisted = sorted(path.parent.name for path in folder.glob("*/object.xml") if path.parent.name not in manifest.objects)
    changed = {f"{name}/{item}": "it is not in set.json: `cezanne objects add` puts objects there" for item in unlisted}
    cases += [Case(f"{name}/{item}", folder / item, None) for item in unlisted]
    return Docket(tuple(cases), {f"{name}/{label}": why for label, why in manifest.refused.items()}, broken, changed)


def _moved(was: Rest | None, now: Rest) -> str:
    if not now.settled:
        return "" if was is not None and not was.settled else "it does not come to rest"
    if was is None or not was.settled or abs(was.pos[2] - now.pos[2]) <= HEIGHT:
        return ""
    return f"it comes to rest with its middle {1000 * now.pos[2]:.1f} mm above the table, {1000 * was.pos[2]:.1f} mm before"
