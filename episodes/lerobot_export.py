"""A dataset of ours as a LeRobotDataset v3.0, written by LeRobot itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from episodes.dataset import Dataset
from episodes.episode import Episode
from episodes.errors import StoreError
from episodes.info import DatasetInfo

ABOUT = "cezanne.json"
"""Beside meta/info.json: our own description, cameras and where each episode came from."""


def export(dataset: Dataset, out: Path, *, videos: bool, masks: bool = True, watch: Callable[[], object] = lambda: None) -> Path:
    """Writes all episodes to a new folder. LeRobot counts quantiles of every number as it writes.

    Args:
        dataset: at a whole number of steps a second.
        out: must not be there yet.
        videos: pictures as video (small, a little lost), or as PNG (large, exact).
        masks: whether it holds masks, whose every bit LeRobot counts quantiles of, which takes time.
        watch: is called after each episode.

    What it holds, frame by frame: `observation.images.CAMERA`; `mask.CAMERA`, the target's pixels, packed eight to a byte in raster order
    as numpy.packbits does; `observation.state` and `action`, joints [rad] then the gripper (0 closed, 1 open), units in their names;
    `sent`, what was carried out; `labelled`, whether `action` is an expert's answer; the task is the instruction.

    Raises:
        StoreError: LeRobot is not installed, the folder is there, or the rate is no whole number.
    """
    create, encoder = _lerobot()
    if out.exists():
        raise StoreError(f"{out} is there already; choose another out=, or remove it")
    fps = round(dataset.info.fps)
    if abs(fps - dataset.info.fps) > 1e-6:
        raise StoreError(f"{dataset.info.fps:g} steps a second; LeRobot's datasets have a whole number")
    made = create(
        repo_id=f"local/{out.name}",
        root=out,
        fps=fps,
        robot_type=dataset.info.robot,
        features=features(dataset.info, videos=videos, masks=masks),
        use_videos=videos,
        rgb_encoder=encoder,
    )
    about: list[dict[str, Any]] = []
    try:
        for episode in dataset:
            for frame in frames(episode, masks=masks):
                made.add_frame(frame)
            made.save_episode(parallel_encoding=False)  # in this process: it has threads, and is not to be forked
            about.append({"success": episode.success, "provenance": dict(episode.provenance)})
            watch()
        made.finalize()
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)  # half of it would look whole
        raise
    text = json.dumps({"format": 1, "info": dataset.info.to_json(), "episodes": about}, allow_nan=False)
    (out / "meta" / ABOUT).write_text(text, encoding="utf-8")
    return out


def features(info: DatasetInfo, *, videos: bool, masks: bool = True) -> dict[str, dict[str, Any]]:
    """LeRobot's description of what every frame holds."""
    names = [*(f"{joint}.rad" for joint in info.joints), *(f"gripper{k or ''}.open" for k in range(info.gripper))]
    vector = {"dtype": "float32", "shape": (len(names),), "names": names}
    found: dict[str, dict[str, Any]] = {"observation.state": vector, "action": vector, "sent": vector}
    found["labelled"] = {"dtype": "bool", "shape": (1,), "names": ["labelled"]}
    for name, camera in info.cameras.items():
        shape = (camera.height, camera.width, 3)
        found[f"observation.images.{name}"] = {
            "dtype": "video" if videos else "image", "shape": shape, "names": ["height", "width", "channels"]
        }  # fmt: skip
        if masks:
            found[f"mask.{name}"] = {"dtype": "uint8", "shape": (-(-camera.height * camera.width // 8),), "names": None}
    return found


def frames(episode: Episode, *, masks: bool = True) -> list[dict[str, Any]]:
    """What LeRobot is given for each step."""
    state = np.concatenate([episode.qpos, episode.gripper], 1)
    packed = {name: np.packbits(mask.reshape(len(episode), -1), axis=1) for name, mask in episode.masks.items() if masks}
    return [
        {
            "observation.state": state[t],
            "action": episode.actions[t],
            "sent": episode.sent[t],
            "labelled": episode.labelled[t : t + 1],
            "task": episode.instruction,
            **{f"observation.images.{name}": pictures[t] for name, pictures in episode.images.items()},
            **{f"mask.{name}": bits[t] for name, bits in packed.items()},
        }
        for t in range(len(episode))
    ]


def _lerobot() -> tuple[Callable[..., Any], Any]:
    """What makes a dataset, and how its videos are encoded: every player knows H.264, and it is quick on a CPU."""
    try:
        from datasets.utils.logging import disable_progress_bar
        from lerobot.configs.video import RGBEncoderConfig
        from lerobot.datasets.lerobot_dataset import LeRobotDataset
    except ImportError as error:
        raise StoreError(f"LeRobot's datasets need more packages ({error}): pip install 'cezanne[lerobot]'") from error
    disable_progress_bar()
    return LeRobotDataset.create, RGBEncoderConfig(vcodec="h264", crf=18)
