"""What `cezanne objects` is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

from assets.errors import ObjectError
from assets.objects.catalogue import find_source
from assets.objects.fetch import check_mirror
from assets.objects.home import check_set_name
from sim.robots import find_robot

ACTIONS = ("list", "fetch", "add", "check")


@dataclass
class ObjectsConfig:
    """What to do with which objects. Not frozen: Hydra refuses overrides of what is."""

    action: str = "list"
    """list: the sets that are here; fetch: a public set; add: your own folder; check: whether a set is as it was made."""
    what: str = ""
    """fetch: a set's name; add: a folder, or a .zip or .tar, of meshes or packs; check: a set's name or a folder, empty: all sets."""
    name: str = ""
    """add: what the set is called; empty: as the folder."""
    licence: str = ""
    """add: under which terms the objects may be used, kept with them."""
    mirror: str = ""
    """fetch: an address or a folder that holds the set's archives or (a folder) ready packs; empty: where its makers keep it."""
    lock: str = ""
    """fetch: a file with checksums to hold the set to, written where there is none; empty: lock.json in the set's folder."""
    only: list[str] = field(default_factory=list)
    """fetch: these objects alone; empty: all."""
    robots: list[str] = field(default_factory=lambda: ["panda"])
    """add, fetch: whose grasps are tried, by the names that robot= takes; empty: none."""
    grasps: int = 8
    """Proposed grasps tried at each pose."""
    poses: int = 2
    """Poses of each object."""
    sheet: bool = True
    """add, fetch: draw a contact sheet, objects.png."""
    workers: int = 0
    """Processes; 0: one for each core."""

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ObjectError(f"cezanne objects {self.action[:40]!r}: known are {', '.join(ACTIONS)}")
        if self.action == "list" and self.what:
            raise ObjectError(f"cezanne objects list takes no name, got {self.what!r}; cezanne objects check {self.what} looks into a set")
        if self.action == "fetch":
            known = find_source(self.what or "?").objects
            unknown = [name for name in self.only if name not in known]
            if unknown:
                raise ObjectError(f"{self.what} has no object {unknown[0]!r}; it has {', '.join(known)[:300]}")
            check_mirror(self.mirror)
        if self.action == "add" and not self.what:
            raise ObjectError("cezanne objects add FOLDER: which folder?")
        if self.name:
            check_set_name(self.name)
        foreign = {"name": "add", "licence": "add", "mirror": "fetch", "lock": "fetch", "only": "fetch"}
        for key, action in foreign.items():
            if getattr(self, key) and action != self.action:
                raise ObjectError(f"{key}= belongs to cezanne objects {action}")
        for robot in self.robots:
            find_robot(robot)
        if self.grasps < 1 or self.poses < 1 or self.workers < 0:
            raise ObjectError(f"grasps={self.grasps}, poses={self.poses}, workers={self.workers}; 1, 1 and 0 at least")
