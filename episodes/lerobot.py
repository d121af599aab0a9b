"""LeRobotDataset v3.0 folders: what an episode begins with, read without LeRobot."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from episodes.errors import StoreError
from episodes.info import check_name

_FILE = "chunk-{:03d}/file-{:03d}"
_PATHS = {
    "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
    "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
}
"""Where v3.0 keeps its files. Other templates are refused: one could lead anywhere."""
_STATE = "observation.state"
_VIDEO = ("chunk_index", "file_index", "from_timestamp")
"""Where an episode lies in the videos of a camera."""
_INFO = 2**24
"""Largest meta/info.json [bytes]."""
_EPISODES, _FRAMES, _FILES = 10**6, 10**8, 10**6
"""Episodes, frames of an episode or a file, and files at most."""
_SIDE, _PIXELS, _PICTURES = 8192, 2**26, 2**33
"""Largest side [px], picture [px] and answer [bytes]."""
_BATCH = 32
"""Rows of pictures held at once."""
_PATIENCE = 60
"""Time for one frame of a video [s]."""


class LeRobotSource:
    """N episodes. Opening reads descriptions only; pictures are decoded when they are asked for, and only those."""

    fps: float
    robot: str
    """`unknown` where it is not said."""
    cameras: Mapping[str, tuple[int, int]]
    """Height and width [px] of each, by what follows `observation.images.`. Depth is left out."""
    joints: tuple[str, ...]
    """Names of the values of `observation.state`; none where there is no state."""
    lengths: np.ndarray
    """Frames of each episode, (N,) int64."""
    instructions: tuple[str, ...]
    columns_there: frozenset[str]
    """Names of all features."""

    def __init__(self, path: str | Path) -> None:
        """Raises StoreError for another version or layout, and for what is missing, malformed or absurdly large."""
        self.path = Path(path)
        info = _read_json(self.path / "meta" / "info.json")
        version = info.get("codebase_version")
        if not isinstance(version, str) or not version.startswith("v3."):
            raise StoreError(f"{self.path} is LeRobotDataset {version!r}; v3.0 is read, and LeRobot converts older ones to it")
        for key, known in _PATHS.items():
            if info.get(key) not in (None, known):
                raise StoreError(f"{self.path}: {key} is {str(info[key])[:120]!r}; v3.0 has {known!r}")
        fps, robot = info.get("fps"), info.get("robot_type")
        if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps <= 10_000:
            raise StoreError(f"{self.path}: fps is {fps!r}; a rate is positive, at most 10,000")
        if not isinstance(robot, str | None):
            raise StoreError(f"{self.path}: robot_type is {robot!r}; a name or null")
        features = info.get("features")
        if not isinstance(features, dict):
            raise StoreError(f"{self.path}: meta/info.json lists no features")
        self.fps, self.robot = float(fps), (robot or "unknown")[:128]
        self._keys = _find_cameras(features, self.path)
        self.cameras = {name: _size(features[key], f"{self.path}: {key}") for name, key in self._keys.items()}
        self.columns_there = frozenset(map(str, features))
        self._videos = {name for name, key in self._keys.items() if features[key]["dtype"] == "video"}
        self.joints = _find_joints(features.get(_STATE), f"{self.path}: {_STATE}")
        self._open_episodes(_count(info.get("total_episodes"), _EPISODES, f"{self.path}: total_episodes"))
        self.instructions = self._find_instructions()

    def __len__(self) -> int:
        return len(self.lengths)

    def first_frames(self, camera: str, episodes: Sequence[int] | None = None) -> np.ndarray:
        """First picture of the given episodes, in that order, else of all: (N, H, W, 3) uint8, RGB. Raises StoreError."""
        if camera not in self.cameras:
            raise StoreError(f"{self.path} has no camera {camera!r}; it has {', '.join(self.cameras) or 'none'}")
        chosen, (height, width) = self._chosen(episodes), self.cameras[camera]
        if len(chosen) * height * width * 3 > _PICTURES:
            raise StoreError(f"{len(chosen)} pictures of {height} x {width} px at once; ask for fewer episodes")
        pictures = np.empty((len(chosen), height, width, 3), np.uint8)
        if camera in self._videos:
            for row, k in enumerate(tqdm(chosen, desc=f"{self.path.name}, {camera}", unit="frame", delay=2, leave=False)):
                pictures[row] = self._frame(camera, k)
        else:
            for k, value in self._first_values(self._keys[camera], chosen).items():
                picture = _decode(value, (height, width), f"{self.path}: {camera} of episode {k}")
                pictures[[row for row, wanted in enumerate(chosen) if wanted == k]] = picture
        return pictures

    def first_states(self, episodes: Sequence[int] | None = None) -> np.ndarray:
        """First `observation.state` of the given episodes, else of all: (N, n) float32, units as recorded. Raises StoreError."""
        chosen = self._chosen(episodes)
        states = np.zeros((len(chosen), len(self.joints)), np.float32)
        if self.joints:
            found = self._first_values(_STATE, chosen)
            for row, k in enumerate(chosen):
                try:
                    states[row] = np.asarray(found[k], np.float32).reshape(len(self.joints))
                except (TypeError, ValueError) as error:
                    raise StoreError(f"{self.path}: {_STATE} of episode {k} is not {len(self.joints)} numbers") from error
        if not np.isfinite(states).all():
            raise StoreError(f"{self.path}: {_STATE} is not finite")
        return states

    def columns(self, k: int, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Columns of episode k, each (T, ...). Raises StoreError where one is missing or is no array of one shape."""
        chunk, number = (self._episodes[f"data/{what}_index"][k] for what in ("chunk", "file"))
        file = self.path / "data" / f"{_FILE.format(chunk, number)}.parquet"
        table = _open_table(file, _FRAMES)
        row = {episode: row for row, episode in _beginnings(table, file)}.get(k)
        if row is None:
            raise StoreError(f"{file} does not hold episode {k}")
        length = int(self.lengths[k])
        found = _slice(table, names, row, length, file)
        for name, values in found.items():
            if len(values) != length or values.dtype == object:
                raise StoreError(f"{file}: {name} of episode {k} is not {length} rows of one shape")
        return found

    def pictures(self, camera: str, k: int) -> np.ndarray:
        """All pictures of a camera in episode k, (T, H, W, 3) uint8, RGB. Raises StoreError."""
        (height, width), length = self.cameras[camera], int(self.lengths[k])
        if length * height * width * 3 > _PICTURES:
            raise StoreError(f"{self.path}: episode {k} has {length} pictures of {height} x {width} px; that is more than is held at once")
        if camera in self._videos:
            file, begin = self._video(camera, k)
            raw = _run(file, max(0.0, begin - 0.5 / self.fps), ["-frames:v", str(length), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
            if len(raw) != length * height * width * 3:
                raise StoreError(f"{file}: {len(raw)} bytes of pictures, episode {k} has {length} of {height} x {width} px")
            return np.frombuffer(raw, np.uint8).reshape(length, height, width, 3)
        chunk, number = (self._episodes[f"data/{what}_index"][k] for what in ("chunk", "file"))
        file = self.path / "data" / f"{_FILE.format(chunk, number)}.parquet"
        table = _open_table(file, _FRAMES)
        row = {episode: row for row, episode in _beginnings(table, file)}.get(k)
        if row is None:
            raise StoreError(f"{file} does not hold episode {k}")
        values = _rows(table, self._keys[camera], [(row + t, t) for t in range(length)], file)
        what = f"{self.path}: {camera} of episode {k}"
        return np.stack([_decode(values.get(t), (height, width), what) for t in range(length)])

    def _chosen(self, episodes: Sequence[int] | None) -> list[int]:
        chosen = list(range(len(self))) if episodes is None else [int(k) for k in episodes]
        if any(not 0 <= k < len(self) for k in chosen):
            raise StoreError(f"{self.path} has episodes 0 to {len(self) - 1}; {min(chosen)} to {max(chosen)} were asked for")
        return chosen

    def _open_episodes(self, total: int) -> None:
        files = sorted((self.path / "meta" / "episodes").glob("chunk-*/file-*.parquet"))
        if not files or len(files) > _FILES:
            raise StoreError(f"{self.path} has {len(files)} files meta/episodes/chunk-*/file-*.parquet; 1 to {_FILES}")
        needed = ["episode_index", "length", "data/chunk_index", "data/file_index"]
        for camera in sorted(self._videos):
            needed += [f"videos/{self._keys[camera]}/{what}" for what in _VIDEO]
        found = dict[str, list[Any]]()
        for file in files:
            table = _open_table(file, _EPISODES)
            columns = [*needed, *({"tasks"} & set(table.schema_arrow.names))]
            for name, values in _columns(table, columns, file).items():
                found.setdefault(name, []).extend(values)
        numbers = found["episode_index"]
        if sorted(map(str, numbers)) != sorted(map(str, range(total))):
            raise StoreError(f"{self.path}: total_episodes is {total}, but meta/episodes lists {len(numbers)} others")
        order = sorted(range(total), key=lambda row: int(numbers[row]))
        self._episodes = {name: [values[row] for row in order] for name, values in found.items() if len(values) == total}
        self.lengths = np.array([_count(n, _FRAMES, f"{self.path}: length of an episode", 1) for n in self._episodes["length"]], np.int64)
        for name, values in self._episodes.items():
            if name.endswith("_index"):
                for value in values:
                    _count(value, _FILES, f"{self.path}: {name}")

    def _find_instructions(self) -> tuple[str, ...]:
        """The first task of each episode: as its row says, else by number."""
        rows = self._episodes.get("tasks")
        if rows is not None:
            said = [row[0] if isinstance(row, list) and row else row for row in rows]
        else:
            file = self.path / "meta" / "tasks.parquet"
            table = _open_table(file, _EPISODES)
            column = next((name for name in ("task", "__index_level_0__") if name in table.schema_arrow.names), "task")
            columns = _columns(table, ["task_index", column], file)
            named = dict(zip(map(str, columns["task_index"]), columns[column], strict=True))
            first = self._first_values("task_index", self._chosen(None))
            said = [named.get(str(first[k])) for k in range(len(self))]
        for k, text in enumerate(said):
            if not isinstance(text, str) or len(text) > 10_000:
                raise StoreError(f"{self.path}: the task of episode {k} is not a text of at most 10,000 letters")
        return tuple(map(str, said))

    def _first_values(self, column: str, chosen: Sequence[int]) -> dict[int, Any]:
        """A column at the first frame of episodes, by episode."""
        wanted, found = set(chosen), dict[int, Any]()
        places = zip(self._episodes["data/chunk_index"], self._episodes["data/file_index"], strict=True)
        files = sorted({place for k, place in enumerate(places) if k in wanted})
        for place in files:
            file = self.path / "data" / f"{_FILE.format(*place)}.parquet"
            table = _open_table(file, _FRAMES)
            found |= _rows(table, column, [(row, k) for row, k in _beginnings(table, file) if k in wanted], file)
        if missing := wanted - set(found):
            raise StoreError(f"{self.path}: the data of {len(missing)} episodes is missing, {min(missing)} the first")
        return found

    def _frame(self, camera: str, k: int) -> np.ndarray:
        """First frame of an episode from its video."""
        file, begin = self._video(camera, k)
        return _decode(_grab(file, max(0.0, begin - 0.5 / self.fps)), self.cameras[camera], f"{file} at {begin:g} s")

    def _video(self, camera: str, k: int) -> tuple[Path, float]:
        """The video that shows an episode, and where in it the episode begins [s]."""
        chunk, number, begin = (self._episodes[f"videos/{self._keys[camera]}/{what}"][k] for what in _VIDEO)
        if isinstance(begin, bool) or not isinstance(begin, int | float) or not 0 <= begin < 1e7:
            raise StoreError(f"{self.path}: episode {k} begins at {begin!r} s of its video")
        file = self.path / "videos" / self._keys[camera] / f"{_FILE.format(chunk, number)}.mp4"
        if not file.is_file():
            raise StoreError(f"no video {file}")
        return file, float(begin)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _INFO:
            raise StoreError(f"{file} has {file.stat().st_size} bytes; a description is short")
        raw = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"cannot read {file}: {str(error)[:160]}") from error
    if not isinstance(raw, dict):
        raise StoreError(f"{file} does not describe a data set")
    return raw


def _count(value: Any, most: int, what: str, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise StoreError(f"{what} is {str(value)[:40]}; a whole number, {least} to {most}")
    return value


def _find_cameras(features: Mapping[str, Any], path: Path) -> dict[str, str]:
    """Key of each camera by its short name."""
    found = dict[str, str]()
    for key, feature in features.items():
        if not isinstance(feature, dict):
            raise StoreError(f"{path}: feature {key[:80]!r} is not described")
        about = feature.get("info")
        depth = isinstance(about, dict) and bool(about.get("is_depth_map") or about.get("video.is_depth_map"))
        if feature.get("dtype") not in ("image", "video") or depth:
            continue
        check_name("camera", key)
        name = key.removeprefix("observation.").removeprefix("images.")
        check_name("camera", name)
        if name in found:
            raise StoreError(f"{path}: two cameras are called {name}")
        found[name] = key
    return found


def _size(feature: Mapping[str, Any], what: str) -> tuple[int, int]:
    """Height and width. By the numbers: the names of the axes are often wrong."""
    shape = feature.get("shape")
    if not isinstance(shape, list) or len(shape) != 3 or 3 not in (shape[0], shape[2]):
        raise StoreError(f"{what} has shape {str(shape)[:80]}; pictures have three axes, one of them 3 colours")
    height, width = shape[:2] if shape[2] == 3 else shape[1:]
    return _count(height, _SIDE, f"{what}, height", 1), _count(width, _SIDE, f"{what}, width", 1)


def _find_joints(feature: Any, what: str) -> tuple[str, ...]:
    """Names of the values of the state: as described, else by number."""
    if feature is None:
        return ()
    shape = feature.get("shape") if isinstance(feature, dict) else None
    if not isinstance(shape, list) or len(shape) != 1:
        raise StoreError(f"{what} has shape {str(shape)[:80]}; one axis is read")
    size, names = _count(shape[0], 1000, f"{what}, size"), feature.get("names")
    if isinstance(names, dict) and len(names) == 1:
        names = next(iter(names.values()))
    if isinstance(names, list) and len(names) == size and all(isinstance(name, str) for name in names):
        return tuple(name[:128] for name in names)
    return tuple(f"state {k}" for k in range(size))


def _open_table(file: Path, most: int) -> pq.ParquetFile:
    try:
        table = pq.ParquetFile(file)
        rows, _ = table.metadata.num_rows, table.schema_arrow.names  # names that are no text are found here
    except (OSError, ValueError, pa.ArrowException) as error:
        raise StoreError(f"cannot read {file}: {str(error)[:160]}") from error
    if not 0 <= rows <= most:
        raise StoreError(f"{file} has {rows} rows; {most} at most")
    return table


def _columns(table: pq.ParquetFile, names: Sequence[str], file: Path) -> dict[str, list[Any]]:
    """Whole columns as Python values."""
    if missing := set(names) - set(table.schema_arrow.names):
        raise StoreError(f"{file} has no column {min(missing)!r}")
    try:
        read = table.read(columns=list(names))
        return {name: read.column(name).to_pylist() for name in names}
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise StoreError(f"cannot read {file}: {str(error)[:160]}") from error


def _beginnings(table: pq.ParquetFile, file: Path) -> list[tuple[int, int]]:
    """Row and episode of each first frame."""
    if missing := {"episode_index", "frame_index"} - set(table.schema_arrow.names):
        raise StoreError(f"{file} has no column {min(missing)!r}")
    try:
        read = table.read(columns=["episode_index", "frame_index"])
        episode, frame = (np.asarray(read.column(name)) for name in ("episode_index", "frame_index"))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise StoreError(f"cannot read {file}: {str(error)[:160]}") from error
    if episode.dtype.kind != "i" or frame.dtype.kind != "i":
        raise StoreError(f"{file}: episode_index and frame_index are not whole numbers")
    rows = np.flatnonzero(frame == 0)
    return list(zip(rows.tolist(), episode[rows].tolist(), strict=True))


def _rows(table: pq.ParquetFile, column: str, rows: Sequence[tuple[int, int]], file: Path) -> dict[int, Any]:
    """A column at some (row, episode), by episode; a few rows are held at a time."""
    if column not in table.schema_arrow.names:
        raise StoreError(f"{file} has no column {column!r}")
    found, begin, left = dict[int, Any](), 0, list(reversed(rows))
    try:
        for batch in table.iter_batches(_BATCH, columns=[column]):
            while left and left[-1][0] < begin + len(batch):
                row, k = left.pop()
                found[k] = batch.column(0)[row - begin].as_py()
            begin += len(batch)
            if not left:
                break
    except (OSError, ValueError, pa.ArrowException) as error:
        raise StoreError(f"cannot read {file}: {str(error)[:160]}") from error
    return found


def _slice(table: pq.ParquetFile, names: Sequence[str], row: int, length: int, file: Path) -> dict[str, np.ndarray]:
    """Some rows of columns as arrays; a few are held at a time."""
    if missing := set(names) - set(table.schema_arrow.names):
        raise StoreError(f"{file} has no column {min(missing)!r}")
    found: dict[str, list[Any]] = {name: [] for name in names}
    begin = 0
    try:
        for batch in table.iter_batches(1024, columns=list(names)):
            first, last = max(row - begin, 0), min(row + length - begin, len(batch))
            if first < last:
                for name in names:
                    found[name] += batch.column(name)[first:last].to_pylist()
            begin += len(batch)
            if begin >= row + length:
                break
        return {name: np.array(values) for name, values in found.items()}
    except (OSError, ValueError, pa.ArrowException) as error:
        raise StoreError(f"cannot read {file}: {str(error)[:160]}") from error


def _grab(file: Path, after: float) -> bytes:
    """The first frame at or after a time [s], as PNG."""
    return _run(file, after, ["-frames:v", "1", "-c:v", "png", "-pix_fmt", "rgb24", "-f", "image2pipe", "-"])


def _run(file: Path, after: float, give: Sequence[str]) -> bytes:
    """What ffmpeg makes of a video from a time [s] on. The file is read as MP4 and opens no other."""
    ask = ["-nostdin", "-v", "error", "-threads", "1", "-max_pixels", str(_PIXELS), "-protocol_whitelist", "file", "-f", "mov"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), *ask, "-ss", f"{after:.6f}", "-i", f"file:{file.resolve()}", "-map", "0:v:0", *give]
    try:
        made = subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StoreError(f"cannot decode {file}: {str(error)[:160]}") from error
    if made.returncode or not made.stdout:
        why = made.stderr.decode(errors="replace").strip().splitlines()[:1] or ["there is no frame so late"]
        raise StoreError(f"cannot decode {file} at {after:g} s: {why[0][:160]}")
    return made.stdout


def _decode(value: Any, size: tuple[int, int], what: str) -> np.ndarray:
    """A PNG (or what Parquet holds of it) as (H, W, 3) uint8."""
    png = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(png, bytes) or png[:8] != b"\x89PNG\r\n\x1a\n" or len(png) < 24:
        raise StoreError(f"{what} is not a PNG")
    found = int.from_bytes(png[20:24]), int.from_bytes(png[16:20])
    if found != size:
        raise StoreError(f"{what} is {found[0]} x {found[1]} px; meta/info.json says {size[0]} x {size[1]}")
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    if picture is None or picture.shape[:2] != size:
        raise StoreError(f"{what} is broken")
    return picture[..., ::-1]
