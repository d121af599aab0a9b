"""What is done for a set when its objects are there: they are measured and drawn."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

from assets.errors import AssetError
from assets.objects.manifest import Manifest, digest
from assets.objects.meta import read_meta, write_meta
from assets.objects.objectset import open_folder
from hardware.api import RobotError
from sim.catalogue import contact_sheet
from sim.gl import GLError
from sim.shelf.config import ObjectsConfig
from sim.shelf.fill import Filled
from sim.shelf.measure import Job, measure_all
from sim.shelf.place import Place

SHEET = "objects.png"


def finish(place: Place, filled: Filled, cfg: ObjectsConfig) -> dict[str, Any]:
    """Measures what was not measured yet, draws the contact sheet, and sums up. What an interrupted call measured is kept."""
    folder, manifest = place.folder, filled.manifest
    jobs = [Job(folder / name, digest(files), tuple(cfg.robots), cfg.grasps, cfg.poses) for name, files in sorted(manifest.objects.items())]
    todo = [job for job in jobs if not job.done]
    failed: dict[str, str] = {}
    with tqdm(total=len(todo), desc="measure", unit="object", disable=not todo) as bar:
        for job, meta in measure_all(todo, cfg.workers or None):
            if isinstance(meta, str):
                failed[job.folder.name] = meta
                bar.write(f"{job.folder.name}: not measured: {meta}", file=bar.fp)
            else:
                write_meta(job.folder, meta)
            bar.update()
    summary: dict[str, Any] = {"set": manifest.name, "folder": str(folder), "objects": len(manifest.objects), "new": filled.new}
    summary |= {"refused": dict(manifest.refused), "graspable": {robot: graspable(place, manifest, robot) for robot in cfg.robots}}
    summary["unsettled"] = [job.folder.name for job in jobs if (rest := job.known.rest) is not None and not rest.settled]
    if filled.warnings:
        summary["warnings"] = {name: list(said) for name, said in filled.warnings.items()}
    if failed:
        summary["not_measured"] = failed
    if cfg.sheet and (filled.new or not (folder / SHEET).is_file()):
        try:
            contact_sheet(open_folder(folder).objects, names=True).save(folder / SHEET)
        except (AssetError, RobotError, GLError) as error:
            print(f"no contact sheet: {error}", file=sys.stderr)
    if (folder / SHEET).is_file():
        summary["sheet"] = str(folder / SHEET)
    return summary


def graspable(place: Place, manifest: Manifest, robot: str) -> int:
    """Objects of which the robot held at least one grasp that it tried."""
    found = (read_meta(place.folder / name).valid_for(digest(files)) for name, files in manifest.objects.items())
    return sum(1 for meta in found if robot in meta.grasps and meta.grasps[robot].held > 0)
