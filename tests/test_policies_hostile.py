"""Hostile checkpoints are refused by name and reason, in a process with little memory and time; a damaged one never acts otherwise."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hostile_checkpoints import EVIL, ROWS, WEIGHTS, Row
from hostile_child import Server
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy_world import CAMERAS, SIZE, tiny_episode, tiny_info, tiny_policy, tiny_train, write_dataset
from safetensors.torch import load_file

from episodes import CameraInfo, DatasetWriter, Episode
from policies import PolicyError
from policies.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from policies.contract import Contract
from policies.guard.tensors import read_header
from policies.stats import Stats
from policies.table import read_table
from policies.views import DEG, FOV, MM

CONTRACT = Contract(CAMERAS, (SIZE, SIZE), ("a", "b", "c"), 1, "stick", 0.05, chunk=4, execute=2)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("hostile_checkpoints") as found:
        yield found


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as it should be."""
    torch.manual_seed(0)
    half = [np.full(shape, 0.5, np.float32) for shape in ((4,), (4,), (4, 4), (4, 4), (5,), (5,))]
    checkpoint = Checkpoint(tiny_policy(), CONTRACT, Stats(*half), {"data": "none"})
    path = tmp_path_factory.mktemp("good") / "checkpoint"
    save_checkpoint(path, checkpoint, checkpoint.network().state_dict(), {"progress": torch.zeros(1)})
    return path


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_it_is_refused_in_one_line(row: Row, server: Server, good: Path, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    shutil.copytree(good, path)
    if not row.sums:
        (path / "checksums.json").unlink()
    row.make(path)
    went, found = server.ask("open", path)
    assert not went, found
    assert re.search(row.said, str(found)), found
    assert str(found).isprintable()
    assert len(str(found)) < 700 + len(str(path))
    assert str(path) in str(found)
    assert not Path(EVIL).exists()


def test_a_good_one_opens_with_its_sums_and_without(server: Server, good: Path, tmp_path: Path) -> None:
    old, cached = tmp_path / "old", tmp_path / "models--a--b" / "snapshots" / "0123"
    shutil.copytree(good, old)
    (old / "checksums.json").unlink()  # as older versions wrote it
    cached.mkdir(parents=True)
    blobs = cached.parent.parent / "blobs"
    shutil.copytree(good, blobs)
    for file in good.iterdir():  # as the hub's cache keeps it
        (cached / file.name).symlink_to(Path("../../blobs") / file.name)
    found = [server.ask("open", path) for path in (good, old, cached)]
    assert all(went for went, _ in found), found
    assert len({str(digest) for _, digest in found}) == 1


FILES = (WEIGHTS, "config.json", "contract.json", "stats.json", "fingerprint.json", "checksums.json")


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_one_loads_bit_by_bit_or_is_refused(good: Path, tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "checkpoint"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(good, path)
    if data.draw(st.booleans(), label="older"):
        (path / "checksums.json").unlink()
    file = path / data.draw(st.sampled_from([name for name in FILES if (path / name).exists()]))
    held = bytearray(file.read_bytes())
    header = 8 + int.from_bytes(held[:8], "little") if file.name == WEIGHTS else len(held)
    if data.draw(st.booleans(), label="cut"):
        held = held[: data.draw(st.integers(0, len(held) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, (len(held) if (path / "checksums.json").exists() else header) - 1))
            held[at] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(held)
    expected = load_file(good / WEIGHTS)
    try:
        found = load_checkpoint(path)[1].state_dict()
    except PolicyError:
        return
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_cut_at_any_length_it_is_refused_before_it_is_read(good: Path, tmp_path: Path) -> None:
    held = (good / WEIGHTS).read_bytes()
    rng = np.random.default_rng(0)
    for length in rng.integers(0, len(held), 50):
        (tmp_path / WEIGHTS).write_bytes(held[:length])
        with pytest.raises(PolicyError, match="is damaged"):
            read_header(tmp_path / WEIGHTS)


def pose(x: float) -> CameraInfo:
    extrinsics = np.eye(4)
    extrinsics[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    extrinsics[0, 3] = x
    return CameraInfo(SIZE, SIZE, 45.0, np.eye(3), extrinsics)


SEEN = replace(CONTRACT, views={"side": pose(1.0), "wrist": replace(pose(0.1), body="hand")})


@pytest.mark.parametrize(
    ("views", "message"),
    [
        (
            {"side": SEEN.views["wrist"], "wrist": SEEN.views["side"]},
            r"'side' is not where .* camera 'wrist' stands there: are the two exch",
        ),
        ({"side": pose(1.5)}, r"'side' is not where the policy learnt with it: 500 mm off"),
        ({"side": replace(pose(1.0), fovy=60.0)}, r"field of view \+15.0 deg"),
        ({"side": replace(pose(1.0), body="hand")}, r"was fixed to 'world', here it is fixed to 'hand'"),
    ],
)
def test_cameras_are_told_by_where_they_stand(views: dict[str, CameraInfo], message: str) -> None:
    SEEN.check(SEEN)
    SEEN.check(CONTRACT)  # of physical cameras nothing is known yet
    SEEN.check(replace(SEEN, views={"side": pose(1.01)}))
    unknown = CameraInfo(SIZE, SIZE, 60.0, np.eye(3), np.eye(4))
    SEEN.check(replace(SEEN, views=dict.fromkeys(CAMERAS, unknown)))
    with pytest.raises(PolicyError, match=message):
        SEEN.check(replace(SEEN, views=views))


def test_a_renamed_camera_is_found_by_where_it_stands() -> None:
    there = replace(SEEN, cameras=("front", "wrist"), views={"front": pose(1.0), "wrist": SEEN.views["wrist"]})
    with pytest.raises(PolicyError, match=r"needs camera 'side'; there are 'front', 'wrist'; 'side' stands where 'front' does"):
        SEEN.check(there)


def test_the_tolerance_is_that_of_physical_cameras() -> None:
    from deploy.cameras.view_check import Tolerance

    assert Tolerance() == Tolerance(MM, DEG, FOV)


def degrees(e: Episode) -> Episode:
    return replace(e, qpos=np.degrees(e.qpos + 1).astype(np.float32))


def wide(e: Episode) -> Episode:
    return replace(e, gripper=255 * e.gripper)


def wanted(e: Episode) -> Episode:
    return replace(e, actions=e.actions * np.float32(100))


def millimetres(e: Episode) -> Episode:
    return replace(e, provenance={**e.provenance, "grasp": {"pos": [480, 0, 30], "yaw": 0.0}})


def malformed(e: Episode) -> Episode:
    return replace(e, provenance={**e.provenance, "grasp": {"pos": "here"}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (degrees, r"episode 1 of the dataset, measured: joint\d at \S+ rad is beyond a full turn; are these degrees"),
        (wide, r"episode 1 of the dataset, measured: a gripper at 255; its values go from 0 closed to 1 open"),
        (wanted, r"episode 1 of the dataset, wanted: "),
        (millimetres, r"episode 1 of the dataset: a grasp 480 m from the robot's base; are these millimetres"),
        (malformed, r"episode 1 of the dataset: its grasp is malformed"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_a_data_set_in_other_units_is_refused(tmp_path: Path, change: object, message: str) -> None:
    from episodes import open_dataset

    writer = DatasetWriter(tmp_path / "data", tiny_info())
    writer.write("a", [tiny_episode(0, 0), change(tiny_episode(0, 1))])  # type: ignore[operator]
    with pytest.raises(PolicyError, match=message):
        read_table(open_dataset(tmp_path / "data"), 2, 0.0, 0)


def test_joints_in_another_order_are_told_by_their_limits(tmp_path: Path) -> None:
    from policies.units import check_motion

    joints = tuple(f"joint{k}" for k in range(1, 8))
    home = np.tile(np.array([0, -0.5, 0, -2.2, 0, 1.7, 0.8, 1]), (5, 1))
    check_motion(home, home, "panda", joints, "it")
    with pytest.raises(PolicyError, match=r"joint2 goes from -2.20 to -2.20|joint4 goes from -0.50|joint4 goes from 1.70"):
        check_motion(home[:, [0, 1, 2, 5, 4, 3, 6, 7]], home, "panda", joints, "it")


def test_a_data_set_that_never_shows_its_object_is_refused(tmp_path: Path) -> None:
    from policies.train import run

    dark = [
        replace(e, masks={name: np.zeros_like(mask) for name, mask in e.masks.items()}) for e in (tiny_episode(toy, 0) for toy in range(3))
    ]
    DatasetWriter(tmp_path / "data", tiny_info()).write("a", dark)
    with pytest.raises(PolicyError, match="the object is in view of no camera at any step"):
        run(tiny_train(tmp_path / "data", tmp_path / "run"))


def test_a_run_goes_on_from_nothing_but_what_it_wrote(tmp_path: Path) -> None:
    from policies.train import run

    cfg = tiny_train(write_dataset(tmp_path / "data"), tmp_path / "run", steps=2)
    folder = Path(run(cfg)["checkpoint"])
    state = folder / "train_state.safetensors"
    held = bytearray(state.read_bytes())
    held[-2] ^= 1
    state.write_bytes(held)
    with pytest.raises(PolicyError, match=r"train_state\.safetensors is not what was written"):
        run(replace(cfg, steps=4, resume=True))
    sums = json.loads((folder / "checksums.json").read_text())
    assert {"weights.safetensors", "config.json", "contract.json", "stats.json", "fingerprint.json"} <= sums.keys()
