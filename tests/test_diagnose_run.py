"""`cezanne diagnose` on small data sets: what it writes, what it says, what it refuses."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from episode_samples import make_episode, make_info

import augment.diagnose.run as diagnosis
from augment.diagnose.run import DiagnoseConfig, run
from augment.errors import AugmentError
from episodes import DatasetWriter, StoreError
from sim.camera import SIDE, described, rotated

SIZES = {"side": (32, 32)}
KEYS = [
    "subdatasets", "episodes", "camera", "features", "estimator", "samples", "temperature", "diversity", "disparity", "fragmentation",
    "worst", "depending", "verdict", "notes", "report", "seconds", "seconds_after_features", "ok",
]  # fmt: skip
EVIL = "<script>alert('a')</script>"


def write(folder: Path, degrees: list[float], objects: list[str], seed: int = 0, **info: Any) -> str:
    """A data set whose episodes are seen from these angles and are of these objects."""
    cameras = {name: described(rotated(SIDE, 0.0), 32) for name in SIZES}
    episodes = []
    for k, (turn, name) in enumerate(zip(degrees, objects, strict=True)):
        said = {"object": name, "grasp": {"pos": [0.5, 0.0, 0.02]}, "cameras": {"side": asdict(described(rotated(SIDE, turn), 32))}}
        frame = np.clip(np.random.default_rng(seed + k).normal(128 + 4 * turn, 8, (3, 32, 32, 3)), 0, 255).astype(np.uint8)
        given = {"images": {"side": frame}, "provenance": said, "instruction": f"pick up the {name}"}
        episodes.append(make_episode(seed + k, steps=3, sizes=SIZES, qpos=np.zeros((3, 7), np.float32), **given))
    DatasetWriter(folder, make_info(SIZES, **{"cameras": cameras, **info})).write("shard", episodes)
    return str(folder)


def config(out: Path, *data: str, **changes: Any) -> DiagnoseConfig:
    return DiagnoseConfig(**{"data": list(data), "out": str(out), "permutations": 199, **changes})


@pytest.fixture(scope="module")
def islands(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("data")
    return write(folder / "left", [10.0] * 12, ["can"] * 12), write(folder / EVIL.replace("/", "-"), [-10.0] * 12, [EVIL] * 12, seed=50)


@pytest.fixture(scope="module")
def made(islands: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """Summary and page of two islands."""
    summary = run(config(tmp_path_factory.mktemp("out") / "report", *islands))
    return summary, Path(summary["report"]).read_text(encoding="utf-8")


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time, and these tests do not look."""
    monkeypatch.setattr(diagnosis, "render", lambda _: "<!doctype html>")


def test_islands_are_named_and_the_summary_keeps_its_keys(made: tuple[dict[str, Any], str], islands: tuple[str, str]) -> None:
    summary, page = made
    assert list(summary) == KEYS
    assert json.loads((Path(summary["report"]).parent / "summary.json").read_text()) == summary
    assert summary["worst"]["v"] == "camera angle"
    assert summary["worst"]["nmi"] == 1
    assert summary["fragmentation"] > 1
    assert summary["subdatasets"] == [Path(folder).name for folder in islands]
    assert summary["ok"]
    assert "off the camera" in summary["verdict"]
    assert "chain=[viewpoint]" in page


def test_factors_are_written_for_every_episode(made: tuple[dict[str, Any], str]) -> None:
    rows = (Path(made[0]["report"]).parent / "factors.csv").read_text().splitlines()
    assert len(rows) == 1 + made[0]["episodes"]
    assert rows[0].startswith("sub-dataset of the episode,instruction,object,")
    assert not list(Path(made[0]["report"]).parent.glob(".*"))


def test_the_page_stands_alone_and_is_well_formed(made: tuple[dict[str, Any], str]) -> None:
    page = made[1]
    linked = [url for url in re.findall(r"""(?:href|src)\s*=\s*["']([^"']*)""", page) if not url.startswith(("data:", "#"))]
    assert linked == []
    assert "@import" not in page
    assert "url(http" not in page
    depth: list[str] = []

    class Nesting(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in {"meta", "link", "img", "br", "hr", "input", "col"}:
                depth.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert depth.pop() == tag

        def handle_startendtag(self, tag: str, attrs: object) -> None: ...

    Nesting().feed(page)
    assert depth == []


def test_names_cannot_run(made: tuple[dict[str, Any], str]) -> None:
    assert "<script" not in made[1]
    assert "&lt;script&gt;" in made[1]


def test_the_same_seed_makes_the_same_page(islands: tuple[str, str], made: tuple[dict[str, Any], str], tmp_path: Path) -> None:
    again = Path(run(config(tmp_path / "report", *islands))["report"]).read_text(encoding="utf-8")
    out = re.compile(r" out=\S+")
    assert out.sub("", again) == out.sub("", made[1])


@pytest.mark.usefixtures("no_page")
def test_a_check_before_training_fails_above_its_limit(islands: tuple[str, str], tmp_path: Path) -> None:
    assert not run(config(tmp_path / "a", *islands, fail_above=0.5))["ok"]
    mixed = [write(tmp_path / name, [10.0, -10.0] * 6, ["can", "can", "jug", "jug"] * 3, seed=k) for k, name in enumerate("xy")]
    free = run(config(tmp_path / "b", *mixed, fail_above=0.5))
    assert free["ok"]
    assert free["depending"] == []


def test_one_sub_dataset_has_a_page_and_no_disparity(tmp_path: Path) -> None:
    found = run(config(tmp_path / "out", write(tmp_path / "one", [0.0] * 4, ["can"] * 4)))
    assert found["disparity"] is None
    assert found["fragmentation"] is None
    assert found["worst"] is None
    assert any("one sub-dataset" in note for note in found["notes"])
    assert "undefined" in Path(found["report"]).read_text(encoding="utf-8")


def test_one_episode_each_is_said(tmp_path: Path) -> None:
    data = [write(tmp_path / name, [turn], [name], seed=k) for k, (name, turn) in enumerate((("a", 10.0), ("b", -10.0)))]
    found = run(config(tmp_path / "out", *data))
    assert found["estimator"] == "with_self_pairs"
    assert found["depending"] == []
    assert any("one episode" in note for note in found["notes"])


@pytest.mark.usefixtures("no_page")
def test_copies_are_counted(tmp_path: Path) -> None:
    twins = [write(tmp_path / name, [0.0] * 3, ["can"] * 3) for name in "ab"]
    notes = run(config(tmp_path / "out", *twins))["notes"]
    assert any(note.startswith("b has first frames that are also in a") for note in notes)
    cameras = {"side": described(SIDE, 32)}
    same = [make_episode(0, steps=3, sizes=SIZES)] * 4
    DatasetWriter(tmp_path / "same", make_info(SIZES, cameras=cameras)).write("shard", same)
    notes = run(config(tmp_path / "out", str(tmp_path / "same")))["notes"]
    assert any("3 of 4 first frames are copies" in note for note in notes)


@pytest.mark.usefixtures("no_page")
def test_weights_of_a_mixture_file_count(tmp_path: Path) -> None:
    for name, turn in (("a", 10.0), ("b", -10.0)):
        write(tmp_path / name, [turn] * 8, [name] * 8)
    (tmp_path / "mixture.yaml").write_text("a: 3\nb: 1\n")
    found = run(config(tmp_path / "out", mixture=str(tmp_path / "mixture.yaml")))
    assert found["subdatasets"] == ["a", "b"]
    with pytest.raises(AugmentError, match="both"):
        run(config(tmp_path / "out", str(tmp_path / "a"), mixture=str(tmp_path / "mixture.yaml")))


def test_folders_of_one_name_are_told_apart(tmp_path: Path, no_page: None) -> None:
    data = [write(tmp_path / parent / "data", [turn] * 3, ["can"] * 3) for parent, turn in (("x", 5.0), ("y", -5.0))]
    assert run(config(tmp_path / "out", *data))["subdatasets"] == ["x/data", "y/data"]


def test_what_cannot_be_looked_at_is_refused_before_anything_is_written(islands: tuple[str, str], tmp_path: Path) -> None:
    DatasetWriter(tmp_path / "empty", make_info(SIZES))
    top = write(tmp_path / "top", [0.0], ["can"])
    info = json.loads((tmp_path / "top" / "dataset.json").read_text())
    assert "side" in info["cameras"]
    refused = [
        ((), AugmentError, "names no data set"),
        ((islands[0], islands[0] + "/../left"), AugmentError, "twice"),
        ((str(tmp_path / "nowhere"),), StoreError, "no dataset"),
        ((str(tmp_path / "empty"),), AugmentError, "no episode"),
    ]
    for data, error, says in refused:
        with pytest.raises(error, match=says):
            run(config(tmp_path / "out", *data))
    with pytest.raises(AugmentError, match="camera=top"):
        run(config(tmp_path / "out", top, camera="top"))
    with pytest.raises(AugmentError, match="12 episodes"):
        run(config(tmp_path / "out", *islands, samples=13))
    assert not (tmp_path / "out").exists()


def test_a_report_that_cannot_be_written_is_one_line(islands: tuple[str, str], tmp_path: Path, no_page: None) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AugmentError, match="cannot write"):
        run(config(tmp_path / "file", *islands))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"features": "clip"}, "known"),
        ({"temperature": 0.0}, "temperature"),
        ({"permutations": 3}, "permutations"),
        ({"seed": -1}, "negative"),
        ({"fail_above": 1.5}, "fail_above"),
        ({"fail_above": float("nan")}, "fail_above"),
        ({"temperature": float("nan")}, "temperature"),
    ],
)
def test_settings_are_checked(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(AugmentError, match=says):
        DiagnoseConfig(**changes)
