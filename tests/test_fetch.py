"""Fetching: one file from a server that behaves badly, and a public set from an address, a mirror and a folder."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bad_server import Page, Site, serving
from test_objects import CUBE, pack

from assets.objects import ObjectError, open_objects
from assets.objects.catalogue import find_source, sources
from assets.objects.delivery import carry
from assets.objects.download import Patience, UnreachableError, check_url, download
from assets.objects.fetch import check_mirror, fetch_object, read_pins
from assets.objects.manifest import read_manifest, sha256
from sim.shelf.config import ObjectsConfig
from sim.shelf.fetch import fetch

HASTY = Patience(attempts=3, pause=0.0, timeout=2.0)
CONTENT = np.random.default_rng(0).bytes(200_000)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "*")
    with serving() as found:
        yield found


def get(site: Site, page: Page, to: Path, *, most: int = 1 << 20, pinned: str | None = None) -> str:
    site.pages["/file"] = page
    return download(f"{site.url}/file", to, most=most, pinned=pinned, patience=HASTY)


@pytest.mark.parametrize(
    "page",
    [
        Page(CONTENT),
        Page(CONTENT, says=-1),
        Page(CONTENT, cuts=30_000),
        Page(CONTENT, cuts=30_000, healthy_after=2, ranges=False),
        Page(CONTENT, cuts=30_000, healthy_after=2, mark=""),
        Page(CONTENT, cuts=0, healthy_after=2),
        Page(CONTENT, status=503, healthy_after=2),
        Page(CONTENT, status=429, headers={"Retry-After": "0"}, healthy_after=1),
        Page(CONTENT, says=300_000, healthy_after=1),
    ],
    ids=["plain", "no length", "cut again and again", "Range ignored", "no mark", "nothing at first", "503", "429", "promises too much"],
)
def test_a_bad_connection_gives_the_same_bytes(page: Page, site: Site, tmp_path: Path) -> None:
    assert get(site, page, tmp_path / "file") == hashlib.sha256(CONTENT).hexdigest()
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [p.name for p in tmp_path.iterdir()] == ["file"], "nothing half done is left"


def test_an_interrupted_download_goes_on_where_it_was(site: Site, tmp_path: Path) -> None:
    page = site.pages["/file"] = Page(CONTENT)

    def stop(there: int, total: int | None) -> None:
        assert total == len(CONTENT)
        if there > 50_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(f"{site.url}/file", tmp_path / "file", most=1 << 20, patience=HASTY, progress=stop)
    there = (tmp_path / "file.part").stat().st_size
    assert 50_000 < there < len(CONTENT)
    assert not (tmp_path / "file").exists()
    get(site, page, tmp_path / "file")
    assert page.asked == ["", f"bytes={there}-"]
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "page",
    [Page(CONTENT, then=CONTENT[::-1], cuts=30_000, healthy_after=1), Page(CONTENT, shift=7, cuts=30_000, healthy_after=4)],
    ids=["another file by then", "another part than was asked for"],
)
def test_two_files_are_never_mixed(page: Page, site: Site, tmp_path: Path) -> None:
    if page.shift:
        page.healthy_after, page.cuts = None, None
        (tmp_path / "file.part").write_bytes(CONTENT[:30_000])
        (tmp_path / "file.part.json").write_text(json.dumps({"url": f"{site.url}/file", "mark": page.mark}))
    get(site, page, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == (page.then or CONTENT)
    assert page.asked[0] == ("bytes=30000-" if page.shift else "")


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (Page(b"", status=404), "answers 404"),
        (Page(b"", status=403), "answers 403"),
        (Page(b"", status=503), r"3 attempts in a row failed, the last: it answers 503"),
        (Page(CONTENT, cuts=0), r"3 attempts in a row failed, the last: the connection ended after 0 of 200000 bytes"),
        (Page(CONTENT, says=10 << 30, cuts=0), "holds 10240 MB; at most 1 MB"),
        (Page(bytes(3 << 20), says=-1), "holds more than 1 MB"),
        (Page(b"", status=302, headers={"Location": "http://example.org/file"}), "only https is followed"),
        (Page(b"", status=302, headers={"Location": "file:///etc/passwd"}), "not allow"),
        (Page(b"", status=302, headers={"Location": "ftp://example.org/x"}), "only https is followed"),
    ],
)
def test_what_is_wrong_is_said(page: Page, said: str, site: Site, tmp_path: Path) -> None:
    with pytest.raises(ObjectError, match=said) as caught:
        get(site, page, tmp_path / "file")
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, UnreachableError)
    assert not (tmp_path / "file").exists()


def test_other_bytes_than_were_pinned_are_refused(site: Site, tmp_path: Path) -> None:
    pin = hashlib.sha256(CONTENT).hexdigest()
    get(site, Page(CONTENT), tmp_path / "good", pinned=pin)
    for page in (Page(CONTENT[::-1]), Page(CONTENT, says=100_000)):  # others; and fewer than there are
        with pytest.raises(ObjectError, match="not those that were pinned"):
            get(site, page, tmp_path / "file", pinned=pin)
        assert not list(tmp_path.glob("file*")), "and not kept"


def test_nobody_there_is_another_matter_than_a_missing_file(site: Site, tmp_path: Path) -> None:
    with serving() as other:
        url = other.url
    with pytest.raises(UnreachableError, match="attempts in a row"):
        download(f"{url}/file", tmp_path / "file", most=1, patience=HASTY)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "https://", "http://a b/", "x", "https://host:0x/", "https://h/\n"])
def test_only_addresses_of_the_web_are_fetched_from(url: str, tmp_path: Path) -> None:
    with pytest.raises(ObjectError, match="no address"):
        check_url(url)
    with pytest.raises(ObjectError):
        check_mirror(url)


def test_the_catalogue_says_all_that_is_needed() -> None:
    for name in sources():
        source = find_source(name)
        check_url(source.base)
        assert source.base.startswith("https://")
        assert source.base.endswith("/")
        assert source.licence in source.notice
        assert all(0 < mass < 5 for mass in source.objects.values())
        assert len({source.archive_of(item) for item in source.objects}) == len(source.objects)
        assert all(set(names) <= source.objects.keys() for names in source.lists.values())
    assert len(find_source("ycb").lists["maniskill_pick_single_ycb.txt"]) == 74
    with pytest.raises(ObjectError, match="there is ycb"):
        find_source("../ycb")


# --- whole sets


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A catalogue with a set of three objects, an empty shelf, and a folder with the set's archives: the second is hostile."""
    catalogue, archives = tmp_path / "catalogue", tmp_path / "archives"
    catalogue.mkdir()
    archives.mkdir()
    said = {"name": "few", "title": "A few", "licence": "CC0", "licence_url": "https://x", "attribution": "nobody", "home": "https://x"}
    said |= {"base": "https://example.invalid/", "archive": "{name}.tgz", "mesh": "{name}/scan/textured.obj", "most_bytes": 1 << 20}
    said |= {"objects": {"box": 0.3, "evil": 0.1, "lost": 0.1}, "lists": {"list.txt": ["box"]}}
    (catalogue / "few.json").write_text(json.dumps(said))
    monkeypatch.setattr("assets.objects.catalogue._DATA", catalogue)
    monkeypatch.setenv("CEZANNE_OBJECTS", str(tmp_path / "sets"))
    monkeypatch.setenv("CEZANNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_archive(archives / "box.tgz", {"box/scan/textured.obj": CUBE})
    write_archive(archives / "evil.tgz", {"evil/scan/../../../../textured.obj": CUBE, "evil/readme": "hello"})
    return archives


def write_archive(path: Path, members: dict[str, str]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))


def config(**more: object) -> ObjectsConfig:
    return ObjectsConfig(**{"action": "fetch", "what": "few", "robots": [], "sheet": False, "workers": 1, **more})  # type: ignore[arg-type]


def test_a_set_is_fetched_and_what_cannot_be_is_named(few: Path, site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in few.iterdir():
        site.pages[f"/m/{path.name}"] = Page(path.read_bytes(), cuts=100)
    site.pages["/m/lost.tgz"] = Page(b"", status=404)
    summary = fetch(config(mirror=f"{site.url}/m"), HASTY)
    assert (summary["objects"], summary["new"]) == (1, 1)
    assert "404" in summary["refused"]["lost"]
    assert "evil" in summary["refused"]
    assert "Licence: CC0" in capsys.readouterr().err
    folder = tmp_path / "sets" / "few"
    assert (folder / "LICENCE.txt").read_text().startswith("A few")
    assert (folder / "list.txt").read_text() == "box\n"
    assert not list(tmp_path.rglob("textured.obj")), "neither here nor outside"
    assert read_pins(folder / "lock.json") == {"box.tgz": sha256(few / "box.tgz")}
    assert not (folder / ".downloads").exists()
    assert open_objects("few").names == ("box",)
    before = len(site.pages["/m/box.tgz"].asked)
    summary = fetch(config(mirror=f"{site.url}/m", only=["box"]), HASTY)
    assert (summary["objects"], summary["new"]) == (1, 0)
    assert len(site.pages["/m/box.tgz"].asked) == before, "what is there is kept"


def test_a_folder_of_archives_is_a_mirror_and_pins_hold_it(few: Path, tmp_path: Path) -> None:
    lock = tmp_path / "mine" / "few.lock"
    assert fetch(config(mirror=str(few), only=["box"], lock=str(lock)))["objects"] == 1
    pins = read_pins(lock)
    shutil.rmtree(tmp_path / "sets")
    write_archive(few / "box.tgz", {"box/scan/textured.obj": CUBE.replace("0.02", "0.03")})
    with pytest.raises(ObjectError, match=r"nothing of few.*not what was pinned"):
        fetch(config(mirror=str(few), only=["box"], lock=str(lock)))
    assert read_pins(lock) == pins
    assert not (tmp_path / "sets" / "few").exists(), "a set of nothing is no set"


def test_ready_packs_are_taken_as_they_are(few: Path, tmp_path: Path) -> None:
    packs = tmp_path / "packs"
    pack(packs / "box")
    pack(packs / "evil", extra='<include file="/etc/passwd"/>')
    (packs / "box" / "run.sh").write_text("exit 1")
    (packs / "box" / "link.obj").symlink_to("/etc/passwd")
    summary = fetch(config(mirror=str(packs)))
    assert summary["objects"] == 1
    assert "include" in summary["refused"]["evil"]
    assert "holds neither" in summary["refused"]["lost"]
    manifest = read_manifest(tmp_path / "sets" / "few")
    assert manifest is not None
    assert set(manifest.objects["box"]) == {"m.obj", "object.xml"}
    assert (tmp_path / "sets" / "few" / "box" / "object.xml").read_bytes() == (packs / "box" / "object.xml").read_bytes()


def test_a_folder_of_unpacked_archives_is_a_mirror(few: Path, tmp_path: Path) -> None:
    scan = tmp_path / "scans" / "box" / "scan"
    scan.mkdir(parents=True)
    for name, text in {"textured.obj": CUBE, "texture_map.png": "", "notes.txt": "", "other.obj": ""}.items():
        (scan / name).write_text(text)
    found = fetch_object(find_source("few"), "box", tmp_path / "work", mirror=str(tmp_path / "scans"))
    assert found.path.name == "box.obj", "it is called as the object"
    assert {p.name for p in found.path.parent.iterdir()} == {"box.obj", "texture_map.png", "other.obj"}
    assert found.pin[0] == "box/"
    with pytest.raises(ObjectError, match="not what was pinned"):
        fetch_object(find_source("few"), "box", tmp_path / "work", mirror=str(tmp_path / "scans"), pins={"box/": "0" * 64})


@pytest.mark.parametrize(("limit", "said"), [("MOST_FILES", "too much for one object"), ("MOST_BYTES", "too much for one object")])
def test_no_more_is_carried_than_an_object_needs(limit: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(f"assets.objects.delivery.{limit}", 1)
    with pytest.raises(ObjectError, match=said):
        carry(pack(tmp_path / "box"), tmp_path / "copy")


def test_where_nobody_answers_what_came_is_kept(few: Path, tmp_path: Path) -> None:
    pack(tmp_path / "packs" / "box")
    fetch(config(mirror=str(tmp_path / "packs"), only=["box"]))
    with serving() as gone:
        url = gone.url
    with pytest.raises(ObjectError, match="mirror="):
        fetch(config(mirror=url), HASTY)
    assert open_objects("few").names == ("box",)
