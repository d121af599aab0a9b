"""LeRobot data sets: what was written is what is read; hostile folders are refused in one line."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from lerobot_samples import FPS, HEIGHT, TOP, WIDTH, WRIST, picture, write_lerobot, write_table, write_video

from episodes import StoreError
from episodes.lerobot import LeRobotSource

EPISODES = "meta/episodes/chunk-000/file-000.parquet"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lerobot(tmp_path_factory.mktemp("lerobot") / "set")


def info_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "meta/info.json").read_text())


def rewrite(file: Path, **columns: Any) -> None:
    """Changes columns of a table; None drops one."""
    table = {**pq.read_table(file).to_pydict(), **columns}
    write_table(file, {name: values for name, values in table.items() if values is not None})


def test_the_description_is_read(folder: Path) -> None:
    source = LeRobotSource(folder)
    assert (len(source), source.fps, source.robot, source.joints) == (3, FPS, "so100", ("shoulder", "elbow"))
    assert source.cameras == {"top": (HEIGHT, WIDTH), "wrist": (HEIGHT, WIDTH)}
    assert source.lengths.tolist() == [3, 4, 2]
    assert source.instructions == ("lift the can", "lift the cup", "lift the can")


@pytest.mark.parametrize(
    "line",
    [
        'CODEBASE_VERSION = "v3.0"',
        'CHUNK_FILE_PATTERN = "chunk-{chunk_index:03d}/file-{file_index:03d}"',
        'EPISODES_DIR = "meta/episodes"',
        'DEFAULT_TASKS_PATH = "meta/tasks.parquet"',
        'DEFAULT_DATA_PATH = DATA_DIR + "/" + CHUNK_FILE_PATTERN + ".parquet"',
        'DEFAULT_VIDEO_PATH = VIDEO_DIR + "/{video_key}/" + CHUNK_FILE_PATTERN + ".mp4"',
    ],
)
def test_the_layout_is_that_of_the_installed_lerobot(line: str) -> None:
    """By its source: its data sets cannot be imported without `datasets`."""
    found = importlib.util.find_spec("lerobot")
    if found is None or not found.submodule_search_locations:
        pytest.skip("lerobot is not installed")
    folder = Path(found.submodule_search_locations[0], "datasets")
    assert any(line in (folder / name).read_text() for name in ("utils.py", "dataset_metadata.py"))


def test_pictures_in_parquet_come_back_exactly(folder: Path) -> None:
    frames = LeRobotSource(folder).first_frames("wrist")
    assert frames.dtype == np.uint8
    np.testing.assert_array_equal(frames, [picture(k, 0) for k in range(3)])


@pytest.mark.parametrize("codec", ["libx264", "libsvtav1"])
def test_the_first_frame_of_each_episode_is_found_inside_the_video(tmp_path: Path, codec: str) -> None:
    lengths = (3, 4, 5, 2)
    frames = LeRobotSource(write_lerobot(tmp_path / "set", lengths, codec=codec)).first_frames("top")
    written = [(k, t) for k in range(4) for t in range(min(lengths[k], 2))]
    for k in range(4):
        away = [np.abs(frames[k].astype(int) - picture(*place)).mean() for place in written]
        assert written[int(np.argmin(away))] == (k, 0)
        assert min(away) < 12, "colours and axes are where they were"


def test_only_what_is_asked_for_in_that_order(folder: Path) -> None:
    source = LeRobotSource(folder)
    np.testing.assert_array_equal(source.first_frames("wrist", [2, 0, 2]), source.first_frames("wrist")[[2, 0, 2]])
    np.testing.assert_allclose(source.first_states([1, 0]), [[0.1, 0.0], [0.0, 0.0]], atol=1e-6)
    assert source.first_frames("top", []).shape == (0, HEIGHT, WIDTH, 3)
    with pytest.raises(StoreError, match="episodes 0 to 2"):
        source.first_frames("top", [3])
    with pytest.raises(StoreError, match="no camera 'side'"):
        source.first_frames("side")


def test_tasks_by_number_where_episodes_do_not_say_them(tmp_path: Path) -> None:
    folder = write_lerobot(tmp_path / "set")
    rewrite(folder / EPISODES, tasks=None)
    said = LeRobotSource(folder).instructions
    assert said == ("lift the can", "lift the cup", "lift the can")
    rewrite(folder / "meta/tasks.parquet", task=None, __index_level_0__=["lift the can", "lift the cup"])  # as pandas writes it
    assert LeRobotSource(folder).instructions == said


def test_episodes_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = write_lerobot(tmp_path / "set")
    table = pq.read_table(folder / EPISODES).to_pydict()
    write_table(folder / EPISODES, {name: values[::-1] for name, values in table.items()})
    source = LeRobotSource(folder)
    assert source.lengths.tolist() == [3, 4, 2]
    np.testing.assert_array_equal(source.first_frames("wrist")[2], picture(2, 0))


def test_a_set_without_state_and_with_depth(tmp_path: Path) -> None:
    folder = write_lerobot(tmp_path / "set", robot_type=None)
    info = info_of(folder)
    del info["features"]["observation.state"]
    info["features"][TOP]["info"] = {"video.is_depth_map": True}
    (folder / "meta/info.json").write_text(json.dumps(info))
    source = LeRobotSource(folder)
    assert (source.robot, source.joints, list(source.cameras)) == ("unknown", (), ["wrist"])
    assert source.first_states().shape == (3, 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"codebase_version": "v2.1"}, "v3.0 is read"),
        ({"codebase_version": 3}, "v3.0 is read"),
        ({"data_path": "../../{chunk_index}/{file_index}.parquet"}, "data_path"),
        ({"video_path": "{video_key.__class__}"}, "video_path"),
        ({"fps": 0}, "fps"),
        ({"fps": float("nan")}, "fps"),
        ({"fps": True}, "fps"),
        ({"robot_type": ["a"]}, "robot_type"),
        ({"total_episodes": 10**30}, "total_episodes"),
        ({"total_episodes": -1}, "total_episodes"),
        ({"total_episodes": 4}, "total_episodes is 4"),
        ({"features": []}, "features"),
        ({"features": {"../../top": {"dtype": "video", "shape": [3, 4, 4]}}}, "name"),
        ({"features": {TOP: {"dtype": "video", "shape": [3, 10**9, 4]}}}, "height"),
        ({"features": {TOP: {"dtype": "video", "shape": "large"}}}, "shape"),
        ({"features": {TOP: "video"}}, "not described"),
        ({"features": {TOP: {"dtype": ["video"], "shape": [3, 4, 4]}, "observation.state": {"shape": [10**9]}}}, "size"),
        ({"features": {TOP: {"dtype": "image", "shape": [3, 4, 4]}, "top": {"dtype": "image", "shape": [3, 4, 4]}}}, "two cameras"),
    ],
)
def test_a_bad_description_is_refused(tmp_path: Path, folder: Path, change: dict[str, Any], said: str) -> None:
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/episodes").symlink_to(folder / "meta/episodes")
    (tmp_path / "meta/info.json").write_text(json.dumps({**info_of(folder), **change}))
    with pytest.raises(StoreError, match=said):
        LeRobotSource(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "\ud800"])
def test_a_description_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/info.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(StoreError, match=r"info\.json"):
        LeRobotSource(tmp_path)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"length": [3, 4, -1]}, "length"),
        ({"length": ["a", "b", "c"]}, "length"),
        ({"length": None}, "no column 'length'"),
        ({"data/file_index": [0, 0, 10**12]}, "data/file_index"),
        ({"data/chunk_index": ["../..", "x", "y"]}, "data/chunk_index"),
        ({f"videos/{TOP}/file_index": [0, 0, -1]}, "file_index"),
        ({"episode_index": [0, 0, 1]}, "total_episodes"),
        ({"episode_index": [[0], [1], [2]]}, "total_episodes"),
        ({"tasks": [[1], [2], [3]]}, "task of episode 0"),
        ({"tasks": [["a"], [], ["c"]]}, "task of episode 1"),
    ],
)
def test_bad_rows_of_episodes_are_refused(tmp_path: Path, columns: dict[str, Any], said: str) -> None:
    folder = write_lerobot(tmp_path / "set")
    rewrite(folder / EPISODES, **columns)
    with pytest.raises(StoreError, match=said):
        LeRobotSource(folder)


def test_missing_and_broken_files_are_refused_by_name(tmp_path: Path) -> None:
    folder = write_lerobot(tmp_path / "set")
    source, video, data = LeRobotSource(folder), folder / f"videos/{TOP}/chunk-000/file-001.mp4", folder / "data/chunk-000/file-001.parquet"
    write_video(video, [np.zeros((HEIGHT * 2, WIDTH, 3), np.uint8)] * 2)
    with pytest.raises(StoreError, match=r"is 64 x 48 px; meta/info.json says 32 x 48"):
        source.first_frames("top")
    for content in (b"", b"not a video", b"ffconcat version 1.0\nfile /etc/hostname\n", b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n"):
        video.write_bytes(content)
        with pytest.raises(StoreError, match="cannot decode"):
            source.first_frames("top")
    video.unlink()
    with pytest.raises(StoreError, match=r"no video .*file-001\.mp4"):
        source.first_frames("top")
    assert source.first_frames("top", [0, 1]).shape[0] == 2, "what is there can still be read"
    whole = data.read_bytes()
    data.write_bytes(whole.replace(b"frame_index", b"\xfframe_index"))
    with pytest.raises(StoreError, match=r"cannot read .*file-001\.parquet"):
        source.first_states()
    data.write_bytes(b"PAR1")
    with pytest.raises(StoreError, match=r"cannot read .*file-001\.parquet"):
        source.first_states()
    data.unlink()
    with pytest.raises(StoreError, match=r"cannot read .*file-001\.parquet"):
        source.first_frames("wrist")
    (folder / EPISODES).unlink()
    with pytest.raises(StoreError, match="0 files meta/episodes"):
        LeRobotSource(folder)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({WRIST: [{"bytes": None, "path": "../../secret.png"}] * 2}, "not a PNG"),
        ({WRIST: [{"bytes": b"\x89PNG\r\n\x1a\n" + b"\0" * 8 + b"\x7f" * 8, "path": None}] * 2}, "meta/info.json says"),
        ({WRIST: ["text"] * 2}, "not a PNG"),
        ({WRIST: None}, "no column"),
        ({"frame_index": [1, 2]}, "data of 1 episodes is missing, 2 the first"),
        ({"frame_index": ["0", "1"]}, "not whole numbers"),
    ],
)
def test_bad_pictures_are_refused(tmp_path: Path, columns: dict[str, Any], said: str) -> None:
    folder = write_lerobot(tmp_path / "set")
    rewrite(folder / "data/chunk-000/file-001.parquet", **columns)
    with pytest.raises(StoreError, match=said):
        LeRobotSource(folder).first_frames("wrist")


@pytest.mark.parametrize("state", [[[1.0], [1.0]], [["a", "b"], ["a", "b"]], [None, None], [[float("nan"), 0.0]] * 2])
def test_a_bad_state_is_refused(tmp_path: Path, state: list[Any]) -> None:
    folder = write_lerobot(tmp_path / "set")
    rewrite(folder / "data/chunk-000/file-001.parquet", **{"observation.state": state})
    with pytest.raises(StoreError, match=r"observation\.state"):
        LeRobotSource(folder).first_states()


def test_an_answer_larger_than_memory_is_refused(tmp_path: Path) -> None:
    features = {TOP: {"dtype": "video", "shape": [8192, 8192, 3]}}
    folder = write_lerobot(tmp_path / "set", features=features)
    with pytest.raises(StoreError, match="fewer episodes"):
        LeRobotSource(folder).first_frames("top", [0] * 50)
