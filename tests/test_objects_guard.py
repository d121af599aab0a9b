"""The guard: what is harmless passes unchanged, and whatever the bytes are, it is ObjectError that says no."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hostile_files import CUBE, PACK
from hostile_meshes import tetrahedron
from hostile_pictures import jpeg
from PIL import Image
from trimesh.exchange.gltf import export_gltf
from trimesh.exchange.ply import export_ply
from trimesh.exchange.stl import export_stl_ascii

from assets.objects import ObjectError
from assets.objects.guard import Limits, check_markup, check_mesh, check_picture, survey, unpack

SPHERE = trimesh.creation.icosphere(subdivisions=2, radius=0.04)
BOX = trimesh.creation.box((0.05, 0.04, 0.03))


def exported(kind: str) -> bytes:
    """The sphere as trimesh writes it."""
    if kind == "gltf":
        return export_gltf(trimesh.Scene(SPHERE), embed_buffers=True)["model.gltf"]
    if kind == "textstl":
        return export_stl_ascii(SPHERE).encode()
    data = export_ply(SPHERE, encoding="ascii") if kind == "textply" else SPHERE.export(file_type=kind)
    return data.encode() if isinstance(data, str) else bytes(data)  # type: ignore[arg-type]


def refuses(check: Callable[..., object], *paths: Path) -> bool:
    """Whether it says no, in one line; any other error fails the test."""
    try:
        check(*paths)
    except ObjectError as error:
        reason = str(error)
    else:
        return False
    assert reason.isprintable()
    return True


KINDS = ("glb", "gltf", "obj", "off", "ply", "stl", "textply", "textstl")


@pytest.fixture(params=KINDS)
def mesh(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"sphere.{request.param.removeprefix('text')}"
    path.write_bytes(exported(request.param))
    return path


def test_meshes_that_are_in_order_pass(mesh: Path) -> None:
    check_mesh(mesh)
    check_mesh(mesh, faces=len(SPHERE.faces), size=mesh.stat().st_size)


def test_limits_are_exact(mesh: Path) -> None:
    with pytest.raises(ObjectError, match=r"faces|says \d+ of"):
        check_mesh(mesh, faces=len(SPHERE.faces) - 1)
    with pytest.raises(ObjectError, match="at most"):
        check_mesh(mesh, size=mesh.stat().st_size - 1)


def test_a_mesh_cut_short_anywhere_is_refused(mesh: Path) -> None:
    """Text may end where it likes between two faces: OBJ does not say how many there are."""
    data = mesh.read_bytes()
    for end in range(0, len(data) - 100, max(1, len(data) // 40)):
        mesh.write_bytes(data[:end])
        if mesh.suffix == ".obj" and data[:end].count(b"\nf ") > 1:
            continue
        with pytest.raises(ObjectError):
            check_mesh(mesh)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of trimesh, for what it cannot read
def test_damaged_meshes_never_raise_anything_else(mesh: Path) -> None:
    """Where a damaged file passes, a reader finds finite vertices, and faces of them."""
    rng = np.random.default_rng(0)
    data, passed = mesh.read_bytes(), 0
    for _ in range(150):
        harmed = bytearray(data)
        for at in rng.integers(0, len(data) if rng.random() < 0.5 else min(len(data), 600), rng.integers(1, 8)):
            harmed[at] = rng.choice(np.frombuffer(b"\0\xff\x7f\x80\x01-0919 \n/,[]{}", np.uint8))
        mesh.write_bytes(harmed)
        if refuses(check_mesh, mesh):
            continue
        passed += 1
        try:
            scene = trimesh.load_scene(io.BytesIO(harmed), file_type=mesh.suffix[1:], process=False)
        except Exception:  # the reader may be stricter
            continue
        for piece in scene.geometry.values():
            if isinstance(piece, trimesh.Trimesh) and len(piece.faces) and np.isfinite(piece.vertices).all():
                assert len(piece.faces) <= 4 * len(SPHERE.faces)
                assert piece.faces.max() < len(piece.vertices)
    assert passed < 150


def test_negative_indices_and_continued_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.obj"
    path.write_text(CUBE + "f -1/1/1 -2/2/2 \\\n -8/3/3\nf\t1//1\t2//1\t3//1 \r\n")
    check_mesh(path)


def archives() -> dict[str, Callable[[Path, dict[str, bytes]], None]]:
    def zipped(method: int) -> Callable[[Path, dict[str, bytes]], None]:
        def make(path: Path, files: dict[str, bytes]) -> None:
            with zipfile.ZipFile(path, "w", method) as archive:
                archive.mkdir("folder")
                for name, data in files.items():
                    archive.writestr(name, data)

        return make

    def tarred(mode: str, form: int) -> Callable[[Path, dict[str, bytes]], None]:
        def make(path: Path, files: dict[str, bytes]) -> None:
            with tarfile.open(path, mode, format=form) as archive:  # type: ignore[call-overload]
                for name in ("./", "./folder"):
                    folder = tarfile.TarInfo(name)
                    folder.type = tarfile.DIRTYPE
                    archive.addfile(folder)
                for name, data in files.items():
                    member = tarfile.TarInfo("./" + name)
                    member.size, member.mode = len(data), 0o4777
                    archive.addfile(member, io.BytesIO(data))

        return make

    forms = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
    found = {"stored.zip": zipped(zipfile.ZIP_STORED), "deflated.zip": zipped(zipfile.ZIP_DEFLATED)}
    found |= {
        f"{name}.tar{packing}": tarred("w" + packing.replace(".", ":"), form) for name, form in forms.items() for packing in ("", ".gz")
    }
    return found | {f"pax.tar.{p}": tarred(f"w:{p}", tarfile.PAX_FORMAT) for p in ("bz2", "xz")}


@pytest.mark.parametrize("kind", archives())
def test_what_is_packed_is_what_is_unpacked(kind: str, tmp_path: Path) -> None:
    """Also with names of more than 100 letters, of other alphabets, and files of no bytes, of one block, and of many."""
    rng = np.random.default_rng(1)
    files = {f"folder/{n}": rng.bytes(n) for n in (0, 1, 511, 512, 513, 70_000, 200_000)}
    files |= {"a/" * 6 + "n" * 90: b"long", "größe/カップ.obj": CUBE.encode(), "zeros": bytes(900_000)}
    archives()[kind](tmp_path / kind, files)
    found = unpack(tmp_path / kind, tmp_path / "into")
    assert not found.refused
    assert {str(f.relative_to(tmp_path / "into")): f.read_bytes() for f in found.files} == files
    assert all(f.stat().st_mode & 0o7777 == 0o644 & ~_umask() for f in found.files)


@pytest.mark.parametrize("kind", archives())
def test_damaged_archives_never_raise_anything_else(kind: str, tmp_path: Path) -> None:
    archives()[kind](tmp_path / kind, {"a/object.xml": PACK.encode(), "a/m.obj": CUBE.encode() * 20})
    data = (tmp_path / kind).read_bytes()
    rng = np.random.default_rng(2)
    for k in range(60):
        harmed = bytearray(data[: rng.integers(1, len(data))] if k % 4 == 0 else data)
        for at in rng.integers(0, len(harmed), rng.integers(0, 6)):
            harmed[at] = rng.integers(256)
        (tmp_path / kind).write_bytes(harmed)
        into = tmp_path / f"into{k}"
        if refuses(unpack, tmp_path / kind, into):
            assert not into.exists()
        else:
            assert any(f.is_file() for f in into.rglob("*"))
    assert {p.name for p in tmp_path.iterdir()} <= {kind, *(f"into{k}" for k in range(60))}


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(archive=100), "at most 100 bytes are read"),
        (Limits(total=5000), "it unpacks to 5800 bytes|unpacks to more"),
        (Limits(members=3), "members; at most 3|more than 3 members"),
    ],
)
@pytest.mark.parametrize("kind", ["deflated.zip", "pax.tar"])
def test_limits_of_the_whole(kind: str, limits: Limits, said: str, tmp_path: Path) -> None:
    archives()[kind](tmp_path / kind, {f"{k}": bytes(range(256))[:100] * 10 for k in range(5)} | {"x": bytes(800)})
    with pytest.raises(ObjectError, match=said):
        unpack(tmp_path / kind, tmp_path / "into", limits)
    assert not (tmp_path / "into").exists()


@pytest.mark.parametrize("kind", ["deflated.zip", "pax.tar"])
def test_limits_of_a_member_leave_the_others(kind: str, tmp_path: Path) -> None:
    archives()[kind](tmp_path / kind, {"small": b"x", "large": bytes(2000), "a/b/c/d": b"deep"})
    found = unpack(tmp_path / kind, tmp_path / "into", Limits(file=1000, depth=3))
    assert [f.name for f in found.files] == ["small"]
    assert {name.removeprefix("./"): why.split(";")[0] for name, why in found.refused.items()} == {
        "large": "it unpacks to 2000 bytes",
        "a/b/c/d": "it lies 4 folders deep",
    }


def test_nothing_is_unpacked_over_what_is_there(tmp_path: Path) -> None:
    archives()["stored.zip"](tmp_path / "a.zip", {"x": b"1"})
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("mine")
    (tmp_path / "empty").mkdir()
    for name in ("link", "full", "a.zip"):
        with pytest.raises(ObjectError, match="there already"):
            unpack(tmp_path / "a.zip", tmp_path / name)
    assert (tmp_path / "full" / "x").read_text() == "mine"
    assert not any((tmp_path / "elsewhere").iterdir())
    assert unpack(tmp_path / "a.zip", tmp_path / "empty").files == (tmp_path / "empty" / "x",)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_pictures_that_are_in_order_pass(mode: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    picture = Image.fromarray(rng.integers(0, 255, (37, 53), np.uint8)).convert(mode)
    picture.save(tmp_path / "a.png")
    check_picture(tmp_path / "a.png", side=53)
    with pytest.raises(ObjectError, match="at most 52 pixels a side: it says 53 x 37"):
        check_picture(tmp_path / "a.png", side=52)
    if mode in ("L", "RGB"):
        for progressive in (False, True):
            picture.save(tmp_path / "a.jpg", progressive=progressive, icc_profile=bytes(100_000))
            check_picture(tmp_path / "a.jpg", side=53)
            with pytest.raises(ObjectError, match="it says 53 x 37"):
                check_picture(tmp_path / "a.jpg", side=52)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_pictures_cut_short_or_damaged(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    with io.BytesIO() as file:
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(file, kind)
        data = file.getvalue()
    path = tmp_path / "a"
    for end in range(0, len(data) - 1, 97):
        path.write_bytes(data[:end])
        with pytest.raises(ObjectError):
            check_picture(path)
    for _ in range(300):
        harmed = bytearray(data)
        for at in rng.integers(0, 200, rng.integers(1, 5)):
            harmed[at] = rng.integers(256)
        path.write_bytes(harmed)
        refuses(check_picture, path)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (jpeg(65_500, 65_500), "65500 x 65500"),
        (jpeg(64, 64, frames=2), "its size twice"),
        (jpeg(64, 64, scans=500), "more than 64 scans"),
        (jpeg(64, 64, end=b""), "no end"),
        (jpeg(64, 64, scans=0), "without a picture"),
        (jpeg(64, 64, end=b"\xff\xdc\0\4\xff\xff\xff\xd9"), "its height afterwards"),
        (jpeg(64, 0), "64 x 0|it says 64"),
        (b"BM" + bytes(100), "no PNG or JPEG"),
        (b"", "no PNG or JPEG"),
    ],
)
def test_hostile_jpegs(data: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(ObjectError, match=said):
        check_picture(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<robot><link><visual><geometry><mesh filename='package://x/../../etc/passwd'/></geometry></visual></link></robot>", "outside"),
        ("<robot><link><visual><geometry><mesh filename='/etc/passwd'/></geometry></visual></link></robot>", "outside"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><COLLADA>&b;</COLLADA>", "entities"),
        ("<X3D><Scene><Inline url='http://127.0.0.1/x.x3d'/></Scene></X3D>", "outside"),
        ("<a:b xmlns:a='x'><a:include href='a.xml'/></a:b>", "<include>"),
    ],
)
def test_markup_of_other_kinds(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ObjectError, match=said):
        check_markup(text.encode(), tmp_path / "a.urdf")


def test_markup_that_is_in_order_is_read_as_it_is(tmp_path: Path) -> None:
    text = "<!-- a < b --><robot name='x'><link><visual><mesh filename='meshes/a.stl' scale='1 1 1'/></visual></link></robot>"
    root = check_markup(text.encode(), tmp_path / "a.urdf")
    assert (root.tag, root.attrib) == ("robot", {"name": "x"})
    assert [e.attrib for e in root.iter("mesh")] == [{"filename": "meshes/a.stl", "scale": "1 1 1"}]
    assert check_markup(text.encode("utf-16"), tmp_path / "a.urdf").attrib == root.attrib


def test_a_survey_opens_nothing(tmp_path: Path) -> None:
    for name in ("a.obj", "a.dae", "b.dae", "c.STL", "notes.txt", ".hidden"):
        (tmp_path / name).write_bytes(b"\xff")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "object.xml").mkdir()
    (tmp_path / "other").mkdir()
    found = survey(tmp_path, (".obj", ".stl"))
    assert [p.name for p in found.packs] == ["pack"]
    assert [p.name for p in found.meshes] == ["a.obj", "c.STL"]
    assert found.refused == (("b.dae", ".dae is not read: convert it to .obj or .stl"),)


def test_glb_of_one_tetrahedron(tmp_path: Path) -> None:
    """What the hostile ones are made from is harmless itself."""
    (tmp_path / "a.glb").write_bytes(tetrahedron())
    check_mesh(tmp_path / "a.glb", faces=4)
