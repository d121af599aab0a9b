"""`cezanne objects`: folders become sets that keep what was measured of them, are found by name, and know when they were changed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import trimesh
from test_objects import CUBE, pack

from assets.errors import ObjectError
from assets.objects import find_set, find_ycb, known_sets, open_objects
from assets.objects.home import check_set_name, sets_folder
from assets.objects.manifest import checksums, digest, read_manifest
from assets.objects.meta import Grasps, Meta, Rest, read_meta, write_meta
from assets.objects.pack import open_pack
from cezanne import main
from eval.errors import EvalError
from eval.sources import open_suite, suite_names
from sim.shelf.config import ObjectsConfig
from sim.shelf.contents import look_into
from sim.shelf.measure import Job, measure, try_grasps
from sim.shelf.place import filling
from sim.shelf.rest import settle
from sim.shelf.run import run

TIPPING = (
    CUBE.replace(" 0.02\n", " 0.10\n")
    .replace("v -0.02 -0.02 -0.02", "v 0.01 -0.02 -0.02")
    .replace("v -0.02 0.02 -0.02", "v 0.01 0.02 -0.02")
)
"""A tall thing on a foot at its edge."""


@pytest.fixture(autouse=True)
def shelf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty shelf."""
    monkeypatch.setenv("CEZANNE_OBJECTS", str(tmp_path / "sets"))
    monkeypatch.setenv("CEZANNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "sets"


def objects(action: str, what: object = "", **more: object) -> dict:
    quick = {"robots": [], "sheet": False} if action == "add" else {}
    return run(ObjectsConfig(**{"action": action, "what": str(what), **quick, **more}))  # type: ignore[arg-type]


def two_packs(folder: Path) -> Path:
    for name in ("a", "b"):
        pack(folder / name)
    return folder


# --- bringing in


def test_a_folder_becomes_a_set_that_is_found_by_name_at_every_door(shelf: Path, tmp_path: Path) -> None:
    summary = objects("add", two_packs(tmp_path / "my things"), licence="CC0")
    assert (summary["set"], summary["objects"], summary["new"], summary["unsettled"]) == ("my_things", 2, 2, [])
    assert open_objects("my_things").names == ("a", "b")
    assert find_set("my_things") == shelf / "my_things"
    assert "my_things" in suite_names()
    suite = open_suite("my_things", trials=1)
    assert (suite.name, len(suite.trials)) == ("my_things", 2)
    assert [o.name for o in open_suite(suite.source, trials=1).objects] == ["a", "b"], "what the results name is found again"
    row = objects("list")["sets"]["my_things"]
    assert (row["objects"], row["licence"], row["where"], row["refused"]) == (2, "CC0", str(shelf / "my_things"), 0)


def test_a_set_lives_without_the_folder_that_it_came_from(tmp_path: Path) -> None:
    objects("add", two_packs(tmp_path / "mine"))
    shutil.rmtree(tmp_path / "mine")
    assert open_objects("mine").names == ("a", "b")
    assert objects("check", "mine")["ok"]


def test_of_a_set_and_a_folder_of_one_name_the_set_is_meant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    objects("add", two_packs(tmp_path / "mine"))
    pack(tmp_path / "mine" / "c")
    monkeypatch.chdir(tmp_path)
    assert open_objects("mine").names == ("a", "b")
    assert open_objects("./mine").names == ("a", "b", "c")


def test_adding_again_changes_what_changed(shelf: Path, tmp_path: Path) -> None:
    objects("add", two_packs(tmp_path / "mine"), licence="CC0")
    write_meta(shelf / "mine" / "a", read_meta(shelf / "mine" / "a").with_grasps("panda", Grasps(3, 2)))
    b = (shelf / "mine" / "b" / "object.xml").stat().st_mtime_ns
    (tmp_path / "mine" / "a" / "m.obj").write_text(CUBE.replace("0.02", "0.03"))
    summary = objects("add", tmp_path / "mine")
    assert (summary["objects"], summary["new"]) == (2, 1)
    assert read_meta(shelf / "mine" / "a").grasps == {}, "another shape: what was measured is worth nothing"
    assert (shelf / "mine" / "b" / "object.xml").stat().st_mtime_ns == b
    assert objects("list")["sets"]["mine"]["licence"] == "CC0"
    assert objects("add", tmp_path / "mine")["new"] == 0


def test_what_is_refused_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    folder = two_packs(tmp_path / "mine")
    pack(folder / "bad", extra='<include file="/etc/passwd"/>')
    pack(folder / "far", file="../a/m.obj")
    summary = objects("add", folder)
    assert summary["objects"] == 2
    assert "include" in summary["refused"]["bad"]
    assert "outside" in summary["refused"]["far"]
    assert objects("list")["sets"]["mine"]["refused"] == 2
    assert set(objects("check", "mine")["refused"]) == {"mine/bad", "mine/far"}


@pytest.mark.parametrize("held", [{}, {"x.txt": "hello"}, {"bad.obj": "v 0 0 nan\n"}])
def test_a_folder_of_nothing_leaves_nothing_behind(held: dict[str, str], shelf: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name, text in held.items():
        (tmp_path / "mine" / name).write_text(text)
    with pytest.raises(ObjectError, match="holds no object that can be used"):
        objects("add", tmp_path / "mine")
    assert not (shelf / "mine").exists()


def test_an_archive_is_unpacked_with_care(shelf: Path, tmp_path: Path) -> None:
    two_packs(tmp_path / "mine")
    with zipfile.ZipFile(tmp_path / "packs.v1.zip", "w") as archive:
        for path in (tmp_path / "mine").rglob("*.*"):
            archive.write(path, path.relative_to(tmp_path))
        archive.writestr("mine/../../out.obj", CUBE)
    summary = objects("add", tmp_path / "packs.v1.zip")
    assert (summary["set"], summary["objects"]) == ("packs", 2)
    assert any("leads outside" in why for why in summary["refused"].values())
    assert not list(tmp_path.rglob("out.obj"))
    assert sorted(p.name for p in shelf.joinpath("packs").iterdir() if p.name[0] != ".") == ["a", "b", "set.json"]


def test_folders_with_a_mesh_each_are_called_as_the_folder(tmp_path: Path) -> None:
    for name, files in {
        "mug": ["meshes/model.obj", "meshes/model.stl"],
        "two": ["a.obj", "b.obj"],
        "words": ["read.me"],
        ".git": ["x.obj"],
    }.items():
        for file in files:
            path = tmp_path / "in" / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(CUBE)
    (tmp_path / "in" / "two.obj").write_text(CUBE)
    (tmp_path / "in" / "away").symlink_to("/etc")
    found = look_into(tmp_path / "in", tmp_path)
    assert {item.name: item.path.name for item in found.items} == {"mug": "model.obj", "two": "two.obj"}
    assert set(found.refused) == {"two"}
    assert "2 meshes" in found.refused["two"]


def test_two_do_not_fill_one_set(shelf: Path, tmp_path: Path) -> None:
    words = ["objects", "add", str(two_packs(tmp_path / "mine")), "robots=[]", "sheet=false"]
    with filling(shelf / "mine"):
        other = subprocess.run([sys.executable, "-m", "cezanne", *words], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert other.returncode == 2
    assert "another `cezanne objects` is filling" in other.stderr
    assert objects("add", tmp_path / "mine")["objects"] == 2


@pytest.mark.parametrize("name", ["household", "ycb", "toys", "../x", "a/b", ".hidden", "", "x" * 81])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(ObjectError, match="cannot be called"):
        check_set_name(name)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"action": "lst"}, "list, fetch, add, check"),
        ({"action": "list", "what": "x"}, "takes no name"),
        ({"action": "add"}, "which folder"),
        ({"action": "fetch"}, "can be fetched"),
        ({"action": "fetch", "what": "ycb", "only": ["mug"]}, "no object 'mug'"),
        ({"action": "fetch", "what": "ycb", "mirror": "nowhere"}, "neither a folder nor an address"),
        ({"action": "add", "what": ".", "mirror": "x"}, "belongs to cezanne objects fetch"),
        ({"action": "add", "what": ".", "grasps": 0}, "at least"),
        ({"action": "add", "what": ".", "name": "a b"}, "cannot be called"),
    ],
)
def test_what_cannot_be_asked_for(given: dict, said: str) -> None:
    with pytest.raises(ObjectError, match=said):
        ObjectsConfig(**given)


# --- where sets are


def test_where_sets_are_kept(monkeypatch: pytest.MonkeyPatch, shelf: Path, tmp_path: Path) -> None:
    assert sets_folder() == shelf
    monkeypatch.setenv("CEZANNE_OBJECTS", str(two_packs(tmp_path / "some")))
    assert sets_folder() == tmp_path / "cache" / "sets", "a set is no place for sets"
    assert known_sets() == {"some": tmp_path / "some"}
    assert find_ycb() == tmp_path / "some"
    (tmp_path / "file").touch()
    monkeypatch.setenv("CEZANNE_OBJECTS", str(tmp_path / "file" / "sets"))
    assert sets_folder() == tmp_path / "cache" / "sets"
    monkeypatch.delenv("CEZANNE_OBJECTS")
    assert sets_folder() == tmp_path / "cache" / "sets"
    two_packs(tmp_path / "cache" / "sets" / "ycb")
    assert find_ycb() == tmp_path / "cache" / "sets" / "ycb", "what the user fetched comes first"


def test_a_name_that_is_unknown_names_those_that_are_known(tmp_path: Path) -> None:
    objects("add", two_packs(tmp_path / "mine"))
    with pytest.raises(ObjectError, match="'mine'"):
        open_objects("yours")
    with pytest.raises(ObjectError, match="mine"):
        objects("check", "yours")
    with pytest.raises(ObjectError, match="fetch ycb"):
        open_objects("ycb")
    with pytest.raises(EvalError, match="mine"):
        open_suite("yours", trials=1)


# --- checking


def test_a_check_names_what_changed(shelf: Path, tmp_path: Path) -> None:
    folder = two_packs(tmp_path / "mine")
    for name in ("c", "d"):
        pack(folder / name)
    objects("add", folder)
    whole = objects("check", "mine")
    assert (whole["ok"], whole["objects"], whole["broken"], whole["changed"]) == (True, 4, [], {})
    mine = shelf / "mine"
    with (mine / "a" / "m.obj").open("a") as file:
        file.write("# and more\n")
    shutil.rmtree(mine / "b")
    (mine / "c" / "extra.png").write_bytes(b"")
    write_meta(mine / "d", Meta(read_meta(mine / "d").of, Rest((0.0, 0.0, 0.1), (1.0, 0.0, 0.0, 0.0), True)))
    pack(mine / "e")
    found = objects("check", "mine")
    assert (found["ok"], found["objects"]) == (False, 2)
    assert found["broken"] == ["mine/a", "mine/b", "mine/c"]
    assert found["reasons"] == {"mine/a": "changed: m.obj", "mine/b": "its folder is missing", "mine/c": "new: extra.png"}
    assert set(found["changed"]) == {"mine/d", "mine/e"}
    assert "100.0 mm before" in found["changed"]["mine/d"]
    assert objects("add", folder)["objects"] == 4, "adding it again mends it"
    assert "mine/e" in objects("check")["changed"]


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 9}', '{"format": 1, "objects": {"a": 1}}', "[" * 100_000, "\xff"])
def test_a_broken_list_is_said_and_not_believed(text: str, shelf: Path, tmp_path: Path) -> None:
    objects("add", two_packs(tmp_path / "mine"))
    (shelf / "mine" / "set.json").write_text(text, encoding="latin-1")
    found = objects("check", "mine")
    assert not found["ok"]
    assert found["broken"] == ["mine"]
    assert objects("list")["sets"]["mine"]["note"]
    assert open_objects("mine").names == ("a", "b")


def test_the_command_line(tmp_path: Path, shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["objects", "add", str(two_packs(tmp_path / "mine")), "robots=[]", "sheet=false"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["objects"] == 2
    assert main(["objects"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert any(line.split()[:2] == ["mine", "2"] for line in table[:-1])
    assert "household" in json.loads(table[-1])["sets"]
    shutil.rmtree(shelf / "mine" / "a")
    assert main(["objects", "check", "mine"]) == 1
    assert main(["objects", "check", "nothing"]) == 2
    assert main(["objects", "add", str(tmp_path / "nothing")]) == 2


# --- measuring


def test_how_a_thing_comes_to_rest(tmp_path: Path) -> None:
    cube = settle(open_pack(pack(tmp_path / "cube")))
    assert cube.settled
    assert cube.pos == pytest.approx((0, 0, 0.02), abs=5e-4)
    assert cube.quat == pytest.approx((1, 0, 0, 0), abs=1e-3)
    folder = pack(tmp_path / "tipping")
    (folder / "m.obj").write_text(TIPPING)
    tipped = settle(open_pack(folder))
    assert tipped.settled
    assert tipped.pos[2] < 0.04
    assert abs(tipped.quat[0]) < 0.9
    assert settle(open_pack(folder)) == tipped


def test_grasps_are_tried_and_tell_what_fits_the_jaw(tmp_path: Path) -> None:
    fits = open_pack(pack(tmp_path / "fits"))
    ball = pack(tmp_path / "ball")
    trimesh.creation.icosphere(radius=0.07).export(ball / "m.obj")
    found = try_grasps(fits, "panda", grasps=2, poses=1)
    assert found == Grasps(2, 2)
    assert found == try_grasps(fits, "panda", grasps=2, poses=1)
    assert try_grasps(open_pack(ball), "panda", grasps=2, poses=1).held == 0


def test_nothing_is_measured_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = pack(tmp_path / "cube")
    job = Job(folder, digest(checksums(folder)), ("panda",), 1, 1)
    assert not job.done
    write_meta(folder, measure(job))
    assert job.done
    monkeypatch.setattr("sim.shelf.measure.try_grasps", None)
    monkeypatch.setattr("sim.shelf.measure.settle", None)
    assert measure(job) == read_meta(folder)
    assert not Job(folder, "another", ("panda",), 1, 1).done
    assert not Job(folder, job.digest, ("panda", "ur5e_robotiq"), 1, 1).done


def test_measurements_are_kept_beside_what_others_wrote(tmp_path: Path) -> None:
    meta = Meta("digest", Rest((0.0, 0.1, 0.2), (0.6, 0.8, 0.0, 0.0), False), {"panda": Grasps(4, 3)})
    (tmp_path / "meta.json").write_text('{"name": "theirs"}')
    write_meta(tmp_path, meta)
    assert read_meta(tmp_path) == meta
    assert json.loads((tmp_path / "meta.json").read_text())["name"] == "theirs"
    assert read_meta(tmp_path).valid_for("other") == Meta("other")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"rest_pos": [0, 0, NaN], "rest_quat": [1, 0, 0, 0]}',
        '{"rest_pos": [0, 0, 0], "rest_quat": [0, 0, 0, 0], "grasps": {"panda": {"tried": 1, "held": 2}}}',
        '{"grasps": {"panda": {"tried": true, "held": -1}}, "measured_of": 7}',
        '{"grasps": 1, "rest_pos": "abc", "rest_quat": {}}',
    ],
)
def test_measurements_that_cannot_be_are_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text(text)
    assert read_meta(tmp_path) == Meta()


@pytest.mark.slow
def test_meshes_are_made_measured_and_drawn(shelf: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "box.obj").write_text(CUBE)
    summary = run(ObjectsConfig("add", str(tmp_path / "in"), name="drawn", grasps=1, poses=1, workers=2))
    assert summary["graspable"] == {"panda": 1}
    assert Path(summary["sheet"]).read_bytes()[:4] == b"\x89PNG"
    manifest = read_manifest(shelf / "drawn")
    assert manifest is not None
    assert read_meta(shelf / "drawn" / "box").of == digest(manifest.objects["box"])
    row = objects("list")["sets"]["drawn"]
    assert (row["graspable"], row["measured"]) == ({"panda": 1}, {"panda": 1})
