"""`cezanne augment`: the same data however often it is stopped; originals stay, refusals are counted, nothing is mixed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from episode_samples import make_episode, make_info, same

import augment.catalogue
import augment.run
import episodes.shard
import episodes.writer
from augment import AugmentError, recorded
from augment.catalogue import KINDS
from augment.config import AugmentConfig
from augment.run import run
from episodes import DatasetInfo, DatasetWriter, Episode, open_dataset
from sim.workers import share


@dataclass(frozen=True)
class Tint:
    """Stands in for an augmentation: adds a drawn number to all pixels; refuses episodes whose seed is in `refused`."""

    refused: Sequence[int] = ()
    fps: float | None = None
    name: str = "photometric"

    def contract(self, info: DatasetInfo) -> DatasetInfo:
        return replace(info, fps=self.fps or info.fps)

    def __call__(self, episode: Episode, rng: np.random.Generator) -> Episode:
        if episode.provenance["seed"] in self.refused:
            raise AugmentError(f"step {episode.provenance['seed']}: only 0.{episode.provenance['seed']} of it is known")
        shift = rng.integers(1, 255)
        tinted = {camera: images + np.uint8(shift) for camera, images in episode.images.items()}
        return recorded(replace(episode, images=tinted), self.name, shift=int(shift))


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work is done in this process, so that it meets the stand-in, and nobody waits for the disk."""
    monkeypatch.setattr(augment.run, "share", lambda start, items, workers, **how: share(start, items, 0))
    monkeypatch.setattr(episodes.shard, "sync", lambda path: None)
    monkeypatch.setattr(episodes.writer, "sync", lambda path: None)


@pytest.fixture
def tint(monkeypatch: pytest.MonkeyPatch):
    """Puts a stand-in in the place of `photometric`."""

    def put(**how) -> None:
        row = replace(KINDS["photometric"], open=lambda config, world: Tint(**how))
        monkeypatch.setattr(augment.catalogue, "KINDS", {**KINDS, "photometric": row})

    put()
    return put


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two shards of three episodes each, and an empty one."""
    writer = DatasetWriter(tmp_path / "data", make_info())
    for k, name in enumerate(("000000", "000001")):
        writer.write(name, [make_episode(3 * k + i, steps=5 + i) for i in range(3)])
    writer.write("000002", [])
    (tmp_path / "data" / "toys.json").write_text("{}")
    return tmp_path / "data"


@pytest.fixture
def configured(data: Path, tmp_path: Path):
    return partial(AugmentConfig, data=str(data), out=str(tmp_path / "out"), chain=["photometric"])


@pytest.fixture(autouse=True)
def no_toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The data here are noise: nothing is known of it but its contract."""
    from augment.world import World

    monkeypatch.setattr(augment.run.World, "open", lambda folder: World(open_dataset(folder).info))


def contents(folder: Path) -> dict[str, list[Episode]]:
    return {shard.name: shard.read(0, len(shard.lengths)) for shard in open_dataset(folder).shards}


def equal(a: dict[str, list[Episode]], b: dict[str, list[Episode]]) -> bool:
    return a.keys() == b.keys() and all(len(a[k]) == len(b[k]) and all(map(same, a[k], b[k])) for k in a)


def test_the_originals_stay_and_copies_stand_beside_them(tint, data, configured) -> None:
    summary = run(configured(copies=2))
    assert json.loads(json.dumps(summary)) == summary
    assert (summary["episodes"], summary["augmented"], summary["left_out"]) == (18, 12, {})
    assert summary["frames"] == 2 * 2 * 2 * (5 + 6 + 7)
    assert summary["frames_per_second"] > 0
    out = Path(summary["out"])
    assert not open_dataset(out).verify()
    assert (out / "toys.json").read_text() == "{}"
    made = [episode for episodes in contents(out).values() for episode in episodes]
    kept = [episode for episode in made if "origin" not in episode.provenance]
    assert all(same(a, b) for a, b in zip(kept, open_dataset(data), strict=True))
    before = contents(data)
    for episode in made:
        if origin := episode.provenance.get("origin"):
            source = before[origin["shard"]][origin["episode"]]
            assert np.array_equal(episode.actions, source.actions)
            assert not np.array_equal(episode.images["side"], source.images["side"])
    shifts = [episode.provenance["augment"][0]["shift"] for episode in made if "origin" in episode.provenance]
    assert len(set(shifts)) > 6  # every copy draws for itself


def test_only_copies_where_originals_are_not_kept(tint, configured) -> None:
    assert {key: run(configured(keep=False))[key] for key in ("episodes", "augmented")} == {"episodes": 6, "augmented": 6}


def test_what_is_drawn_depends_on_seed_and_copy_alone(tint, configured, tmp_path) -> None:
    once = contents(Path(run(configured())["out"]))
    again = contents(Path(run(configured(out=str(tmp_path / "again"), keep=False, copies=2))["out"]))
    other = contents(Path(run(configured(out=str(tmp_path / "other"), seed=1))["out"]))
    assert not equal(once, other)
    first = {str(e.provenance["origin"]): e for episodes in once.values() for e in episodes if "origin" in e.provenance}
    more = {str(e.provenance["origin"]): e for episodes in again.values() for e in episodes}
    assert first.keys() < more.keys()
    assert all(same(first[key], more[key]) for key in first)


def test_a_stopped_run_continues_and_a_finished_one_is_left_alone(tint, configured, tmp_path) -> None:
    tint(refused=(1, 4))
    whole = run(configured())
    out = Path(whole["out"])
    before = contents(out)
    stamps = {path: path.stat().st_mtime_ns for path in (out / "shards" / "000000-0000.zarr").rglob("*")}
    shutil.rmtree(out / "shards" / "000001-0000.zarr")  # as if it had been killed before that one
    again = run(configured())
    assert equal(before, contents(out))
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}
    assert {key: again[key] for key in ("episodes", "augmented", "left_out")} == {
        key: whole[key] for key in ("episodes", "augmented", "left_out")
    }
    assert run(configured())["frames"] == 0


def test_large_shards_are_made_in_parts(tint, configured, monkeypatch) -> None:
    whole = contents(Path(run(configured())["out"]))
    monkeypatch.setattr(augment.run, "_AT_ONCE", 4)
    parts = contents(Path(run(configured(out=configured().out + "-parts"))["out"]))
    assert sorted(parts) == ["000000-0000", "000000-0001", "000001-0000", "000001-0001"]
    ours = [e.provenance for episodes in whole.values() for e in episodes]
    theirs = [e.provenance for episodes in parts.values() for e in episodes]
    assert sorted(map(str, ours)) == sorted(map(str, theirs))


def test_a_folder_holds_what_one_configuration_made(tint, configured) -> None:
    run(configured())
    for change, said in (
        ({"copies": 3}, "copies was 1 and is 3"),
        ({"keep": False}, "keep was True and is False"),
        ({"seed": 5}, "was 0 and is 5"),
    ):
        with pytest.raises(AugmentError, match=said):
            run(configured(**change))


def test_a_source_that_changed_is_refused(tint, data, configured) -> None:
    run(configured())
    DatasetWriter(data, make_info()).write("000003", [make_episode(9)])
    with pytest.raises(AugmentError, match=r"source was \w+ and is \w+"):
        run(configured())


def test_what_is_refused_is_left_out_counted_and_its_original_stays(tint, configured) -> None:
    tint(refused=(1, 4))
    summary = run(configured(copies=2))
    assert (summary["episodes"], summary["augmented"]) == (6 + 8, 8)
    assert summary["left_out"] == {"step #: only # of it is known": 4}
    noted = json.loads((Path(summary["out"]) / "left_out" / "000000-0000.json").read_text())
    assert noted[0] == {"shard": "000000", "episode": 1, "copy": 0, "reason": "step 1: only 0.1 of it is known"}


def test_nothing_but_refusals_is_an_error_with_the_first_reason(tint, configured) -> None:
    tint(refused=range(10))
    with pytest.raises(AugmentError, match=r"no episode .* could be augmented; the first because: step 0: only 0\.0"):
        run(configured())


def test_another_contract_does_not_fit_beside_the_originals(tint, configured) -> None:
    tint(fps=10.0)
    with pytest.raises(AugmentError, match=r"fps: 20\.0 and 10\.0.*keep=false"):
        run(configured())


def test_a_bug_fails_its_shard_and_nothing_else(tint, configured, monkeypatch, capsys) -> None:
    def stumble(self, episode, rng):
        if episode.provenance["seed"] == 0:
            raise ZeroDivisionError("bug")
        return recorded(episode, "photometric")

    monkeypatch.setattr(Tint, "__call__", stumble)
    with pytest.raises(AugmentError, match=r"1 of 2 parts failed.*ZeroDivisionError: bug.*run again"):
        run(configured())
    assert list(contents(Path(configured().out))) == ["000001-0000"]
    assert "000000-0000" in capsys.readouterr().err


def test_the_data_set_is_only_read(tint, data, configured) -> None:
    with pytest.raises(AugmentError, match="only read"):
        run(configured(out=str(data / ".." / "data")))
    shutil.copytree(data, configured().out)
    with pytest.raises(AugmentError, match="not made by augment"):
        run(configured())


def test_a_data_set_that_is_empty_or_somebody_elses_is_refused(tint, tmp_path, configured) -> None:
    DatasetWriter(tmp_path / "none", make_info())
    with pytest.raises(AugmentError, match="no episode"):
        run(configured(data=str(tmp_path / "none")))
    (tmp_path / "theirs" / "meta").mkdir(parents=True)
    (tmp_path / "theirs" / "meta" / "info.json").write_text("{}")
    with pytest.raises(AugmentError, match="LeRobot"):
        run(configured(data=str(tmp_path / "theirs")))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"chain": ["viewpiont"]}, "unknown augmentation 'viewpiont'; did you mean 'viewpoint'"),
        ({"chain": []}, "changes nothing; known: "),
        ({"chain": ["table", "table"]}, "names table twice"),
        ({"chain": ["background", "viewpoint"]}, r"say chain=\[viewpoint,background\]"),
        ({"chain": ["embodiment", "table"]}, "table needs the robot's pixels"),
        ({"copies": 0}, "copies=0"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_impossible_settings_are_refused(change, said) -> None:
    with pytest.raises(AugmentError, match=said):
        AugmentConfig(**change)


@pytest.mark.slow
def test_two_workers_and_a_run_killed_three_times_make_the_same_data(data, configured, tmp_path) -> None:
    (data / "toys.json").unlink()
    writer = DatasetWriter(data, make_info())
    for k in range(3, 12):
        writer.write(f"{k:06d}", [make_episode(10 * k + i, steps=20) for i in range(4)])
    once = contents(Path(run(configured())["out"]))
    command = [sys.executable, "cezanne.py", "augment", f"data={data}", f"out={tmp_path / 'two'}", "chain=[photometric]", "workers=2"]
    for pause in (3, 4, 5, None):
        child = subprocess.Popen(command, cwd=Path(__file__).parent.parent, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            said = child.communicate(timeout=pause)[1]
        except subprocess.TimeoutExpired:
            child.kill()
            said = child.communicate()[1]
        assert "Traceback" not in said
    assert child.returncode == 0
    assert equal(once, contents(tmp_path / "two"))
    assert not open_dataset(tmp_path / "two").verify()
