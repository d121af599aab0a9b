"""A mesh file becomes a pack: read, checked, decomposed into convex hulls and simplified in a child process, kept in a cache."""

from __future__ import annotations

import hashlib
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assets.errors import ObjectError
from assets.objects.guard.meshfile import check_mesh
from assets.objects.guard.place import read
from assets.objects.pack import Pack, open_pack

if TYPE_CHECKING:
    import trimesh

FILE_BYTES = 64 << 20
MOST_FACES = 500_000
SHOWN_FACES, CUT_FACES = 3000, 1000
"""What is drawn, and what is cut into convex pieces: the time goes with the square."""
EXTENTS = (0.005, 1.0)
"""Longest side of an object [m]; beyond it the units are wrong."""
THINNEST = 0.0005
"""Shortest side [m]."""
DENSITY, MASSES = 400.0, (0.02, 0.5)
"""Of the convex pieces [kg/m3], and the bounds of what comes of it [kg]."""
CONVEX = 0.97
"""A mesh that fills this share of its hull is touched as its hull."""
DEADLINE, MEMORY = 300.0, 6 << 30
"""What a child process may take [s], [bytes]."""
_RECIPE = "2"  # part of the cache's key: other settings make other packs
_REFUSED = 3
"""Exit code of a child that does not take the file."""
_NEUTRAL = (0.72, 0.66, 0.56, 1.0)


def pack_meshes(paths: list[Path], cache: Path | None = None) -> list[Pack | ObjectError]:
    """The pack of each mesh file [metres, z up], or why there is none. As many at a time as there are cores."""
    cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cezanne" / "objects"

    def one(path: Path) -> Pack | ObjectError:
        try:
            return pack_mesh(path, cache)
        except ObjectError as error:
            return error

    with ThreadPoolExecutor(min(len(paths), os.cpu_count() or 1) or 1) as pool:
        return list(pool.map(one, paths))


def pack_mesh(path: Path, cache: Path) -> Pack:
    """The pack of one mesh file, made unless the cache has it. Raises ObjectError with the reason where it cannot be."""
    try:
        key = hashlib.sha256(_RECIPE.encode() + path.suffix.lower().encode() + read(path, FILE_BYTES)).hexdigest()[:20]
        name = re.sub(r"[^A-Za-z0-9_.-]+", "_", path.stem).strip("._-")[:80] or "object"
        folder = cache.expanduser().resolve() / key / name
        verdict = folder.parent / "refused.txt"
        if verdict.is_file():
            raise ObjectError(verdict.read_text())
        if not (folder / "object.xml").is_file():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
                try:
                    check_mesh(path, faces=MOST_FACES, size=FILE_BYTES)
                    _in_a_child(path, Path(temporary) / name, "as-is")
                except _Uncut:
                    _in_a_child(path, Path(temporary) / name, "remesh")
                except ObjectError as error:
                    verdict.write_text(str(error))  # the same bytes will be refused again
                    raise
                shutil.rmtree(folder, ignore_errors=True)
                (Path(temporary) / name).rename(folder)
    except OSError as error:
        raise ObjectError(f"it cannot be read or prepared: {error.strerror}: {error.filename}") from error
    return open_pack(folder)


class _Uncut(ObjectError):
    """The decomposition failed or crashed."""


def _in_a_child(path: Path, out: Path, mode: str) -> None:
    """Broken meshes make decompositions hang, crash and eat memory: not in this process."""
    threads = str(max(1, (os.cpu_count() or 1) // 2))
    try:
        child = subprocess.run(
            [sys.executable, "-c", "from assets.objects.mesh import main; main()", str(path.resolve()), str(out), mode],
            env=os.environ | {"MUJOCO_GL": "disable", "OMP_NUM_THREADS": threads, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=DEADLINE,
        )
    except subprocess.TimeoutExpired as error:
        raise ObjectError(f"it takes more than {DEADLINE:g} s to prepare: simplify it first") from error
    if child.returncode != 0:
        lines = child.stderr.strip().splitlines() or ["its surface cannot be cut into convex pieces: the program that tries it crashes"]
        raise (_Uncut if child.returncode != _REFUSED else ObjectError)(lines[-1][:200])


def main() -> None:
    """What the child process runs: MESH OUT as-is|remesh."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]  # whoever called may allow less
    most = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    path, out = map(Path, sys.argv[1:3])
    try:
        mesh = read_mesh(path)
    except Exception as error:  # a reader of foreign files may raise anything
        said = " ".join(str(error).split())[:120]
        print(said if isinstance(error, ObjectError) else f"no mesh can be made of it: {type(error).__name__}: {said}", file=sys.stderr)
        sys.exit(_REFUSED)
    try:
        _write(mesh, decompose(mesh, remesh=sys.argv[3] == "remesh"), out)
    except Exception as error:
        sys.exit(" ".join(str(error).split())[:120] or type(error).__name__)


def read_mesh(path: Path) -> trimesh.Trimesh:
    """One mesh, the centre of its box at the origin [m]. Raises ObjectError where it is no object of plausible size."""
    import trimesh

    with path.open("rb") as file:  # without its path, the reader finds no other files that the mesh names
        scene = trimesh.load_scene(file, file_type=path.suffix.lower().lstrip("."), process=False)
    pieces = [g for g in scene.dump() if isinstance(g, trimesh.Trimesh) and len(g.faces)]
    if not pieces:
        raise ObjectError("it holds no faces")
    if any(g.faces.min() < 0 or g.faces.max() >= len(g.vertices) for g in pieces):
        raise ObjectError("its faces name vertices that are not there")
    faces = sum(len(g.faces) for g in pieces)
    if faces > MOST_FACES:
        raise ObjectError(f"it holds {faces} faces; at most {MOST_FACES} are read: simplify it first")
    colour = _colour(pieces)
    starts = np.cumsum([0, *(len(g.vertices) for g in pieces[:-1])])
    stacked = np.concatenate([g.faces + start for g, start in zip(pieces, starts, strict=True)])
    mesh = trimesh.Trimesh(np.concatenate([g.vertices for g in pieces]), stacked, process=False)
    if not np.isfinite(mesh.vertices).all():
        raise ObjectError("some of its vertices are not finite")
    mesh.merge_vertices()
    mesh.update_faces(mesh.nondegenerate_faces())
    mesh.remove_unreferenced_vertices()
    if not len(mesh.faces) or not mesh.area > 0:
        raise ObjectError("its surface has no area")
    size = mesh.extents
    if not EXTENTS[0] <= size.max() <= EXTENTS[1]:
        raise ObjectError(f"it is {size.max():.4g} m large; {EXTENTS[0]} to {EXTENTS[1]} m are expected: are its units metres?")
    if size.min() < THINNEST:
        raise ObjectError(f"it is flat: {size.min() * 1000:.2g} mm thick")
    trimesh.repair.fix_normals(mesh)
    mesh.apply_translation(-mesh.bounds.mean(axis=0))
    mesh.metadata["rgba"] = colour
    return mesh


def decompose(mesh: trimesh.Trimesh, *, remesh: bool = False) -> list[trimesh.Trimesh]:
    """Convex pieces that together fill the mesh; what is hollow stays hollow.

    `remesh` makes a closed surface first: slower and thicker, for meshes that cannot be cut as they are.
    """
    import coacd
    import trimesh

    hull = mesh.convex_hull
    if mesh.is_watertight and mesh.volume > CONVEX * hull.volume:
        return [hull]
    coarse = simplify(mesh, CUT_FACES)
    coacd.set_log_level("error")
    pieces = coacd.run_coacd(
        coacd.Mesh(coarse.vertices, coarse.faces),
        threshold=0.05,
        max_convex_hull=24,
        preprocess_mode="on" if remesh else "off",
        preprocess_resolution=30,
        resolution=400,
        mcts_nodes=8,
        mcts_iterations=20,
        mcts_max_depth=2,
        decimate=True,
        max_ch_vertex=64,
    )
    hulls = [trimesh.Trimesh(v, f).convex_hull for v, f in pieces]
    hulls = [h for h in hulls if h.volume > 1e-10 and h.extents.min() > 1e-5]
    if not hulls or not _covers(hulls, mesh):
        raise ObjectError("its surface cannot be cut into convex pieces: close its holes first")
    return hulls


def _covers(hulls: list[trimesh.Trimesh], mesh: trimesh.Trimesh) -> bool:
    """Whether the pieces span what the mesh spans, to 5 % of its size."""
    low, high = np.min([h.bounds[0] for h in hulls], axis=0), np.max([h.bounds[1] for h in hulls], axis=0)
    return bool(np.abs(np.array([low, high]) - mesh.bounds).max() < 0.05 * mesh.extents.max())


def simplify(mesh: trimesh.Trimesh, faces: int = SHOWN_FACES) -> trimesh.Trimesh:
    """The mesh with at most this many faces."""
    import fast_simplification
    import trimesh

    if len(mesh.faces) <= faces:
        return mesh
    fewer = fast_simplification.simplify(np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int32), target_count=faces)
    return trimesh.Trimesh(fewer[0], fewer[1])


def _write(mesh: trimesh.Trimesh, hulls: list[trimesh.Trimesh], out: Path) -> None:
    """The pack: meshes and object.xml."""
    import mujoco

    from assets.graspable import CONTACT, VISUAL
    from assets.objects.household import FRICTION

    volumes = np.array([h.volume for h in hulls])
    mass = float(np.clip(DENSITY * volumes.sum(), *MASSES))
    files = {"visual.obj": _obj(simplify(mesh))} | {f"collision_{i:02d}.obj": _obj(h) for i, h in enumerate(hulls)}
    spec = mujoco.MjSpec()
    spec.modelname = out.name
    spec.assets = files
    body = spec.worldbody.add_body(name=out.name)
    body.add_freejoint()
    kind = mujoco.mjtGeom.mjGEOM_MESH
    for i, file in enumerate(files):
        added = spec.add_mesh(name=Path(file).stem, file=file)
        if i == 0:
            added.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL  # scans are open
            body.add_geom(type=kind, meshname=added.name, rgba=mesh.metadata["rgba"], group=VISUAL, contype=0, conaffinity=0, mass=0)
        else:
            added.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX
            share = mass * volumes[i - 1] / volumes.sum()
            geom = body.add_geom(type=kind, meshname=added.name, group=CONTACT, mass=share, friction=FRICTION, condim=4)
            geom.solref, geom.solimp = (0.01, 1), (0.95, 0.99, 0.001, 0.5, 2)
    spec.compile()
    out.mkdir(parents=True)
    for name, data in files.items():
        (out / name).write_bytes(data)
    (out / "object.xml").write_text(spec.to_xml())


def _obj(mesh: trimesh.Trimesh) -> bytes:
    text = mesh.export(file_type="obj", include_normals=False, include_color=False, include_texture=False, header=None)
    return text.encode() if isinstance(text, str) else bytes(text)  # type: ignore[arg-type]


def _colour(pieces: list[trimesh.Trimesh]) -> tuple[float, float, float, float]:
    """The mean colour of the largest piece, where it has one."""
    visual: Any = max(pieces, key=lambda g: len(g.faces)).visual
    try:
        if not visual.defined:
            return _NEUTRAL
        if visual.kind == "texture":
            image = getattr(visual.material, "baseColorTexture", None) or getattr(visual.material, "image", None)
            rgb = np.asarray(image.convert("RGB").resize((8, 8))).reshape(-1, 3).mean(0) if image else visual.material.main_color[:3]
        else:
            rgb = visual.vertex_colors[:, :3].mean(0)
    except Exception:  # a broken material is no reason to refuse a shape
        return _NEUTRAL
    if np.ptp([*rgb, 102.0]) < 1:  # the reader's stand-in for a material that is not there
        return _NEUTRAL
    r, g, b = (float(v) / 255 for v in np.asarray(rgb, float))
    return r, g, b, 1.0
