"""Objects measured in simulation, many at a time: how each lies, and which grasps of which robot hold it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from assets.graspable import Graspable
from assets.objects.meta import Grasps, Meta, Rest, read_meta
from assets.objects.pack import open_pack
from sim.errors import PlacementError
from sim.expert import Expert
from sim.scene import SceneConfig
from sim.shelf.rest import settle
from sim.simrobot import SimRobot
from sim.workers import share

AREA = 0.05
"""Poses lie within this distance of the middle of the workspace, in x and y [m]."""
_FEW = 16
"""So many objects come to rest sooner than a process starts."""


@dataclass(frozen=True)
class Job:
    """One pack, and what is to be found out about it."""

    folder: Path
    digest: str
    """Of the pack's files: what was measured of others counts for nothing."""
    robots: tuple[str, ...] = ()
    grasps: int = 8
    poses: int = 2

    @property
    def known(self) -> Meta:
        """What was measured of this very pack before."""
        return read_meta(self.folder).valid_for(self.digest)

    @property
    def done(self) -> bool:
        return self.known.rest is not None and all(robot in self.known.grasps for robot in self.robots)


def measure_all(jobs: Sequence[Job], workers: int | None) -> Iterator[tuple[Job, Meta | str]]:
    """What is known of each pack when all was tried, or why that cannot be; in the order in which they are done."""
    for done in share(_start, jobs, 0 if len(jobs) <= _FEW and not any(job.robots for job in jobs) else workers):
        yield jobs[done.index], done.error or done.value


def settle_all(things: Sequence[Graspable | Path], workers: int | None) -> Iterator[tuple[int, Rest | str]]:
    """How each object (or pack in a folder) lies now, or what is wrong with it, by its number; in the order in which they are done."""
    for done in share(_start_settling, things, 0 if len(things) <= _FEW else workers):
        yield done.index, done.error or done.value


def measure(job: Job) -> Meta:
    """Raises ObjectError, SceneError where the pack does not open or compile."""
    thing, meta = open_pack(job.folder), job.known
    if meta.rest is None:
        meta = replace(meta, rest=settle(thing))
    for robot in job.robots:
        if robot not in meta.grasps:
            meta = meta.with_grasps(robot, try_grasps(thing, robot, grasps=job.grasps, poses=job.poses))
    return meta


def try_grasps(thing: Graspable, robot: str, *, grasps: int = 8, poses: int = 2) -> Grasps:
    """Tries what a robot's expert proposes first, at poses that are always the same; those out of its reach are passed over.

    Args:
        thing: stands or lies as it comes to rest, turned about the vertical.
        robot: a name of `sim.robots`.
        grasps: tried at each pose, at most.
        poses: one that it does not come to rest at is left out.
    """
    tried = held = 0
    with SimRobot(SceneConfig(thing, robot=robot)) as arm:
        expert = Expert(arm)
        for pose in range(poses):
            rng = np.random.default_rng([pose])
            try:
                arm.place(rng.uniform(-AREA, AREA, 2), rng)
            except PlacementError:
                continue
            for grasp in expert.grasps()[:grasps]:
                path = expert.path(grasp, arm.qpos)
                if path is not None:
                    tried += 1
                    held += int(expert.holds(path))
    return Grasps(tried, held)


def _start() -> Callable[[Job], Meta]:
    return measure


def _start_settling() -> Callable[[Graspable | Path], Rest]:
    return _open_and_settle


def _open_and_settle(thing: Graspable | Path) -> Rest:
    return settle(open_pack(thing) if isinstance(thing, Path) else thing)
