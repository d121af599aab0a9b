"""A closed surface of what may be open, turned inside out, pushed together or no surface at all. What is hollow and open stays so."""

from __future__ import annotations

from dataclasses import dataclass

import manifold3d
import numpy as np
import trimesh

from assets.objects.making.coat import coat
from assets.objects.making.shape import drop_crumbs, parts

HOLE, HOLE_SIZE = 0.2, 0.03
"""A hole smaller than this share of the object, and than this [m], is a flaw of the scan and not the mouth of a cup."""
FOOT, FLAT = 0.2, 0.15
"""The lowest part of an object, where a hole is what stood on the turntable, if it is about level: shares of the height."""
TANGLES = 0.03
"""Share of the surface that may be cut out and closed again where more than two faces share an edge."""
SHEET, SHEET_SHARE = 0.002, 0.03
"""Thickness of what was a sheet: the smaller of metres and a share of its size."""
MOST_PARTS = 500
_ROUNDS = 4


@dataclass(frozen=True)
class Solid:
    """What the object consists of."""

    mesh: trimesh.Trimesh
    """Its surface, closed where it could be; without the hollows that nothing can reach."""
    volume: float
    """Of its material, without those hollows [m3]."""
    notes: tuple[str, ...] = ()
    """What was done to it."""


def make_solid(mesh: trimesh.Trimesh) -> Solid:
    """Closes a surface: holes of scans are filled, parts that overlap become one, a sheet gets a thickness."""
    mesh, notes = mesh.copy(), []
    if not _closed(mesh):
        mesh, filled, torn = _mend(mesh)
        notes += [f"{filled} hole{'s' * (filled > 1)} filled"] * (filled > 0) + [f"{torn} tangled faces replaced"] * (torn > 0)
        if mesh.is_watertight:
            trimesh.repair.fix_normals(mesh, multibody=True)
    found = _unite(mesh) if mesh.is_watertight else None
    if found is not None:
        united, volume, count = found
        return Solid(united, volume, (*notes, *((f"{count} parts made one",) if count > 1 else ())))
    if mesh.is_watertight and mesh.volume > 0:
        return Solid(mesh, float(mesh.volume), tuple(notes))
    sheet, thickness = thicken(mesh) or coat(mesh)
    return Solid(sheet, float(sheet.volume), (*notes, f"it was open: its surface was made {1000 * thickness:.1f} mm thick"))


def thicken(mesh: trimesh.Trimesh) -> tuple[trimesh.Trimesh, float] | None:
    """A sheet of one side and the other, joined along its borders, and its thickness [m]; None where it is no sheet but a tangle."""
    edges, shared = np.unique(mesh.edges_sorted, axis=0, return_counts=True)
    once = trimesh.grouping.group_rows(mesh.edges_sorted, require_count=1)
    border = mesh.edges[once]
    if shared.max() > 2 or not mesh.is_winding_consistent or len(np.unique(border[:, 0])) < len(border) or not len(edges):
        return None
    thickness = min(SHEET, SHEET_SHARE * float(mesh.extents.max()))
    n, away = len(mesh.vertices), thickness / 2 * mesh.vertex_normals
    a, b = border.T
    sides = np.concatenate([np.stack([b, a, a + n], axis=1), np.stack([b, a + n, b + n], axis=1)])
    faces = np.concatenate([mesh.faces, mesh.faces[:, ::-1] + n, sides])
    made = trimesh.Trimesh(np.concatenate([mesh.vertices + away, mesh.vertices - away]), faces, process=False)
    return (made, thickness) if made.is_watertight and made.volume > 0 else None


def _closed(mesh: trimesh.Trimesh) -> bool:
    return bool(mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0)


def _mend(mesh: trimesh.Trimesh) -> tuple[trimesh.Trimesh, int, int]:
    """The surface with its flaws closed, after faces were cut out where it crosses itself; holes filled, faces cut out."""
    filled = torn = 0
    mouth = _has_mouth(mesh)
    for _ in range(_ROUNDS):
        trimesh.repair.fix_winding(mesh)
        flaws = [loop for loop in _loops(mesh) if not mouth or _is_flaw(mesh, loop)]
        if flaws:
            mesh, filled = _fill(mesh, flaws), filled + len(flaws)
        edges, shared = np.unique(mesh.edges_sorted, axis=0, return_counts=True)
        tangled = np.zeros(len(mesh.vertices), bool)
        tangled[edges[shared == 1]] = True
        tangled[np.concatenate([np.empty(0, int), *_loops(mesh)])] = False
        tangled[edges[shared > 2]] = True
        around = tangled[mesh.faces].any(axis=1)
        if not around.any() or mesh.area_faces[around].sum() > TANGLES * mesh.area:
            break
        torn += int(around.sum())
        mesh.update_faces(~around)
        drop_crumbs(mesh)
    return mesh, filled, torn


def _has_mouth(mesh: trimesh.Trimesh) -> bool:
    """Whether the surface is open on purpose: a hole that is no flaw, or so much of a border in a tangle that it may be one."""
    loops = _loops(mesh)
    if any(not _is_flaw(mesh, loop) for loop in loops):
        return True
    border = mesh.edges[trimesh.grouping.group_rows(mesh.edges_sorted, require_count=1)]
    loose = border[~np.isin(border, np.concatenate([np.empty(0, int), *loops])).any(axis=1)]
    length = np.linalg.norm(mesh.vertices[loose[:, 0]] - mesh.vertices[loose[:, 1]], axis=1).sum()
    return bool(length > 3 * min(HOLE * mesh.extents.max(), HOLE_SIZE))


def _loops(mesh: trimesh.Trimesh) -> list[np.ndarray]:
    """The borders of the surface: each the vertices around one hole, in the order in which faces that fill it would go round."""
    once = trimesh.grouping.group_rows(mesh.edges_sorted, require_count=1)
    after: dict[int, int] = {}
    twice = set()
    for a, b in mesh.edges[once]:
        twice.update({int(b)} & after.keys())
        after[int(b)] = int(a)
    loops = []
    while after:
        start, at = next(iter(after.items()))
        loop, seen = [start], {start}
        del after[start]
        while at not in seen and at in after:
            loop.append(at)
            seen.add(at)
            at = after.pop(at)
        if at == start and len(loop) >= 3 and not twice & seen:
            loops.append(np.array(loop))
    return loops


def _is_flaw(mesh: trimesh.Trimesh, loop: np.ndarray) -> bool:
    """Whether a hole is one of the scan: small, or the missing foot."""
    points = mesh.vertices[loop]
    size, low = mesh.extents, mesh.bounds[0]
    if np.ptp(points, axis=0).max() <= min(HOLE * size.max(), HOLE_SIZE):
        return True
    z = points[:, 2] - low[2]
    return bool(z.mean() <= FOOT * size[2] and np.ptp(z) <= FLAT * size[2])


def _fill(mesh: trimesh.Trimesh, loops: list[np.ndarray]) -> trimesh.Trimesh:
    """The surface with faces across its holes, seen flat from where they look flattest."""
    faces: list[np.ndarray] = [np.asarray(mesh.faces)]
    for loop in loops:
        points = mesh.vertices[loop] - mesh.vertices[loop].mean(axis=0)
        normal = np.cross(points, np.roll(points, -1, axis=0)).sum(axis=0)
        length = np.linalg.norm(normal)
        normal = normal / length if length > 0 else np.array([0.0, 0.0, 1.0])
        across = np.linalg.svd(normal[None])[2][1:]
        if np.dot(np.cross(across[0], across[1]), normal) < 0:
            across = across[::-1]
        corners = np.asarray(manifold3d.triangulate([points @ across.T / max(float(np.abs(points).max()), 1e-9)]))
        if len(corners):
            faces.append(loop[corners])
    return trimesh.Trimesh(mesh.vertices, np.concatenate(faces), process=False)


def _unite(mesh: trimesh.Trimesh) -> tuple[trimesh.Trimesh, float, int] | None:
    """The outside of all closed parts together, the volume of their material, and how many there were; None where that fails."""
    count, of_face = parts(mesh)
    if count == 1:
        return (mesh, float(mesh.volume), 1) if mesh.volume > 0 else None
    if count > MOST_PARTS:
        return None
    full, hollow = [], []
    for k in range(count):
        used, faces = np.unique(mesh.faces[of_face == k], return_inverse=True)
        part = trimesh.Trimesh(mesh.vertices[used], faces.reshape(-1, 3), process=False)
        inwards = part.volume < 0
        if inwards:
            part.invert()
        made = manifold3d.Manifold(manifold3d.Mesh(part.vertices.astype(np.float32), part.faces.astype(np.uint32)))
        if made.status() != manifold3d.Error.NoError:
            return None
        (hollow if inwards else full).append(made)
    if not full:
        return None
    whole = manifold3d.Manifold.batch_boolean(full, manifold3d.OpType.Add)
    material = manifold3d.Manifold.batch_boolean([whole, *hollow], manifold3d.OpType.Subtract) if hollow else whole
    volume, found = material.volume(), whole.to_mesh()
    if not volume > 0:
        return None
    return trimesh.Trimesh(found.vert_properties[:, :3].astype(float), found.tri_verts.astype(int), process=False), float(volume), count
