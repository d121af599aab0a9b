"""The union of a toy's parts as one watertight solid: mesh and mass properties."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from assets.errors import ToyError
from assets.toys.part import Part
from assets.toys.toy import Toy

if TYPE_CHECKING:
    import manifold3d
    import trimesh

SEGMENTS = 64
"""Corners of a circle. A cylinder of 64 sides has 99.8 % of the volume of the round one."""


@dataclass(frozen=True)
class Inertial:
    """How mass is spread over a toy, in its frame."""

    mass: float
    """[kg]"""
    centre: np.ndarray
    """Centre of mass, (3,) [m]."""
    tensor: np.ndarray
    """Inertia about the centre of mass, axes of the toy, (3, 3) [kg m2]."""


def solid(toy: Toy) -> manifold3d.Manifold:
    """The union of the parts [m]."""
    import manifold3d

    return manifold3d.Manifold.batch_boolean([_placed(part) for part in toy.parts], manifold3d.OpType.Add)


def toy_mesh(toy: Toy) -> trimesh.Trimesh:
    """The watertight union of the parts [m]."""
    import trimesh

    mesh = solid(toy).to_mesh64()
    return trimesh.Trimesh(np.asarray(mesh.vert_properties)[:, :3], np.asarray(mesh.tri_verts), process=False)


def inertial(toy: Toy) -> Inertial:
    """Mass properties of the union, not of the sum of the parts."""
    mesh = toy_mesh(toy)
    volume = float(mesh.volume)
    if not volume > 0:
        raise ToyError(f"{toy.name}: its parts enclose no volume")
    moments = mesh.moment_inertia * toy.density
    return Inertial(volume * toy.density, np.asarray(mesh.center_mass), np.asarray(moments))


def ring_mesh(part: Part, segments: int = SEGMENTS) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (n, 3) [m] in the part's frame and faces (m, 3) of a ring."""
    radius, half, wall = part.size
    angle = 2 * np.pi * np.arange(segments) / segments
    circle = np.stack([np.cos(angle), np.sin(angle)], -1)
    loop = [(radius, -half), (radius, half), (radius - wall, half), (radius - wall, -half)]  # the profile, turned about z
    vertices = np.concatenate([np.column_stack([circle * r, np.full(segments, z)]) for r, z in loop])
    k = np.arange(segments)
    faces = []
    for a in range(4):
        b = (a + 1) % 4
        here, there = a * segments, b * segments
        after = (k + 1) % segments
        faces += [np.stack([here + k, here + after, there + after], -1), np.stack([here + k, there + after, there + k], -1)]
    return vertices, np.concatenate(faces)


def _placed(part: Part) -> manifold3d.Manifold:
    from manifold3d import Manifold

    if part.shape == "sphere":
        body = Manifold.sphere(part.size[0], SEGMENTS)
    elif part.shape == "cuboid":
        body = Manifold.cube([2 * s for s in part.size], center=True)
    else:
        radius, half = part.size[:2]
        body = Manifold.cylinder(2 * half, radius, circular_segments=SEGMENTS, center=True)
        if part.shape == "ring":
            body -= Manifold.cylinder(4 * half, radius - part.size[2], circular_segments=SEGMENTS, center=True)
    toy_from_part: Any = np.column_stack([part.rotation, part.pos])  # (3, 4)
    return body.transform(toy_from_part)
