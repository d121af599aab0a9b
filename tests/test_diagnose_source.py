"""Sub-datasets of a diagnosis: ours, LeRobot's, and both by the weights of a mixture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from diagnose_world import write_set
from lerobot_samples import HEIGHT, WIDTH, picture, write_lerobot

import augment.diagnose.source as source_module
from augment.diagnose.run import DiagnoseConfig, run
from augment.diagnose.source import open_subdataset
from augment.errors import AugmentError
from episodes import StoreError


def test_a_lerobot_folder_is_a_sub_dataset_that_says_what_it_lacks(tmp_path: Path) -> None:
    sub = open_subdataset(write_lerobot(tmp_path / "set"), weight=2.0)
    assert (sub.name, sub.robot, sub.weight, len(sub)) == ("set", "so100", 2.0, 3)
    assert set(sub.pictures) == {"top", "wrist"}
    assert not sub.masks, "nothing is made up"
    assert not any(sub.cameras), "nothing is made up"
    np.testing.assert_array_equal(sub.pictures["wrist"], [picture(k, 0) for k in range(3)])
    np.testing.assert_allclose(sub.qpos[:, 0], [0.0, 0.1, 0.2], atol=1e-6)
    assert "no masks" in sub.notes[0]
    assert set(open_subdataset(tmp_path / "set", camera="wrist").pictures) == {"wrist"}
    assert sub.choose(np.array([2])).instructions == ("lift the can",)


def test_a_large_lerobot_set_is_read_in_part_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "_LOOKED_AT", 2)
    sub = open_subdataset(write_lerobot(tmp_path / "set"))
    assert sub.pictures["top"].shape == (2, HEIGHT, WIDTH, 3)
    assert any("2 of its 3 episodes" in note for note in sub.notes)


def test_neither_ours_nor_lerobots_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        open_subdataset(tmp_path / "nothing")
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/info.json").write_text("{}")
    with pytest.raises(StoreError, match=r"v3\.0"):
        open_subdataset(tmp_path)


def test_a_mixture_of_ours_and_lerobots_is_diagnosed_by_its_weights(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    write_set(tmp_path / "ours", rng.uniform(-0.1, 0.1, 6).tolist(), [0.0] * 6, camera="top")
    write_lerobot(tmp_path / "theirs", (2,) * 8)
    write_lerobot(tmp_path / "left-out", (2,))
    (tmp_path / "mix.yaml").write_text("ours: 1\nother: {weight: 0.25, path: theirs}\nleft-out: 0\n")
    summary = run(DiagnoseConfig(mixture=str(tmp_path / "mix.yaml"), out=str(tmp_path / "out"), permutations=99))
    assert (summary["subdatasets"], summary["camera"], summary["episodes"]) == (["ours", "other"], "top", 14)
    assert any("other" in note and "no masks" in note for note in summary["notes"])
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert ">weight</th>" in page
    assert ">0.25</td>" in page
    (tmp_path / "mix.yaml").write_text("gone: 1\n")
    with pytest.raises(StoreError, match="gone"):
        run(DiagnoseConfig(mixture=str(tmp_path / "mix.yaml"), out=str(tmp_path / "out")))
    with pytest.raises(AugmentError, match="both"):
        run(DiagnoseConfig(mixture="a.yaml", data=["b"]))
