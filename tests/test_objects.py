"""Real objects: contract, and what is refused."""

import pickle
import struct
from pathlib import Path

import mujoco
import numpy as np
import pytest

from assets.graspable import CONTACT, VISUAL, Graspable
from assets.objects import ObjectError, find_ycb, open_objects, open_ycb
from assets.objects.making.paint import paint_of
from assets.objects.making.shape import read_shape
from assets.objects.objectset import SUITE
from assets.objects.pack import bounds, extents, open_pack

CUBE = "v -1 -1 -1\nv 1 -1 -1\nv 1 1 -1\nv -1 1 -1\nv -1 -1 1\nv 1 -1 1\nv 1 1 1\nv -1 1 1\n"
CUBE = "\n".join("v " + " ".join(str(0.02 * float(x)) for x in line.split()[1:]) for line in CUBE.strip().splitlines())
CUBE += "\nf 1 3 2\nf 1 4 3\nf 5 6 7\nf 5 7 8\nf 1 2 6\nf 1 6 5\nf 2 3 7\nf 2 7 6\nf 3 4 8\nf 3 8 7\nf 4 1 5\nf 4 5 8\n"
PACK = """<mujoco model="x">{extra}
  <asset><mesh name="m" file="{file}"/></asset>
  <worldbody>
    <body name="x"><freejoint/>
      <geom type="mesh" mesh="m" group="2" contype="0" conaffinity="0" mass="0"/>
      <geom type="mesh" mesh="m" group="3" mass="0.1"/>{inside}
    </body>
  </worldbody>
</mujoco>"""


def pack(folder: Path, xml: str | None = None, *, file: str = "m.obj", extra: str = "", inside: str = "") -> Path:
    """A folder of the form of a pack."""
    folder.mkdir(parents=True)
    (folder / "m.obj").write_text(CUBE)
    (folder / "object.xml").write_text(xml or PACK.format(file=file, extra=extra, inside=inside))
    return folder


def keeps_the_contract(thing: Graspable) -> None:
    spec = thing.spec()
    assert all(x.name.startswith("object/") for x in [*spec.meshes, *spec.materials, *spec.textures])
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[1, 1, 0.1])
    model = spec.compile()
    assert thing.upright
    assert model.joint("object").type[0] == mujoco.mjtJoint.mjJNT_FREE
    body = model.body("object").id
    seen = (model.geom_bodyid == body) & (model.geom_group == VISUAL)
    touched = (model.geom_bodyid == body) & (model.geom_group == CONTACT)
    assert seen.any()
    assert touched.any()
    assert not model.geom_contype[seen].any()
    assert not model.geom_conaffinity[seen].any()
    assert 0.001 < model.body_mass[body] < 5
    data = mujoco.MjData(model)
    data.qpos[2] = 0.002 - bounds(model)[0][2]
    for _ in range(200):
        mujoco.mj_step(model, data)
    assert np.isfinite(data.qpos).all()
    assert abs(data.qpos[2]) < 0.4
    assert data.ncon > 0


@pytest.mark.parametrize("thing", list(open_objects("household")), ids=lambda o: o.name)
def test_household(thing: Graspable) -> None:
    keeps_the_contract(thing)
    assert 0.03 < extents(thing.spec().compile()).max() < 0.2
    assert pickle.loads(pickle.dumps(thing)) == thing


def test_household_are_the_six() -> None:
    assert open_objects("household").names == ("bottle", "bread", "can", "cereal", "lemon", "milk")


def test_ycb() -> None:
    folder = find_ycb()
    if folder is None:
        pytest.skip("YCB is not here")
    for name in ("003_cracker_box", "025_mug", "065-a_cups"):
        thing = open_pack(folder / name)
        keeps_the_contract(thing)
        assert thing.spec().compile().ntex == 1
    assert len(open_ycb(folder)) == 74


def test_a_list_beside_the_packs_chooses_among_them(tmp_path) -> None:
    for name in ("cube", "other"):
        pack(tmp_path / name)
    assert open_ycb(tmp_path).names == ("cube", "other")
    (tmp_path / SUITE).write_text("other\nabsent\n")
    chosen = open_ycb(tmp_path)
    assert chosen.names == ("other",)
    assert dict(chosen.refused) == {"absent": "it is not in the folder"}
    (tmp_path / SUITE).write_text("absent")
    with pytest.raises(ObjectError, match="none of the objects"):
        open_ycb(tmp_path)


def test_pack(tmp_path) -> None:
    found = open_objects(pack(tmp_path / "cube").parent)
    keeps_the_contract(found[0])
    assert found.names == ("cube",)
    assert extents(found[0].spec().compile()) == pytest.approx([0.04] * 3)
    assert pickle.loads(pickle.dumps(found)) == found


def test_two_objects_fit_one_process(tmp_path) -> None:
    folders = [pack(tmp_path / name) for name in "ab"]
    (folders[1] / "m.obj").write_text(CUBE.replace("0.02", "0.03"))
    a, b = (extents(open_pack(f).spec().compile()).max() for f in folders)
    assert (a, b) == (pytest.approx(0.04), pytest.approx(0.06))


BOMB = '<!DOCTYPE m [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>' + PACK.format(file="m.obj", extra="&b;", inside="")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"xml": BOMB}, "entities"),
        ({"xml": "<mujoco>"}, "no XML"),
        ({"xml": "<robot/>"}, "not <mujoco>"),
        ({"xml": "<mujoco/>"}, "0 bodies"),
        ({"extra": '<include file="/etc/passwd"/>'}, "<include>"),
        ({"extra": '<extension><plugin plugin="x"/></extension>'}, "<extension>"),
        ({"inside": '<body name="y"><geom size="1"/></body>'}, "<body> in <body>"),
        ({"inside": '<replicate count="1000000000"><geom size=".1"/></replicate>'}, "<replicate>"),
        ({"inside": "<geom size='.01' group='3'/>" * 1000}, "more than"),
        ({"file": "/etc/passwd"}, "outside its folder"),
        ({"file": "../b/m.obj"}, "outside its folder"),
        ({"file": "m.obj/../../../etc/passwd"}, "outside its folder"),
        ({"file": "nothing.obj"}, "cannot be read"),
        ({"file": "m.dae"}, "is one of"),
        ({"extra": '<compiler meshdir="/etc"/>'}, "outside its folder"),
        ({"extra": '<asset><texture name="t" type="2d" builtin="flat" width="100000" height="100000"/></asset>'}, "builtin"),
        ({"extra": '<asset><hfield name="h" nrow="100000" ncol="100000" size="1 1 1 1"/></asset>'}, "<hfield>"),
        ({"extra": "x" * (2 << 20)}, "holds 2 MB"),
        ({"xml": PACK.format(file="m.obj", extra="", inside="").replace('group="3"', 'group="1"')}, "touched"),
        ({"xml": PACK.format(file="m.obj", extra="", inside="").replace('mass="0.1"', 'mass="1e9"')}, "weighs"),
        ({"xml": PACK.format(file="m.obj", extra="", inside="").replace('file="m.obj"', 'file="m.obj" scale="1000 1000 1000"')}, "metres"),
    ],
)
def test_hostile_packs_are_refused_and_the_rest_goes_on(given: dict, said: str, tmp_path) -> None:
    pack(tmp_path / "good")
    pack(tmp_path / "bad", **given)
    found = open_objects(tmp_path)
    assert found.names == ("good",)
    ((name, reason),) = found.refused
    assert name == "bad"
    assert said in reason
    assert "\n" not in reason


def test_links_do_not_lead_outside(tmp_path) -> None:
    (tmp_path / "secret.obj").write_text(CUBE)
    folder = pack(tmp_path / "packs" / "bad", file="link.obj")
    (folder / "link.obj").symlink_to(tmp_path / "secret.obj")
    with pytest.raises(ObjectError, match="outside its folder"):
        open_pack(folder)


def test_a_picture_that_unpacks_to_gigabytes_is_refused(tmp_path) -> None:
    texture = '<asset><texture name="t" type="2d" file="t.png"/></asset>'
    folder = pack(tmp_path / "bad", extra=texture)
    (folder / "t.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + struct.pack(">II", 1 << 20, 1 << 20) + b"\x08\x02\0\0\0")
    with pytest.raises(ObjectError, match="no PNG of at most"):
        open_pack(folder)


@pytest.mark.parametrize(("source", "said"), [("nowhere", "is no folder"), (".", "holds no object")])
def test_a_source_without_objects_is_an_error(source: str, said: str, tmp_path) -> None:
    with pytest.raises(ObjectError, match=said):
        open_objects(tmp_path / source)


def test_selecting_names_what_there_is() -> None:
    found = open_objects("household")
    assert found.select(["milk", "can"]).names == ("milk", "can")
    with pytest.raises(ObjectError, match=r"'cup'.*bottle"):
        found.select(["cup"])


def test_meshes_become_packs(tmp_path) -> None:
    """A box, and a file that is no mesh: refused with its reason, and from memory the second time."""
    meshes = tmp_path / "meshes"
    meshes.mkdir()
    (meshes / "a box.obj").write_text(CUBE)
    (meshes / "broken.glb").write_bytes(b"glTF\x02\0\0\0")
    for _ in range(2):
        found = open_objects(meshes, cache=tmp_path / "cache")
        assert found.names == ("a_box",)
        assert "no mesh" in dict(found.refused)["broken.glb"]
    keeps_the_contract(found[0])
    model = found[0].spec().compile()
    assert model.body("object").mass[0] == pytest.approx(400 * 0.04**3, rel=0.01)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no faces"),
        ("v 0 0 0\nv .1 0 0\nv 0 .1 0\nf 1 2 3\n", "flat"),
        ("v 0 0 0\nv 0 0 0\nv 0 0 0\nf 1 2 3\n", "no area"),
        (CUBE.replace("v 0.02", "v nan", 1), "finite"),
        (CUBE.replace("0.02", "20"), "metres"),
        (CUBE.replace("0.02", "0.00002"), "metres"),
    ],
)
def test_meshes_that_are_no_objects_are_refused(text: str, said: str, tmp_path) -> None:
    (tmp_path / "x.obj").write_text(text)
    with pytest.raises(ObjectError, match=said):
        read_shape(tmp_path / "x.obj")


def test_meshes_keep_their_colour(tmp_path) -> None:
    import trimesh

    ball = trimesh.creation.icosphere(radius=0.03)
    ball.visual.face_colors = [20, 150, 220, 255]  # type: ignore[union-attr]
    ball.export(tmp_path / "ball.glb")
    assert paint_of(read_shape(tmp_path / "ball.glb").pieces).plain == pytest.approx((20 / 255, 150 / 255, 220 / 255), abs=0.01)


@pytest.mark.slow
def test_what_is_hollow_stays_hollow(tmp_path) -> None:
    import trimesh

    profile = [[0, 0], [0.035, 0], [0.04, 0.09], [0.037, 0.09], [0.032, 0.003], [0, 0.003]]
    (tmp_path / "meshes").mkdir()
    trimesh.creation.revolve(profile).export(tmp_path / "meshes" / "cup.stl")
    (cup,) = open_objects(tmp_path / "meshes", cache=tmp_path / "cache")
    model = cup.spec().compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    group, geom = np.array([0, 0, 0, 1, 0, 0], np.uint8), np.empty(1, np.int32)
    depth = mujoco.mj_ray(model, data, np.array([0.005, 0.002, 0.1]), np.array([0, 0, -1.0]), group, 1, -1, geom, None)
    assert depth > 0.1 + 0.03  # the floor of the cup, not its rim
