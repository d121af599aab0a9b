"""`cezanne objects add FOLDER`: the user's packs and meshes become a set."""

from __future__ import annotations

import sys
from pathlib import Path

from tqdm import tqdm

from assets.errors import ObjectError
from assets.objects.home import check_set_name, sets_folder
from assets.objects.manifest import Manifest
from assets.objects.objectset import MESHES
from sim.shelf.config import ObjectsConfig
from sim.shelf.contents import look_into, safe_name
from sim.shelf.fill import Filled, fill
from sim.shelf.finish import finish
from sim.shelf.place import filling, note_refused, whole


def add(cfg: ObjectsConfig) -> dict:
    """Fills a set from a folder, an archive or one mesh. Raises ObjectError where nothing of it can be used."""
    source = Path(cfg.what).expanduser()
    if not source.exists():
        raise ObjectError(f"{cfg.what} is not there: cezanne objects add takes a folder, a .zip or .tar, or a mesh ({', '.join(MESHES)})")
    own = source.resolve().name if source.is_dir() else source.name.split(".")[0]
    name = check_set_name(cfg.name or safe_name(own))
    with filling(sets_folder() / name) as place:
        fresh = Manifest(name, cfg.licence, origin=source.resolve().name)
        found = look_into(source, place.staging)
        for label, why in found.refused.items():
            print(f"{label}: refused: {why}", file=sys.stderr)
        begun = Filled(note_refused(place.folder, whole(place.folder, fresh), found.refused))
        with tqdm(total=len(found.items), desc="add", unit="object") as bar:
            filled = fill(place, begun, found.items, bar)
        if not filled.manifest.objects:
            first = next(iter(filled.manifest.refused.items()), None)
            why = f"the first was refused: {first[0]}: {first[1]}" if first else f"packs are NAME/object.xml, meshes {', '.join(MESHES)}"
            raise ObjectError(f"{cfg.what} holds no object that can be used; {why}")
        return finish(place, filled, cfg)
