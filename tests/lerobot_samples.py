"""Tiny LeRobotDataset v3.0 folders, written by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FPS = 10
HEIGHT, WIDTH = 32, 48
TOP, WRIST = "observation.images.top", "observation.images.wrist"


def shade(episode: int, frame: int) -> int:
    """Grey of a picture: no two neighbours look alike."""
    return 20 + 60 * (episode % 4) + 12 * (frame % 2)


def picture(episode: int, frame: int) -> np.ndarray:
    """Grey, with a red left half, so that a swap of colours or axes shows."""
    drawn = np.full((HEIGHT, WIDTH, 3), shade(episode, frame), np.uint8)
    drawn[:, : WIDTH // 2] = (220, 20, shade(episode, frame))
    return drawn


def write_video(file: Path, frames: Sequence[np.ndarray], codec: str = "libx264") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    size = (frames[0].shape[1], frames[0].shape[0])
    writer = imageio_ffmpeg.write_frames(str(file), size, fps=FPS, codec=codec, pix_fmt_out="yuv420p", macro_block_size=1)
    writer.send(None)
    for frame in frames:
        writer.send(np.ascontiguousarray(frame))
    writer.close()


def write_table(file: Path, columns: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), file)


def write_lerobot(
    folder: Path,
    lengths: Sequence[int] = (3, 4, 2),
    tasks: Sequence[str] = ("lift the can", "lift the cup"),
    codec: str = "libx264",
    **info: Any,
) -> Path:
    """A video camera `top`, a camera `wrist` kept as PNG, two joints. The last episode has files of its own; tasks are dealt in turn."""
    n = len(lengths)
    files = [int(k == n - 1 and n > 1) for k in range(n)]
    task_of = [k % len(tasks) for k in range(n)]
    begins = [sum(length for length, of in zip(lengths[:k], files, strict=False) if of == files[k]) / FPS for k in range(n)]
    for file in sorted(set(files)):
        own = [(k, t) for k in range(n) if files[k] == file for t in range(lengths[k])]
        write_video(folder / f"videos/{TOP}/chunk-000/file-{file:03d}.mp4", [picture(k, t) for k, t in own], codec)
        encoded = [cv2.imencode(".png", picture(k, t)[..., ::-1])[1].tobytes() for k, t in own]
        rows: dict[str, Any] = {
            "episode_index": [k for k, _ in own],
            "frame_index": [t for _, t in own],
            "task_index": [task_of[k] for k, _ in own],
            "observation.state": [[0.1 * k, float(t)] for k, t in own],
            WRIST: [{"bytes": png, "path": None} for png in encoded],
        }
        write_table(folder / f"data/chunk-000/file-{file:03d}.parquet", rows)
    episodes: dict[str, Any] = {
        "episode_index": list(range(n)),
        "tasks": [[tasks[k]] for k in task_of],
        "length": list(lengths),
        "data/chunk_index": [0] * n,
        "data/file_index": files,
        f"videos/{TOP}/chunk_index": [0] * n,
        f"videos/{TOP}/file_index": files,
        f"videos/{TOP}/from_timestamp": begins,
    }
    write_table(folder / "meta/episodes/chunk-000/file-000.parquet", episodes)
    write_table(folder / "meta/tasks.parquet", {"task_index": list(range(len(tasks))), "task": list(tasks)})
    described = {
        "codebase_version": "v3.0",
        "robot_type": "so100",
        "fps": FPS,
        "total_episodes": n,
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": {
            TOP: {"dtype": "video", "shape": [3, HEIGHT, WIDTH], "names": ["c", "h", "w"]},
            WRIST: {"dtype": "image", "shape": [HEIGHT, WIDTH, 3], "names": ["height", "width", "channels"]},
            "observation.state": {"dtype": "float32", "shape": [2], "names": ["shoulder", "elbow"]},
            "action": {"dtype": "float32", "shape": [2], "names": None},
        },
    }
    (folder / "meta/info.json").write_text(json.dumps({**described, **info}))
    return folder
