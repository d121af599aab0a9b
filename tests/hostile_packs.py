"""Packs that nobody should compile. Each is made in a folder where a harmless pack lies too."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from hostile_files import BODY, CUBE, PACK, Hostile, write_pack
from hostile_pictures import chunk, jpeg, plain, png, png_of_many_pixels, wrong_sum

LAUGHS = '<!DOCTYPE m [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {b} "{"".join(f"&{a};" for _ in range(10))}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)
QUADRATIC = f'<!DOCTYPE m [<!ENTITY a "{"x" * 50_000}">]>'
OUTER = '<!DOCTYPE m [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
PARAMETER = '<!DOCTYPE m [<!ENTITY % a SYSTEM "file:///etc/passwd"> %a;]>'


def pack(said: str, xml: str | bytes) -> Hostile:
    """One with this description."""
    return Hostile("bad", said, lambda folder: write_pack(folder / "bad", xml))


def inside(said: str, extra: str) -> Hostile:
    """One with this in front of what a pack holds."""
    return pack(said, f'<mujoco model="x">{extra}{BODY}</mujoco>')


def meshed(said: str, name: str, data: bytes | Callable[[], bytes]) -> Hostile:
    """One with another mesh."""

    def make(folder: Path) -> None:
        bad = write_pack(folder / "bad", PACK.replace('file="m.obj"', f'file="{name}"'))
        (bad / name).write_bytes(data() if callable(data) else data)

    return Hostile("bad", said, make)


def painted(said: str, data: bytes | Callable[[], bytes], copies: int = 1) -> Hostile:
    """One with this picture, so many times."""

    def make(folder: Path) -> None:
        textures = "".join(f'<texture name="t{k}" type="2d" file="t{k}.png"/>' for k in range(copies))
        bad = write_pack(folder / "bad", f'<mujoco model="x"><asset>{textures}</asset>{BODY}</mujoco>')
        for k in range(copies):
            (bad / f"t{k}.png").write_bytes(data() if callable(data) else data)

    return Hostile("bad", said, make)


def include_circle(folder: Path) -> None:
    bad = write_pack(folder / "bad", PACK.replace("<asset>", '<include file="other.xml"/><asset>'))
    (bad / "other.xml").write_text('<mujoco><include file="object.xml"/></mujoco>')


def linked(where: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        bad = write_pack(folder / "bad")
        (bad / "m.obj").unlink()
        (bad / "m.obj").symlink_to(where)

    return make


def described_by(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """With something else in place of the description."""

    def made(folder: Path) -> None:
        bad = write_pack(folder / "bad")
        (bad / "object.xml").unlink()
        make(bad / "object.xml")

    return made


def asset(element: str) -> str:
    return f"<asset>{element}</asset>"


def folder_named(name: str) -> Callable[[Path], object]:
    return lambda folder: write_pack(folder / name)


PACKS = [
    pack("document type or entities", LAUGHS + "]>" + PACK.replace("<asset>", "&j;<asset>")),
    pack("document type or entities", QUADRATIC + PACK.replace("<asset>", "&a;" * 20_000 + "<asset>")),
    pack("document type or entities", OUTER + PACK.replace("<asset>", "&a;<asset>")),
    pack("document type or entities", PARAMETER + PACK),
    pack("document type or entities", '<!DOCTYPE mujoco SYSTEM "http://127.0.0.1/x.dtd">' + PACK),
    pack("document type or entities", ('<?xml version="1.0" encoding="UTF-16"?>' + OUTER + PACK).encode("utf-16")),
    pack("no XML", b'<?xml version="1.0" encoding="UTF-7"?>+ADw-mujoco/+AD4-'),
    pack("no XML", PACK[:-5]),
    pack("no XML", b"\xff\xfe\xfd" * 100),
    pack("no XML", PACK.replace("<asset>", "&undeclared;<asset>")),
    pack("nests more than 64", "<mujoco>" + "<body>" * 100_000 + "</body>" * 50_000),
    pack("more than 50000 elements", "<mujoco>" + "<a/>" * 200_000 + "</mujoco>"),
    pack("100 attributes", PACK.replace("<asset>", f"<asset {' '.join(f'a{k}="1"' for k in range(100))}>")),
    pack("an attribute of 500000 letters", PACK.replace("<asset>", f'<asset name="{"1" * 500_000}">')),
    pack("holds 2 MB", PACK + " " * (2 << 20)),
    pack("not <mujoco>", "<robot/>"),
    inside("<include>", '<include file="object.xml"/>'),
    inside("<include>|<xi:include>", '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="/etc/passwd" parse="text"/>'),
    Hostile("bad", "<include>", include_circle),
    inside("<extension>", '<extension><plugin plugin="mujoco.sdf.bolt"/></extension>'),
    inside("outside its folder", '<compiler meshdir="../../"/>'),
    inside("outside its folder", '<compiler assetdir="/etc"/>'),
    inside("strippath", '<compiler strippath="true"/>'),
    inside("outside its folder", asset('<mesh name="n" file="/etc/passwd"/>')),
    inside("outside its folder", asset('<mesh name="n" file="..\\..\\secret.obj"/>')),
    inside("outside its folder", asset('<mesh name="n" file="file:///etc/passwd"/>')),
    inside("outside its folder|is one of", asset('<mesh name="n" file="m.obj&#0;.stl"/>').replace("&#0;", "/../../")),
    inside("<hfield>", asset('<hfield name="h" nrow="1000000000" ncol="1000000000" size="1 1 1 1"/>')),
    inside("gridsize", asset('<texture name="t" type="cube" gridsize="100000 100000" file="t.png"/>')),
    inside("builtin", asset('<texture name="t" type="2d" builtin="flat" width="100000" height="100000"/>')),
    inside("<model>|outside", asset('<model name="n" file="object.xml"/>')),
    inside("that is no number", asset('<mesh name="n" file="m.obj" scale="nan 1 1"/>')),
    inside("that is no number", '<compiler settotalmass="1e999"/>'),
    inside(
        "metres|cannot|small|large|Error", asset('<mesh name="n" file="m.obj"/>') + '<default><mesh scale="1e200 1e200 1e200"/></default>'
    ),
    pack("<replicate>", PACK.replace("</body>", '<replicate count="1000000000"><geom size="1"/></replicate></body>')),
    pack("<composite>|<flexcomp>", PACK.replace("</body>", '<flexcomp type="grid" count="9999 9999 9999" name="f"/></body>')),
    pack("more than 256 geoms", PACK.replace("</body>", '<geom size=".01"/>' * 1000 + "</body>")),
    Hostile("bad", "outside its folder", linked("/etc/passwd")),
    Hostile("bad", "outside its folder|cannot be read", linked("m.obj")),
    Hostile("bad", "cannot be read", linked("gone.obj")),
    Hostile("bad", "is no file but a pipe", described_by(lambda path: os.mkfifo(path))),
    Hostile("bad", "is no file but a folder", described_by(lambda path: path.mkdir())),
    Hostile("bad", "is no file but a device", described_by(lambda path: path.symlink_to("/dev/zero"))),
    Hostile("bad", "cannot be read", described_by(lambda path: path.symlink_to("gone.xml"))),
    Hostile(
        "bad", "is no file but a pipe", lambda f: (write_pack(f / "bad", PACK.replace("m.obj", "p.obj")), os.mkfifo(f / "bad" / "p.obj"))
    ),
    Hostile(r"b\nad", "the character", folder_named("b\nad")),
    Hostile("b ad", "not safe in file names", folder_named("b ad")),
    Hostile("-rf", "not safe in file names", folder_named("-rf")),
    meshed("'n.obj': .*99", "n.obj", (CUBE + "f 1 2 99\n").encode()),
    meshed("'n.msh': its header promises", "n.msh", struct.pack("<4i", 10**8, 0, 0, 10)),
    meshed("'n.msh': it says -1", "n.msh", struct.pack("<4i", -1, 0, 0, 10) + bytes(64)),
    meshed("'n.stl': it says 4294967295", "n.stl", bytes(80) + b"\xff" * 4),
    meshed("holds 20 MB", "n.obj", lambda: CUBE.encode() * (1 + (20 << 20) // len(CUBE))),
    meshed("Error|coplanar|volume", "n.obj", b"v 0 0 0\nv 0 0 0\nv 0 0 0\nv 0 0 0\nf 1 2 3\nf 2 3 4\n"),
    painted("40000 x 40000", lambda: png_of_many_pixels(40_000)),
    painted("unpacks to more than the 4 bytes", lambda: png(1, 1, bytes(200 << 20))),
    painted("no PNG of", b"GIF89a" + bytes(1000)),
    painted("no PNG of .* but a JPEG", jpeg(64, 64)),
    painted("no PNG of", b"<svg xmlns='http://www.w3.org/2000/svg' width='64' height='64'/>"),
    painted("a film, not a picture", lambda: plain(8, 8, chunk(b"acTL", struct.pack(">II", 10**6, 0)))),
    painted("cut short", lambda: plain(64, 64)[:-40]),
    painted("cut short: it holds 4 of the", lambda: png(64, 64, bytes(4))),
    painted("a kind that there is not", lambda: png(8, 8, bytes(1000), depth=3)),
    painted("checksum of 'IHDR'", lambda: wrong_sum(plain(8, 8))),
    painted("a note that unpacks", lambda: plain(8, 8, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100 << 20))))),
    painted("0 x 8", lambda: png(0, 8, b"")),
    painted("million pixels together", lambda: png(4096, 4096, bytes(513 * 4096), depth=1, colour=0), copies=9),
]
