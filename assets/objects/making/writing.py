"""A pack is written: meshes, texture, object.xml, and what its maker has to say about it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
import trimesh
from PIL import Image

from assets.graspable import CONTACT, VISUAL
from assets.objects.document import write_document
from assets.objects.household import FRICTION
from assets.objects.making.atlas import bake
from assets.objects.making.cut import Cut
from assets.objects.making.paint import paint_of, texture_of
from assets.objects.making.shape import Shape
from assets.objects.making.simple import simplify
from assets.objects.making.solid import Solid
from assets.objects.making.weight import Weight
from assets.objects.meta import META

FACES = 3000
"""What is drawn."""


@dataclass(frozen=True)
class Look:
    """What is seen of an object."""

    obj: bytes
    """Its surface as OBJ, with places in the picture where it has one."""
    rgb: tuple[float, float, float] | None = None
    png: bytes | None = None


def look_of(shape: Shape, solid: Solid) -> Look:
    """The surface with few faces and its colours: one for all, the texture that it came with, or a new one painted after it."""
    paint = paint_of(shape.pieces)
    if paint.plain is not None:
        return Look(_obj(simplify(solid.mesh, FACES)), rgb=paint.plain)
    found = texture_of(shape.pieces)
    if found is not None and not solid.notes and len(shape.pieces[0].faces) <= FACES:
        piece, (uv, picture) = shape.pieces[0], found
        return Look(_textured_obj(piece.vertices, piece.faces, uv, piece.faces), png=_png(picture))
    shown = simplify(solid.mesh, FACES)
    atlas = bake(shown, paint)
    places = np.arange(shown.faces.size).reshape(-1, 3)
    return Look(_textured_obj(shown.vertices, shown.faces, atlas.uv.reshape(-1, 2), places), png=_png(Image.fromarray(atlas.picture)))


def write_pack(out: Path, shape: Shape, solid: Solid, cut: Cut, weight: Weight) -> None:
    """Writes all of it into a new folder, the middle of the object's box at the origin."""
    middle = solid.mesh.bounds.mean(axis=0)
    for mesh in (*shape.pieces, solid.mesh, *cut.hulls):
        mesh.apply_translation(-middle)
    look = look_of(shape, solid)
    volumes = np.array([h.volume for h in cut.hulls])
    mass = weight.of(solid.volume if solid.mesh.is_watertight else float(volumes.sum()))
    files = {"visual.obj": look.obj} | {f"collision_{i:02d}.obj": _obj(h) for i, h in enumerate(cut.hulls)}
    if look.png is not None:
        files["texture.png"] = look.png
    spec = _spec(out.name, files, look, mass * volumes / volumes.sum())
    spec.compile()
    out.mkdir(parents=True)
    for name, data in files.items():
        (out / name).write_bytes(data)
    (out / "object.xml").write_text(spec.to_xml())
    said = {"mass_kg": round(mass, 6), "mass_from": weight.source, "unit": weight.unit, "volume_m3": solid.volume}
    said |= {"pieces": len(cut.hulls), "agreement": [round(side, 4) for side in cut.fit.sides], "mended": [*shape.notes, *solid.notes]}
    write_document(out / META, {"made": said, "warnings": [*shape.warnings, *_doubts(cut)]})


def _doubts(cut: Cut) -> list[str]:
    if cut.fit.worst >= 0.8:
        return []
    return [f"its convex pieces are not quite its shape: {100 * cut.fit.worst:.0f} % of the rays from one side end where they should"]


def _spec(name: str, files: dict[str, bytes], look: Look, masses: np.ndarray) -> mujoco.MjSpec:
    spec = mujoco.MjSpec()
    spec.modelname = name
    spec.assets = files
    body = spec.worldbody.add_body(name=name)
    body.add_freejoint()
    kind = mujoco.mjtGeom.mjGEOM_MESH
    spec.add_mesh(name="visual", file="visual.obj", inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL)  # it may be open
    seen = body.add_geom(type=kind, meshname="visual", group=VISUAL, contype=0, conaffinity=0, mass=0)
    if look.png is not None:
        spec.add_texture(name="texture", type=mujoco.mjtTexture.mjTEXTURE_2D, file="texture.png")
        material = spec.add_material(name="material", specular=0.2, shininess=0.1)
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "texture"
        seen.material = "material"
    elif look.rgb is not None:
        seen.rgba = (*look.rgb, 1.0)
    for i, mass in enumerate(masses):
        part = spec.add_mesh(name=f"collision_{i:02d}", file=f"collision_{i:02d}.obj", inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX)
        geom = body.add_geom(type=kind, meshname=part.name, group=CONTACT, mass=mass, friction=FRICTION, condim=4)
        geom.solref, geom.solimp = (0.01, 1), (0.95, 0.99, 0.001, 0.5, 2)
    return spec


def _obj(mesh: trimesh.Trimesh) -> bytes:
    lines = ["v {:.6f} {:.6f} {:.6f}".format(*p) for p in mesh.vertices]
    lines += ["f {} {} {}".format(*f) for f in mesh.faces + 1]
    return ("\n".join(lines) + "\n").encode()


def _textured_obj(vertices: np.ndarray, faces: np.ndarray, uv: np.ndarray, places: np.ndarray) -> bytes:
    """Faces of vertices (n, 3) and of places in a picture (m, 2), both (n_faces, 3)."""
    lines = ["v {:.6f} {:.6f} {:.6f}".format(*p) for p in vertices]
    lines += ["vt {:.5f} {:.5f}".format(*p) for p in uv]
    lines += [f"f {a}/{i} {b}/{j} {c}/{k}" for (a, b, c), (i, j, k) in zip(faces + 1, places + 1, strict=True)]
    return ("\n".join(lines) + "\n").encode()


def _png(picture: Image.Image) -> bytes:
    into = io.BytesIO()
    picture.save(into, "PNG", optimize=True)
    return into.getvalue()
