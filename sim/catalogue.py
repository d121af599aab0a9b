"""Toys and objects to look at and to take away: contact sheets, STL and MJCF files."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from assets.graspable import VISUAL, Graspable
from assets.objects import ObjectError, find_ycb, open_objects
from assets.toys import Recipe, Toy, ToyError, ToySet, toy_mesh, toy_mjcf
from assets.toys.part import SHAPES
from sim.render import Renderer


class Export(enum.Enum):
    """A file per toy."""

    NONE = "none"
    STL = "stl"
    """The watertight union in millimetres, for a 3-D printer."""
    MJCF = "mjcf"
    """A stand-alone MuJoCo model."""


@dataclass
class ToysConfig:
    """What `cezanne toys` makes."""

    toys: int = 250
    """How many."""
    seed: int = 0
    """Toy i depends on the seed and i alone: a larger set begins with the smaller."""
    out: Path = Path("data/toys")
    """Folder for toys.json, the contact sheet toys.png and exported files."""
    export: Export = Export.NONE
    """A file per toy: none, stl (millimetres) or mjcf."""
    pictures: int = 250
    """Tiles on the contact sheet at most; 0: no sheet."""
    objects: str | None = None
    """Draws the sheet of a set of objects instead: household, ycb, one that `cezanne objects` made, or a folder."""
    parts: list[int] = field(default_factory=lambda: [1, 5])
    """Fewest and most parts of a toy, within 1 to 5."""
    shapes: list[str] = field(default_factory=lambda: list(SHAPES))
    """Primitives that take part: sphere, cuboid, cylinder, ring."""
    small: float = 0.3
    """Share of small compositions [0..1]; the rest have the size of household things."""
    scale: list[float] = field(default_factory=lambda: [0.7, 1.4])
    """Of small compositions, smallest and largest."""
    jaw: float = 0.08
    """Opening of the gripper that must be able to grasp each toy [m]."""

    def __post_init__(self) -> None:
        if self.toys < 1:
            raise ToyError(f"toys={self.toys}; at least one")
        if self.seed < 0:
            raise ToyError(f"seed={self.seed}; a seed is a whole number from 0")
        if not 0 <= self.pictures <= 2000:
            raise ToyError(f"pictures={self.pictures}; a sheet holds at most 2000")
        if len(self.parts) != 2 or len(self.scale) != 2:
            raise ToyError(f"parts={self.parts}, scale={self.scale}; each is a smallest and a largest, as in parts=[1,3]")
        self.recipe()

    def recipe(self) -> Recipe:
        """What the toys are sampled from. Raises ToyError where it is impossible."""
        return Recipe(
            parts=(self.parts[0], self.parts[1]),
            shapes=tuple(self.shapes),
            small=self.small,
            scale=(self.scale[0], self.scale[1]),
            jaw=self.jaw,
        )


def run(cfg: ToysConfig) -> dict[str, Any]:
    """Samples toys, or opens objects; writes and draws them."""
    start = time.monotonic()
    try:
        cfg.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ToyError(f"out={cfg.out} cannot be made: {error.strerror}") from error
    if cfg.objects is not None:
        return _objects(cfg, cfg.objects, start)
    toys = ToySet.sample(cfg.seed, cfg.toys, cfg.recipe())
    seconds = time.monotonic() - start
    toys.save(cfg.out / "toys.json")
    if cfg.export is not Export.NONE:
        export(toys.toys, cfg.out, cfg.export)
    summary = {"toys": len(toys), "seed": cfg.seed, "file": str(cfg.out / "toys.json"), "sampling_seconds": round(seconds, 3)}
    if cfg.pictures:
        contact_sheet(toys[: cfg.pictures]).save(cfg.out / "toys.png")
        summary["sheet"] = str(cfg.out / "toys.png")
    return summary | {"seconds": round(time.monotonic() - start, 3)}


def _objects(cfg: ToysConfig, source: str, start: float) -> dict[str, Any]:
    if source == "ycb":
        folder = find_ycb()
        if folder is None:
            raise ObjectError("YCB is not here: `cezanne objects fetch ycb`, or name its folder in CEZANNE_OBJECTS")
        source = str(folder)
    found = open_objects(source)
    summary: dict[str, Any] = {"objects": len(found), "source": source, "refused": dict(found.refused)}
    if cfg.pictures:
        sheet = cfg.out / "objects.png"
        contact_sheet(found.objects[: cfg.pictures], names=True).save(sheet)
        summary["sheet"] = str(sheet)
    return summary | {"seconds": round(time.monotonic() - start, 3)}


def export(toys: Sequence[Toy], out: Path, kind: Export) -> list[Path]:
    """One file per toy in the folder out/stl or out/mjcf."""
    folder = out / kind.value
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for toy in tqdm(toys, desc=f"{kind.value} files", unit="toy", leave=False):
        if kind is Export.STL:
            path = folder / f"{toy.name}.stl"
            mesh = toy_mesh(toy)
            mesh.apply_scale(1000)  # printers think in millimetres
            mesh.export(path)
        else:
            path = folder / f"{toy.name}.xml"
            path.write_text(toy_mjcf(toy))
        written.append(path)
    return written


TILE, GAP, LABEL = 176, 6, 20
"""Of a contact sheet [px]."""
PAPER, INK = (246, 245, 242), (96, 94, 90)
_LOOK = np.array([-0.62, -0.55, -0.56]) / np.linalg.norm([0.62, 0.55, 0.56])
_FOVY = 22.0
"""[degrees]"""


def contact_sheet(things: Sequence[Graspable], *, names: bool = False) -> Image.Image:
    """Each thing at rest in a tile of its own, filling it, with its number or name and its length."""
    columns = min(len(things), max(6, round(np.sqrt(1.6 * len(things)))))
    rows = -(-len(things) // columns)
    sheet = Image.new("RGB", (columns * (TILE + GAP) + GAP, rows * (TILE + LABEL + GAP) + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for i, thing in enumerate(tqdm(things, desc="contact sheet", unit="tile", leave=False)):
        picture, length = portrait(thing, 2 * TILE)
        x, y = GAP + i % columns * (TILE + GAP), GAP + i // columns * (TILE + LABEL + GAP)
        sheet.paste(Image.fromarray(picture).resize((TILE, TILE), Image.Resampling.LANCZOS), (x, y))
        label, length = thing.name if names else str(i), f"{100 * length:.0f} cm"
        while font.getlength(label) + font.getlength(length) > TILE - 14:
            label = label.rstrip("…")[:-1] + "…"
        draw.text((x + 3, y + TILE + 2), label, INK, font)
        draw.text((x + TILE - 3, y + TILE + 2), length, INK, font, anchor="ra")
    return sheet


def portrait(thing: Graspable, size: int) -> tuple[np.ndarray, float]:
    """A picture of a thing at rest on a light ground, (size, size, 3) uint8, and its longest side [m]."""
    spec = thing.spec()
    spec.visual.quality.offsamples = 0  # drawn twice as large instead
    spec.visual.quality.shadowsize = 2048
    spec.visual.quality.numslices = spec.visual.quality.numstacks = 64
    spec.stat.extent = 0.5  # the ground is no part of the scale
    spec.visual.global_.offwidth = spec.visual.global_.offheight = size
    spec.visual.map.znear, spec.visual.map.zfar = 0.02, 20
    spec.visual.map.shadowclip = 0.5
    spec.visual.headlight.ambient, spec.visual.headlight.diffuse, spec.visual.headlight.specular = [0.52] * 3, [0.2] * 3, [0.0] * 3
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    world = spec.worldbody
    world.add_geom(name="ground", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[9, 9, 0.1], rgba=[0.955, 0.95, 0.94, 1])
    sun = world.add_light(name="sun", pos=[0.25, -0.15, 1.2], dir=[-0.25, 0.15, -1], castshadow=True)
    sun.type = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    sun.diffuse, sun.ambient, sun.specular = [0.34] * 3, [0, 0, 0], [0.12] * 3
    camera = world.add_camera(name="portrait", fovy=_FOVY)
    model = spec.compile()
    data = mujoco.MjData(model)
    _rest(model, data)
    points = _points(model, data)
    right = np.cross(_LOOK, [0, 0, 1])
    right /= np.linalg.norm(right)
    up = np.cross(right, _LOOK)
    eye = _eye(points @ np.stack([right, up, -_LOOK], axis=1)) @ np.stack([right, up, -_LOOK])
    index = model.camera(camera.name).id
    model.cam_pos[index] = eye
    mujoco.mju_mat2Quat(model.cam_quat[index], np.stack([right, up, -_LOOK], axis=1).ravel())
    model.light_pos[model.light("sun").id][:2] += points.mean(axis=0)[:2]
    mujoco.mj_forward(model, data)
    with Renderer(model, shadows=True) as renderer:
        renderer.look(data, "portrait")
        return renderer.picture(size), float(np.ptp(points, axis=0).max())


def _rest(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Lets the thing settle on the ground from just above it, as modelled."""
    model.dof_damping[:] = 2e-4  # balls come to rest
    mujoco.mj_forward(model, data)
    data.qpos[2] += 0.001 - _points(model, data)[:, 2].min()
    for _ in range(800):
        mujoco.mj_step(model, data)
    mujoco.mj_forward(model, data)


def _points(model: mujoco.MjModel, data: mujoco.MjData) -> np.ndarray:
    """Points of the visible surface that reach as far as it does, (n, 3) [m]."""
    found = []
    for geom in np.flatnonzero((model.geom_group == VISUAL) & (model.geom_bodyid == model.body("object").id)):
        if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH:
            mesh = model.geom_dataid[geom]
            local = model.mesh_vert[model.mesh_vertadr[mesh] :][: model.mesh_vertnum[mesh]]
        else:
            local = _OUTLINES.get(model.geom_type[geom], _box_outline)(model.geom_size[geom])
        found.append(local @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom])
    return np.concatenate(found)


def _box_outline(size: np.ndarray) -> np.ndarray:
    return np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * size


def _circle() -> Iterator[np.ndarray]:
    for angle in np.linspace(0, 2 * np.pi, 32, endpoint=False):
        yield np.array([np.cos(angle), np.sin(angle)])


def _cylinder_outline(size: np.ndarray) -> np.ndarray:
    return np.array([[*(size[0] * c), z] for c in _circle() for z in (-size[1], size[1])])


def _sphere_outline(size: np.ndarray) -> np.ndarray:
    return np.array([[*(size[0] * c * s), size[0] * z] for c in _circle() for s, z in _circle() if s >= 0])


_OUTLINES: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    int(mujoco.mjtGeom.mjGEOM_SPHERE): _sphere_outline,
    int(mujoco.mjtGeom.mjGEOM_CYLINDER): _cylinder_outline,
}


def _eye(points: np.ndarray) -> np.ndarray:
    """Where a camera stands that looks along -z at points (n, 3) so that they fill the picture but for a margin."""
    tangent = 0.84 * np.tan(np.radians(_FOVY) / 2)
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    away = 0.0
    for _ in range(8):  # perspective shifts the middle of the picture with the distance
        away = (np.abs(points[:, :2] - centre[:2]).max(axis=1) / tangent + points[:, 2]).max()
        seen = (points[:, :2] - centre[:2]) / (away - points[:, 2:])
        centre[:2] += (seen.min(axis=0) + seen.max(axis=0)) / 2 * (away - centre[2])
    return np.array([centre[0], centre[1], away])
