"""Meshes as people have them: cups and bowls, scans with holes, sheets without thickness, parts pushed into each other, textures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh
from PIL import Image
from trimesh.exchange.obj import export_obj
from trimesh.visual import TextureVisuals
from trimesh.visual.material import SimpleMaterial


def mug(radius: float = 0.042, height: float = 0.095, wall: float = 0.004) -> trimesh.Trimesh:
    """A cup with a handle, closed and of one piece, standing on z = 0 [m]."""
    outside = trimesh.creation.cylinder(radius, height, sections=48)
    inside = trimesh.creation.cylinder(radius - wall, height, sections=48)
    inside.apply_translation([0, 0, wall])
    handle = trimesh.creation.torus(0.026, 0.005, major_sections=32, minor_sections=12)
    handle.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
    handle.apply_translation([radius + 0.004, 0, 0])
    made = trimesh.boolean.difference([trimesh.boolean.union([outside, handle]), inside])
    made.apply_translation([0, 0, height / 2])
    return made


def bowl(radius: float = 0.07, depth: float = 0.05, wall: float = 0.003) -> trimesh.Trimesh:
    """Part of a sphere, hollow, open above."""
    return trimesh.creation.revolve(_arc(radius, depth) + [list(p) for p in reversed(_arc(radius - wall, depth, wall))], sections=48)


def pipe() -> trimesh.Trimesh:
    """Standing."""
    return trimesh.creation.annulus(0.022, 0.027, 0.12, sections=40)


def torus() -> trimesh.Trimesh:
    """Lying, with a hole of 5 cm."""
    return trimesh.creation.torus(0.035, 0.01, major_sections=48, minor_sections=20)


def sheet_cup() -> trimesh.Trimesh:
    """A cup that is one sheet without thickness, open above."""
    return trimesh.creation.revolve([[0, 0], [0.03, 0], [0.032, 0.01], [0.038, 0.09]], sections=48)


def scan(rng: np.random.Generator) -> trimesh.Trimesh:
    """A stone as a turntable sees it: no bottom, two small holes, a few crumbs beside it."""
    stone = trimesh.creation.icosphere(4, 0.04)
    stone.vertices *= [1.2, 1.0, 0.8]
    stone.vertices += rng.normal(0, 0.0003, stone.vertices.shape)
    middle = stone.triangles_center
    gone = middle[:, 2] < -0.024
    for at in ([0.03, 0.0, 0.02], [-0.03, 0.02, 0.01]):
        gone |= np.linalg.norm(middle - at, axis=1) < 0.008
    stone.update_faces(~gone)
    stone.remove_unreferenced_vertices()
    crumbs = [trimesh.creation.icosphere(0, 0.0004).apply_translation(rng.uniform(-0.05, 0.05, 3)) for _ in range(3)]
    return _joined(stone, *crumbs)


def pushed_together() -> trimesh.Trimesh:
    """A hammer of two closed parts, one pushed into the other."""
    head = trimesh.creation.box([0.08, 0.025, 0.025])
    handle = trimesh.creation.cylinder(0.009, 0.15, sections=24)
    handle.apply_translation([0, 0, -0.07])
    made = _joined(head, handle)
    return made.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))


def soup() -> trimesh.Trimesh:
    """A box with a fin glued to it whose edge three faces share, every triangle on its own and turned at random."""
    made = trimesh.creation.box([0.05, 0.04, 0.03])
    fin = trimesh.Trimesh([[-0.025, 0, 0.015], [0.025, 0, 0.015], [0.025, 0, 0.04], [-0.025, 0, 0.04]], [[0, 1, 2], [0, 2, 3]])
    made = _joined(made.subdivide().subdivide(), fin.subdivide().subdivide())
    made.unmerge_vertices()
    made.faces[::3] = made.faces[::3, ::-1]
    return made


def globe(folder: Path, name: str = "globe", subdivisions: int = 5) -> Path:
    """A textured sphere of 20,480 faces: red where x > 0, blue where x < 0, a green cap above; OBJ, MTL and PNG. Returns the OBJ."""
    ball = trimesh.creation.icosphere(subdivisions, 0.035)
    unit = ball.vertices / np.linalg.norm(ball.vertices, axis=1, keepdims=True)
    uv = np.stack([np.arctan2(unit[:, 1], unit[:, 0]) / (2 * np.pi) + 0.5, np.arcsin(np.clip(unit[:, 2], -1, 1)) / np.pi + 0.5], axis=1)
    faces, corner = ball.faces, uv[ball.faces]
    wraps = np.ptp(corner[..., 0], axis=1) > 0.5
    corner[wraps, :, 0] += np.where(corner[wraps, :, 0] < 0.5, 1.0, 0.0)  # the seam
    picture = np.zeros((256, 512, 3), np.uint8)
    angle = (np.arange(512) + 0.5) / 512 * 2 * np.pi - np.pi
    picture[:, np.cos(angle) > 0] = (210, 40, 30)
    picture[:, np.cos(angle) <= 0] = (30, 60, 200)
    picture[:40] = (40, 170, 60)
    ball = trimesh.Trimesh(ball.vertices[faces].reshape(-1, 3), np.arange(faces.size).reshape(-1, 3), process=False)
    ball.visual = TextureVisuals(uv=corner.reshape(-1, 2), material=SimpleMaterial(image=Image.fromarray(picture)))
    folder.mkdir(parents=True, exist_ok=True)
    text, files = export_obj(ball, return_texture=True, mtl_name=f"{name}.mtl")
    (folder / f"{name}.obj").write_text(text)
    for file, data in files.items():
        (folder / file).write_bytes(data)
    return folder / f"{name}.obj"


def _joined(*meshes: trimesh.Trimesh) -> trimesh.Trimesh:
    """One mesh of several, nothing merged."""
    starts = np.cumsum([0, *(len(m.vertices) for m in meshes[:-1])])
    faces = [m.faces + start for m, start in zip(meshes, starts, strict=True)]
    return trimesh.Trimesh(np.concatenate([m.vertices for m in meshes]), np.concatenate(faces), process=False)


def _arc(radius: float, depth: float, lift: float = 0.0) -> list[list[float]]:
    """From the axis outwards and up: a part of a circle of this radius, up to `depth` above its lowest point (0)."""
    centre = radius + lift
    last = np.arccos((centre - depth) / radius) if depth < centre else np.pi / 2
    return [[radius * float(np.sin(a)), centre - radius * float(np.cos(a))] for a in np.linspace(0, last, 12)]
