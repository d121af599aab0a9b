"""Hostile files: each is refused by name and reason, in a process with little memory and time, and what lies beside it still loads."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile_archives import TARS, ZIPS
from hostile_child import Server
from hostile_files import Hostile, write_pack
from hostile_meshes import MESHES
from hostile_packs import PACKS

from assets.objects import open_objects


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as found:
        yield found


@pytest.mark.parametrize("hostile", [*ZIPS, *TARS], ids=str)
def test_archives(hostile: Hostile, server: Server, tmp_path: Path) -> None:
    archive, into = tmp_path / "archive", tmp_path / "a" / "b" / "into"
    into.parent.mkdir(parents=True)
    hostile.make(archive)
    before = sorted(tmp_path.rglob("*"))
    went, found = server.ask("unpack", archive, into)
    if not hostile.name:
        assert not went, found
        assert re.search(hostile.said, str(found))
        assert sorted(tmp_path.rglob("*")) == before, "it left something behind"
        return
    assert went, found
    files, refused = found  # type: ignore[misc]
    assert re.search(hostile.said, refused[hostile.name])
    assert "good/object.xml" in files
    assert sorted(str(p.relative_to(into)) for p in into.rglob("*") if p.is_file()) == sorted(files)
    assert {p for p in tmp_path.rglob("*") if not p.is_relative_to(into)} == set(before), "it wrote elsewhere"
    assert not any(p.is_symlink() for p in into.rglob("*"))
    if "good/m.obj" in files:
        assert open_objects(into).names == ("good",)


@pytest.mark.parametrize("hostile", [*MESHES, *PACKS], ids=str)
def test_folders(hostile: Hostile, server: Server, tmp_path: Path) -> None:
    """The good pack beside it loads, and the reason is one line that says what is meant."""
    folder = tmp_path / "folder"
    write_pack(folder / "good")
    hostile.make(folder)
    went, found = server.ask("open", folder, tmp_path / "cache")
    assert went, found
    names, refused = found  # type: ignore[misc]
    assert names == ["good"]
    reasons = dict(refused)
    assert re.search(hostile.said, reasons[hostile.name]), reasons
    assert all(text.isprintable() and len(text) < 400 for pair in refused for text in pair)


def command(what: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """`cezanne objects add`, in 6 GB: importing the verb takes most of the addresses."""
    return subprocess.run(
        [sys.executable, "-m", "cezanne", "objects", "add", str(what), "robots=[]", "sheet=false", "workers=1"],
        cwd=Path(__file__).resolve().parents[1],
        env=os.environ | {"CEZANNE_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30)),
    )


def test_the_command_adds_what_is_good_and_names_the_rest(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    write_pack(folder / "good")
    quick = [
        h for h in MESHES if h.name in {"four_billion.stl", "passwd.obj", "draco.glb", "doubling.glb", "pipe.obj", "zero.stl", "bomb.dae"}
    ]
    for hostile in quick:
        hostile.make(folder)
    PACKS[0].make(folder)
    done = command(folder, tmp_path)
    assert done.returncode == 0, done.stderr
    refused = json.loads(done.stdout.splitlines()[-1])["refused"]
    for hostile in (*quick, PACKS[0]):
        assert re.search(hostile.said, refused[hostile.name])
    assert len(refused) == len(quick) + 1


def test_the_command_takes_an_archive_but_not_its_traps(tmp_path: Path) -> None:
    ZIPS[0].make(tmp_path / "shapes.zip")
    done = command(tmp_path / "shapes.zip", tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["refused"] == {"../evil": "its name leads outside with '..'"}
    overlap = next(h for h in ZIPS if h.said == "overlap")
    overlap.make(tmp_path / "bomb.zip")
    done = command(tmp_path / "bomb.zip", tmp_path)
    assert done.returncode == 2
    assert "its members overlap" in done.stderr
