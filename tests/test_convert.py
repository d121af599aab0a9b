"""To LeRobotDataset v3.0 and back: what goes round, what is lost, and recorded data that trains."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from lerobot_samples import FPS, write_table
from policy_world import CAMERAS, SIZE, tiny_train, write_dataset

from episodes import open_dataset
from episodes.convert import ConvertConfig, run
from episodes.errors import StoreError
from episodes.lerobot import LeRobotSource
from episodes.lerobot_import import Reading, mask_of
from policies import load_policy
from policies.train import run as train

EXACT = ("qpos", "gripper", "actions", "sent", "labelled")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("ours") / "data", toys=2, per_toy=2)


@pytest.fixture(scope="module", params=[False, True], ids=["png", "video"])
def exported(request: pytest.FixtureRequest, ours: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, bool]:
    pytest.importorskip("datasets", reason="LeRobot's datasets are not installed: pip install 'cezanne[lerobot]'")
    out = tmp_path_factory.mktemp("theirs") / "data"
    return out, run(ConvertConfig(str(ours), str(out), videos=request.param)), request.param


def test_what_is_lost_is_said(exported: tuple[Path, dict, bool]) -> None:
    _, said, video = exported
    assert (said["episodes"], said["steps"]) == (4, 40)
    assert set(said["lost"]) == ({"state", "images"} if video else {"state"})
    if video:
        assert 0 < said["lost"]["images"]["mean"] < 6


def test_there_and_back_again(exported: tuple[Path, dict, bool], ours: Path, tmp_path: Path) -> None:
    folder, _, video = exported
    run(ConvertConfig(str(folder), str(tmp_path / "back")))
    before, after = open_dataset(ours), open_dataset(tmp_path / "back")
    assert before.info.differences(after.info) == []
    for one, other in zip(before, after, strict=True):
        for name in EXACT:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        for camera in CAMERAS:
            np.testing.assert_array_equal(one.masks[camera], other.masks[camera])
            apart = np.abs(one.images[camera].astype(int) - other.images[camera])
            assert apart.mean() < (6 if video else 1e-9)
        assert (one.instruction, one.success, one.dt) == (other.instruction, other.success, other.dt)
        provenance = dict(other.provenance)
        assert provenance.pop("lerobot")["folder"] == "data"
        assert provenance == dict(one.provenance)


def test_lerobot_itself_reads_it(exported: tuple[Path, dict, bool], ours: Path) -> None:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    folder, _, _ = exported
    theirs: Any = LeRobotDataset("local/data", root=folder, delta_timestamps={"action": [k / 20 for k in range(4)]}, video_backend="pyav")
    episode = open_dataset(ours)[0]
    frame = theirs[2]
    np.testing.assert_allclose(frame["action"], episode.actions[2:6])
    np.testing.assert_allclose(frame["observation.state"], np.concatenate([episode.qpos[2], episode.gripper[2]]))
    picture = frame["observation.images.side"].numpy().transpose(1, 2, 0) * 255
    assert np.abs(picture - episode.images["side"][2]).mean() < 6
    assert np.array_equal(np.unpackbits(frame["mask.side"].numpy().astype(np.uint8)).reshape(SIZE, SIZE), episode.masks["side"][2])
    assert frame["task"] == episode.instruction
    assert theirs.meta.features["action"]["names"] == ["joint0.rad", "joint1.rad", "joint2.rad", "gripper.open"]
    assert {"q01", "q99", "mean", "std"} <= set(theirs.meta.stats["action"])


def test_an_export_is_all_or_nothing(ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    import episodes.lerobot_export as module

    monkeypatch.setattr(module, "frames", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(ConvertConfig(str(ours), str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


# --- recorded datasets


def recorded(folder: Path, episodes: int = 3, steps: int = 8, key: str = "observation.images.{}_mask", spoil: str = "") -> Path:
    """As a person records it: joints in degrees, a gripper from 0 to 100, a mask of the target as a picture beside each camera."""
    pictures = {f"observation.images.{name}": name for name in CAMERAS} | {key.format(name): name for name in CAMERAS}
    rows: dict[str, list] = {name: [] for name in ("episode_index", "frame_index", "task_index", "observation.state", "action", *pictures)}
    for k in range(episodes):
        for t in range(steps):
            rows["episode_index"].append(k)
            rows["frame_index"].append(t)
            rows["task_index"].append(0)
            state = [10.0 * k + t, -5.0, 90.0, 100.0 if t < 4 else 0.0]
            rows["observation.state"].append([np.nan, *state[1:]] if spoil == "nan" and (k, t) == (1, 3) else state)
            rows["action"].append([v + 1 for v in state[:3]] + [state[3]])
            for name, camera in pictures.items():
                drawn = np.full((SIZE, SIZE, 3), 30 if camera == "side" else 60, np.uint8)
                drawn[4 + t : 12 + t, 8:16] = 255
                if name.endswith("mask"):
                    drawn = np.where(drawn == 255, 255, 0).astype(np.uint8)
                rows[name].append({"bytes": cv2.imencode(".png", drawn[..., ::-1])[1].tobytes(), "path": None})
    write_table(folder / "data/chunk-000/file-000.parquet", rows)
    about: dict[str, Any] = {"episode_index": list(range(episodes)), "tasks": [["lift it"]] * episodes, "length": [steps] * episodes}
    about |= {f"data/{what}_index": [0] * episodes for what in ("chunk", "file")}
    write_table(folder / "meta/episodes/chunk-000/file-000.parquet", about)
    write_table(folder / "meta/tasks.parquet", {"task_index": [0], "task": ["lift it"]})
    names = ["j1.pos", "j2.pos", "j3.pos", "gripper.pos"]
    vector = {"dtype": "float32", "shape": [4], "names": names}
    picture = {"dtype": "image", "shape": [SIZE, SIZE, 3], "names": ["height", "width", "channels"]}
    features = {"observation.state": vector, "action": vector, **dict.fromkeys(pictures, picture)}
    info = {"codebase_version": "v3.0", "robot_type": "so101", "fps": FPS, "total_episodes": episodes, "features": features}
    (folder / "meta/info.json").write_text(json.dumps(info))
    return folder


@pytest.mark.parametrize("key", ["observation.images.{}_mask", "observation.masks.{}", "observation.images.mask_{}"])
def test_a_recorded_dataset_with_masks_trains_a_policy(key: str, tmp_path: Path) -> None:
    folder = recorded(tmp_path / "theirs", key=key) if "{}_mask" in key else tmp_path
    if folder == tmp_path:  # the mask is told by its name alone
        source_masks = {"observation.masks.{}": "masks.side", "observation.images.mask_{}": "mask_side"}
        folder = recorded(tmp_path / "theirs", key=key)
        assert mask_of(LeRobotSource(folder), "side") == source_masks[key]
        return
    out = tmp_path / "ours"
    said = run(ConvertConfig(str(folder), str(out), degrees=True, open=100.0))
    assert said["episodes"] == 3
    dataset = open_dataset(out)
    episode = dataset[1]
    assert (dataset.info.robot, dataset.info.joints) == ("so101", ("j1.pos", "j2.pos", "j3.pos"))
    np.testing.assert_allclose(episode.qpos[2], np.radians([12.0, -5.0, 90.0]), rtol=1e-6)
    assert episode.gripper[:, 0].tolist() == [1.0] * 4 + [0.0] * 4
    assert episode.masks["side"][3].sum() == 64
    assert episode.masks["side"][3][7:15, 8:16].all()
    done = train(tiny_train(out, tmp_path / "run"))
    assert np.isfinite(done["validation_loss"])
    assert load_policy(tmp_path / "run").contract.joints == ("j1.pos", "j2.pos", "j3.pos")


def test_an_interrupted_import_goes_on(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "theirs")
    cfg = ConvertConfig(str(folder), str(tmp_path / "ours"), degrees=True, open=100.0)
    first = run(cfg)
    again = run(replace(cfg))
    assert (first["episodes"], again["episodes"]) == (3, 3)


def test_what_does_not_fit_is_refused_by_name(tmp_path: Path, ours: Path) -> None:
    bare = recorded(tmp_path / "bare")
    info = json.loads((bare / "meta/info.json").read_text())
    for name in CAMERAS:
        del info["features"][f"observation.images.{name}_mask"]
    (bare / "meta/info.json").write_text(json.dumps(info))
    with pytest.raises(StoreError, match="camera 'side' has no mask of the target"):
        run(ConvertConfig(str(bare), str(tmp_path / "a")))
    with pytest.raises(StoreError, match=r"observation\.state of episode 1 is not finite"):
        run(ConvertConfig(str(recorded(tmp_path / "nan", spoil="nan")), str(tmp_path / "b"), degrees=True, open=100.0))
    with pytest.raises(StoreError, match="are these degrees"):
        run(ConvertConfig(str(tmp_path / "nan"), str(tmp_path / "b")))
    with pytest.raises(StoreError, match="4 of them the gripper's"):
        run(ConvertConfig(str(recorded(tmp_path / "wide")), str(tmp_path / "c"), gripper=4))
    with pytest.raises(StoreError, match="data=FOLDER and out=FOLDER"):
        run(ConvertConfig())
    with pytest.raises(StoreError, match=r"cannot read .*info\.json"):
        run(ConvertConfig(str(tmp_path), str(tmp_path / "d")))
    with pytest.raises(StoreError, match="that cannot be"):
        Reading(shut=1.0, open=1.0)
    (tmp_path / "there").mkdir()
    pytest.importorskip("datasets")
    with pytest.raises(StoreError, match="is there already"):
        run(ConvertConfig(str(ours), str(tmp_path / "there")))


def test_a_hostile_description_is_refused(exported: tuple[Path, dict, bool], tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "theirs"
    shutil.copytree(exported[0], folder)
    for text in ("[]", '{"info": 3}', '{"info": {}, "episodes": []}', "{" * 10_000):
        (folder / "meta/cezanne.json").write_text(text)
        with pytest.raises(StoreError, match=r"cezanne\.json"):
            run(ConvertConfig(str(folder), str(tmp_path / "out")))
