"""A surface is cut into convex pieces, finer where rays show that the pieces are not the thing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import coacd
import numpy as np
import trimesh

from assets.errors import ObjectError
from assets.objects.making.fit import Fit, fit
from assets.objects.making.shells import is_thin, shell_pieces
from assets.objects.making.simple import simplify

CONVEX, FULL = 0.97, 0.8
"""A solid that fills this share of its hull is touched as its hull; pieces fill at least this share of the solid."""
FACES = 1000
"""What is cut: the time goes with the square."""
VERTICES = 256
"""Of one piece, at most."""


@dataclass(frozen=True)
class Level:
    """How finely is cut."""

    threshold: float
    """Concavity that a piece may have, as CoACD measures it."""
    pieces: int
    """At most."""


LEVELS = (Level(0.05, 24), Level(0.02, 48))
SHELLS = (48, 96)
"""Pieces of a thing of thin walls, at most: tried first, since they take a hundredth of the time."""
GOOD = 0.88
"""Share of rays from each side that must end at the same place, or the next way of cutting is tried."""


@dataclass(frozen=True)
class Cut:
    """Convex pieces, and how well they stand for the surface."""

    hulls: tuple[trimesh.Trimesh, ...]
    fit: Fit


def cut(mesh: trimesh.Trimesh, *, remesh: bool = False) -> Cut:
    """Convex pieces that together fill a solid; what is hollow stays hollow.

    `remesh` makes another closed surface first: slower and thicker, for what cannot be cut as it is.

    Raises:
        ObjectError: it cannot be cut.
    """
    hull = mesh.convex_hull
    if mesh.is_watertight and mesh.volume > CONVEX * hull.volume:
        hull = simplify(hull, 200).convex_hull if len(hull.faces) > 200 else hull
        return Cut((hull,), fit(mesh, [hull]))
    best: Cut | None = None
    for hulls in _ways(mesh, remesh):
        if not hulls or not _covers(hulls, mesh):
            continue
        found = Cut(tuple(hulls), fit(mesh, hulls))
        if best is None or found.fit.worst > best.fit.worst + 0.01:
            best = found
        if best.fit.worst >= GOOD:
            break
    if best is None:
        raise ObjectError("its surface cannot be cut into convex pieces: close its holes first")
    return best


def _ways(mesh: trimesh.Trimesh, remesh: bool) -> Iterator[list[trimesh.Trimesh]]:
    """The ways of cutting it, the quickest first."""
    if is_thin(mesh):
        for hulls in shell_pieces(mesh, SHELLS):
            if sum(hull.volume for hull in hulls) > FULL * mesh.volume:
                yield hulls
    coarse = simplify(mesh, FACES)
    for level in LEVELS:
        yield _pieces(coarse, level, remesh=remesh)


def _pieces(coarse: trimesh.Trimesh, level: Level, *, remesh: bool) -> list[trimesh.Trimesh]:
    coacd.set_log_level("error")
    found = coacd.run_coacd(
        coacd.Mesh(coarse.vertices, coarse.faces),
        threshold=level.threshold,
        max_convex_hull=level.pieces,
        preprocess_mode="on" if remesh else "off",
        preprocess_resolution=30,
        resolution=400,
        mcts_nodes=8,
        mcts_iterations=20,
        mcts_max_depth=2,
        decimate=True,
        max_ch_vertex=VERTICES,
    )
    hulls = [trimesh.Trimesh(v, f).convex_hull for v, f in found]
    return [h for h in hulls if h.volume > 1e-10 and h.extents.min() > 1e-5]


def _covers(hulls: list[trimesh.Trimesh], mesh: trimesh.Trimesh) -> bool:
    """Whether the pieces span what the mesh spans, to 5 % of its size."""
    low, high = np.min([h.bounds[0] for h in hulls], axis=0), np.max([h.bounds[1] for h in hulls], axis=0)
    return bool(np.abs(np.array([low, high]) - mesh.bounds).max() < 0.05 * mesh.extents.max())
