"""Mesh files become objects: closed, hollow where they are, touched where they are seen, in their colours, of their weight."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import mujoco
import numpy as np
import psutil
import pytest
import trimesh
from made_meshes import bowl, globe, mug, pipe, pushed_together, scan, sheet_cup, soup, torus

from assets.graspable import CONTACT, VISUAL
from assets.objects import ObjectError, mesh, open_objects
from assets.objects.making.atlas import SIDE, bake
from assets.objects.making.coat import coat, surface_of
from assets.objects.making.companions import Beside, companions
from assets.objects.making.cut import GOOD, cut
from assets.objects.making.fit import fit
from assets.objects.making.paint import paint_of
from assets.objects.making.shape import Shape, read_shape
from assets.objects.making.simple import simplify
from assets.objects.making.solid import make_solid
from assets.objects.making.weight import Weight, find_weight
from assets.objects.making.writing import FACES, look_of, write_pack
from assets.objects.mesh import each_pack, pack_mesh, pack_meshes, warnings_of
from assets.objects.pack import Pack, open_pack

MIDDLE = -0.0175
"""Where the axis of the mug is: its handle moves the middle of its box [m]."""


def made(shape: trimesh.Trimesh, out: Path, weight: Weight | None = None) -> Pack:
    """The pack of a mesh, made in this process."""
    solid = make_solid(shape)
    write_pack(out, Shape(shape, (shape.copy(),)), solid, cut(solid.mesh), weight or Weight())
    return open_pack(out)


def ray(pack: Pack, start: list[float], along: list[float], group: int = CONTACT) -> float:
    """How far it is to what is touched, or seen; -1 where nothing is [m]."""
    return rays(pack, [(start, along)], group)[0]


def rays(pack: Pack, lines: Sequence[tuple[list[float], list[float]]], group: int = CONTACT) -> list[float]:
    """As `ray`, from several places."""
    model = pack.spec().compile()
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    groups, geom = np.zeros(6, np.uint8), np.empty(1, np.int32)
    groups[group] = 1
    return [mujoco.mj_ray(model, data, np.array(start), np.array(along, float), groups, 1, -1, geom, None) for start, along in lines]


@pytest.fixture(scope="module")
def cup(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """A mug of 84 mm with walls of 4 and a handle."""
    return made(mug(), tmp_path_factory.mktemp("cup") / "mug")


def with_ball(pack: Pack, at: list[float], radius: float) -> mujoco.MjData:
    """The object on a table and a ball above it, a second and a half later."""
    spec = pack.spec()
    spec.option.timestep, spec.option.integrator = 0.002, mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    low = trimesh.load(pack.folder / "visual.obj", force="mesh", process=False).bounds[0, 2]
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[1, 1, 0.1], pos=[0, 0, low])
    ball = spec.worldbody.add_body(name="ball", pos=at)
    ball.add_freejoint()
    ball.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[radius, 0, 0], mass=0.01, condim=4)
    model = spec.compile()
    data = mujoco.MjData(model)
    for _ in range(750):
        mujoco.mj_step(model, data)
    return data


@pytest.mark.parametrize("shape", ["mug", *(pytest.param(name, marks=pytest.mark.slow) for name in ("bowl", "sheet_cup"))])
def test_what_is_hollow_holds_a_ball(shape: str, cup: Pack, tmp_path: Path) -> None:
    """A ball that falls in lies on the floor inside, and not on the rim, under the table or beside it."""
    pack = cup if shape == "mug" else made({"bowl": bowl, "sheet_cup": sheet_cup}[shape](), tmp_path / "hollow")
    top = trimesh.load(pack.folder / "visual.obj", force="mesh", process=False).bounds[1, 2]
    middle = MIDDLE if shape == "mug" else 0.0
    data = with_ball(pack, [middle + 0.01, 0.005, top + 0.03], 0.012)
    thing, ball = data.body("object").xpos, data.body("ball").xpos
    assert np.linalg.norm(thing) < 0.02
    assert np.linalg.norm((ball - thing)[:2] - [middle, 0]) < 0.03
    assert -top < (ball - thing)[2] < top - 0.02


def test_a_rim_lies_between_the_fingers(cup: Pack) -> None:
    """Rays through the wall of the mug just below its rim meet as much as the wall is thick, inside and outside, all around."""
    start, lines = np.array([MIDDLE, 0, 0.095 / 2 - 0.008]), []
    for angle in np.linspace(0.6, 2 * np.pi - 0.6, 12):  # the handle is at 0
        out = np.array([np.cos(angle), np.sin(angle), 0])
        lines += [(start.tolist(), out.tolist()), ((start + 0.1 * out).tolist(), (-out).tolist())]
    found = np.array(rays(cup, lines)).reshape(-1, 2)
    inner, outer = found[:, 0], 0.1 - found[:, 1]
    assert outer == pytest.approx(np.full(12, 0.042), abs=0.001)
    assert (outer - inner).min() > 0.003
    assert (outer - inner).max() < 0.009


def test_a_ring_is_touched_where_it_is(tmp_path: Path) -> None:
    shape = torus()
    pack = made(shape, tmp_path / "ring")
    assert ray(pack, [0, 0, 0.1], [0, 0, -1]) == -1
    assert ray(pack, [0.015, -0.01, 0.1], [0, 0, -1]) == -1
    assert ray(pack, [0.035, 0, 0.1], [0, 0, -1]) == pytest.approx(0.09, abs=0.001)
    solid = make_solid(shape)
    found = cut(solid.mesh)
    assert found.fit.worst > GOOD
    assert sum(h.volume for h in found.hulls) == pytest.approx(solid.volume, rel=0.08)


def test_rays_tell_a_filled_cup_from_a_hollow_one() -> None:
    """The hull of a pipe agrees with it from the sides and not from above; a thing agrees with itself from everywhere."""
    shape = pipe()
    found = fit(shape, [shape.convex_hull])
    assert min(found.sides[:4]) > 0.99
    assert max(found.sides[4:]) < 0.5
    assert found.worst < 0.5
    box = trimesh.creation.box([0.05, 0.04, 0.03])
    assert fit(box, [box]).sides == (1.0,) * 6


def test_a_scan_is_closed_and_its_crumbs_are_gone(tmp_path: Path) -> None:
    scan(np.random.default_rng(0)).export(tmp_path / "stone.ply")
    shape = read_shape(tmp_path / "stone.ply")
    assert shape.notes == ("3 crumbs left out",)
    solid = make_solid(shape.mesh)
    assert solid.notes == ("3 holes filled",)
    assert solid.mesh.is_watertight
    a, b, c = 0.048, 0.04, 0.032
    cap = 1 - (0.024 / c) * (3 - (0.024 / c) ** 2) / 2  # of half an ellipsoid, what is below 24 mm
    assert solid.volume == pytest.approx(4 / 3 * np.pi * a * b * c * (1 - cap / 2), rel=0.03)


def test_the_mouth_of_a_cup_is_no_hole() -> None:
    """A sheet stays open above and gets a thickness, however small its other holes are, which are filled."""
    sheet = sheet_cup().subdivide().subdivide().subdivide()
    gone = np.argmin(np.linalg.norm(sheet.triangles_center - [0.035, 0, 0.05], axis=1))
    sheet.update_faces(np.arange(len(sheet.faces)) != gone)
    solid = make_solid(sheet)
    assert solid.mesh.is_watertight
    assert solid.volume == pytest.approx(0.002 * sheet_cup().area, rel=0.1)
    assert solid.volume < 0.2 * solid.mesh.convex_hull.volume
    assert solid.notes[0] == "1 hole filled"


def test_parts_pushed_together_are_one() -> None:
    solid = make_solid(pushed_together())
    buried = np.pi * 0.009**2 * 0.0175  # 5 mm of the handle's 150 lie beyond the middle of the head, 12.5 mm before it
    apart = 0.08 * 0.025**2 + np.pi * 0.009**2 * 0.15
    assert solid.volume == pytest.approx(apart - buried, rel=0.01)
    assert solid.mesh.body_count == 1


def test_a_hollow_that_nothing_reaches_weighs_nothing() -> None:
    """A ball with a cavity: touched as a ball, its material counted alone."""
    outside, inside = trimesh.creation.icosphere(3, 0.04), trimesh.creation.icosphere(3, 0.03)
    inside.invert()
    solid = make_solid(outside + inside)  # type: ignore[arg-type]
    assert solid.volume == pytest.approx(outside.volume + inside.volume, rel=1e-3)
    assert solid.mesh.volume == pytest.approx(outside.volume, rel=1e-3)
    assert len(cut(solid.mesh).hulls) == 1


def test_a_tangle_is_cut_out_and_closed() -> None:
    """A fin of two faces on a closed surface, whose edge is shared by three: gone, and the surface whole again."""
    ball = trimesh.creation.icosphere(3, 0.04)
    a, b = ball.edges[0]
    tip = len(ball.vertices)
    faces = np.concatenate([ball.faces, [[a, b, tip]]])
    tangled = trimesh.Trimesh(np.concatenate([ball.vertices, [ball.vertices[a] * 1.05]]), faces, process=False)
    assert not tangled.is_watertight
    solid = make_solid(tangled)
    assert solid.mesh.is_watertight
    assert solid.volume == pytest.approx(ball.volume, rel=0.01)
    assert any("tangled" in note for note in solid.notes)


def test_any_faces_get_a_closed_coat_of_their_thickness() -> None:
    shape = soup()
    closed, thickness = coat(shape)
    assert closed.volume > 0
    assert closed.extents == pytest.approx(shape.extents + thickness, abs=0.0006)
    plate = trimesh.creation.box([0.08, 0.08, 0.0005])
    found, thickness = coat(plate)
    assert found.extents[2] == pytest.approx(thickness + 0.0005, abs=0.0006)


def test_nets_find_a_sphere() -> None:
    axes = np.mgrid[-1:1:33j, -1:1:33j, -1:1:33j]
    found = surface_of(0.7 - np.sqrt((axes**2).sum(axis=0)), np.full(3, -1.0), 1 / 16)
    assert found.is_watertight
    assert found.volume == pytest.approx(4 / 3 * np.pi * 0.7**3, rel=0.02)
    assert np.linalg.norm(found.vertices, axis=1) == pytest.approx(np.full(len(found.vertices), 0.7), abs=0.01)


def test_fewer_faces_keep_their_colours(tmp_path: Path) -> None:
    """Of 20,480 textured faces 3,000 are left; each is of the colour that was at its place, and so is what MuJoCo is given."""
    shape = read_shape(globe(tmp_path))
    assert len(shape.mesh.faces) == 20_480
    shown = simplify(make_solid(shape.mesh).mesh, FACES)
    atlas = bake(shown, paint_of(shape.pieces))
    assert len(shown.faces) <= FACES
    middle = atlas.uv.mean(axis=1)
    pixel = atlas.picture[((1 - middle[:, 1]) * SIDE).astype(int), (middle[:, 0] * SIDE).astype(int)].astype(int)
    x, _, z = shown.triangles_center.T
    clear = (np.abs(x) > 0.003) & (np.abs(z) < 0.025)
    assert (np.abs(pixel[clear & (x > 0)] - (210, 40, 30)).max(axis=1) < 30).mean() > 0.99
    assert (np.abs(pixel[clear & (x < 0)] - (30, 60, 200)).max(axis=1) < 30).mean() > 0.99
    assert (np.abs(pixel[z > 0.033] - (40, 170, 60)).max(axis=1) < 30).mean() > 0.99
    assert atlas.uv.min() >= 0
    assert atlas.uv.max() <= 1


def test_a_texture_that_fits_stays_as_it_is(tmp_path: Path) -> None:
    shape = read_shape(globe(tmp_path, subdivisions=3))
    look = look_of(shape, make_solid(shape.mesh))
    assert look.obj.count(b"\nf ") == 1280
    assert look.obj.count(b"vt ") == len(shape.pieces[0].vertices)
    assert look.png is not None


@pytest.mark.parametrize("named", [True, False], ids=["named", "beside"])
def test_a_picture_is_found_and_no_other_file(named: bool, tmp_path: Path) -> None:
    path = globe(tmp_path, subdivisions=2)
    if not named:  # as scans often come: places in a picture, and the picture under the name of the mesh
        path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith(("mtllib", "usemtl"))))
        (tmp_path / "material_0.png").rename(tmp_path / "globe.png")
    (tmp_path / "secret.png").write_bytes(b"secret")
    found = companions(path, path.read_bytes())
    assert set(found.values()) == ({tmp_path / "globe.mtl", tmp_path / "material_0.png"} if named else {tmp_path / "globe.png"})
    with pytest.raises(FileNotFoundError):
        Beside(found).get("secret.png")
    assert paint_of(read_shape(path).pieces).plain is None


def test_pictures_outside_the_folder_are_refused(tmp_path: Path) -> None:
    path = globe(tmp_path / "a", subdivisions=1)
    (tmp_path / "x.png").write_bytes((tmp_path / "a" / "material_0.png").read_bytes())
    material = path.with_suffix(".mtl")
    material.write_text(material.read_text().replace("material_0.png", "../x.png"))
    with pytest.raises(ObjectError, match="outside its folder"):
        companions(path, path.read_bytes())


def test_units_are_asked_for_and_never_taken(tmp_path: Path) -> None:
    """A mug in millimetres is refused with the guess and with what to write; with that written it is the same mug."""
    large = mug().apply_scale(1000)
    large.export(tmp_path / "mug.stl")
    with pytest.raises(ObjectError, match=r"are its units metres\? In millimetres \(0.12 m\).*'\*,mm' under 'name,unit' in masses.csv"):
        read_shape(tmp_path / "mug.stl")
    (tmp_path / "masses.csv").write_text("name,unit\n*,mm\n")
    shape = read_shape(tmp_path / "mug.stl", find_weight(tmp_path / "mug.stl").unit)
    assert shape.mesh.extents == pytest.approx(mug().extents, abs=1e-6)
    assert not shape.warnings
    mug().apply_scale(6).export(tmp_path / "large.stl")
    assert "are its units metres?" in read_shape(tmp_path / "large.stl").warnings[0]


def boxes(folder: Path, n: int) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"box_{k}.stl" for k in range(n)]
    for k, path in enumerate(paths):
        trimesh.creation.box([0.04, 0.03, 0.02 + 0.001 * k]).export(path)
    return paths


def makers() -> set[int]:
    """Processes that this one started and that still run."""
    return {child.pid for child in psutil.Process().children() if "assets.objects.making" in " ".join(child.cmdline())}


def test_packs_come_as_they_are_finished_and_from_the_cache_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    really = mesh._in_a_child
    monkeypatch.setattr(mesh, "_in_a_child", lambda *words: started.append(words[0].stem) or really(*words))
    paths = boxes(tmp_path / "boxes", 2)
    (tmp_path / "boxes" / "broken.stl").write_bytes(b"solid nothing")
    paths.append(tmp_path / "boxes" / "broken.stl")
    found = dict(each_pack(paths, tmp_path / "cache"))
    assert set(found) == set(paths)
    assert isinstance(found[paths[2]], ObjectError)
    assert sorted(started) == ["box_0", "box_1"]
    again = pack_meshes(paths, tmp_path / "cache")
    assert again[:2] == [found[path] for path in paths[:2]]
    assert len(started) == 2
    (tmp_path / "boxes" / "masses.csv").write_text("name,mass_kg\nbox_1,0.25\n")
    objects = open_objects(tmp_path / "boxes", cache=tmp_path / "cache")
    assert started[2:] == ["box_1"]
    assert objects.names == ("box_0", "box_1")
    masses = [o.spec().compile().body("object").mass[0] for o in objects]
    assert masses == pytest.approx([0.02, 0.25])  # 400 kg/m3 would be 9.6 g: at least 20 are taken
    said = json.loads((objects[1].folder / "meta.json").read_text())  # type: ignore[attr-defined]
    assert (said["made"]["mass_kg"], said["made"]["mass_from"]) == (0.25, "table")
    broken = next((tmp_path / "cache").glob("*/box_0/collision_00.obj"))
    broken.write_text("")
    assert pack_meshes(paths[:1], tmp_path / "cache") == again[:1]
    assert started[3:] == ["box_0"]


def test_another_texture_is_another_object(tmp_path: Path) -> None:
    path = globe(tmp_path, subdivisions=1)
    before = mesh._key(path, Weight())
    picture = tmp_path / "material_0.png"
    picture.write_bytes(picture.read_bytes() + b"\0")
    assert mesh._key(path, Weight()) != before
    assert mesh._key(path, Weight(0.1)) != mesh._key(path, Weight(0.2))


def test_time_that_is_up_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another day the machine may be faster: nothing is kept of it, and no process is left."""
    monkeypatch.setattr(mesh, "DEADLINE", 0.3)
    (path,) = boxes(tmp_path / "boxes", 1)
    with pytest.raises(ObjectError, match=r"more than 0.3 s"):
        pack_mesh(path, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("refused.txt"))
    assert not list((tmp_path / "cache").rglob("object.xml"))


def test_who_stops_asking_stops_the_work(tmp_path: Path) -> None:
    """Of many meshes the first is taken: closing ends those that are being made, and none of the others is begun."""
    made = each_pack(boxes(tmp_path / "boxes", 12), tmp_path / "cache")
    next(made)
    made.close()  # type: ignore[attr-defined]
    assert makers() == set()
    assert 1 <= len(list((tmp_path / "cache").glob("*/box_*/object.xml"))) < 12
    stop = Event()
    stop.set()
    with pytest.raises(ObjectError, match="nobody waits"):
        pack_mesh(boxes(tmp_path / "boxes", 13)[-1], tmp_path / "cache", stop=stop)


def test_a_doubtful_object_says_so(tmp_path: Path) -> None:
    pack = made(trimesh.creation.box([0.04, 0.03, 0.02]), tmp_path / "box")
    assert warnings_of(pack) == ()
    (pack.folder / "meta.json").write_text('{"warnings": ["it is 0.7 m large"]}')
    assert warnings_of(pack) == ("it is 0.7 m large",)
    (pack.folder / "meta.json").write_text("{")
    assert warnings_of(pack) == ()
    assert ray(pack, [0, 0, 0.1], [0, 0, -1], VISUAL) == pytest.approx(0.09)


@pytest.mark.slow
def test_the_expert_takes_a_mug_by_its_rim(cup: Pack) -> None:
    """84 mm wide, for fingers that open 80: it cannot be taken around, and holds."""
    from sim.shelf.measure import try_grasps

    found = try_grasps(cup, "panda", grasps=4, poses=2)
    assert found.tried >= 4
    assert found.held >= found.tried / 2
