"""A data set of ours as LeRobot's policies read it: exported once, then shared by the runs beside each other."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from episodes.dataset import Dataset
from episodes.lerobot_export import export
from policies.errors import PolicyError
from policies.peers.grey import GREY, Greyed
from policies.peers.kind import ACTION, quietly
from policies.selection import Selected

FORMAT = 1
"""Of the export. Raise it when another would be written."""


def open_exported(folder: Path, dataset: Dataset | Selected, *, masked: bool, watch: Callable[[], object] = lambda: None) -> Any:
    """The LeRobotDataset of a data set, written where it is not there yet: `folder`/lerobot-DIGEST, pictures as PNG, without masks.

    Args:
        folder: of the runs that share it.
        dataset: of ours.
        masked: everything but the object is grey in the pictures.
        watch: is called after each episode that is written.

    Raises:
        StoreError: it cannot be exported. PolicyError: it cannot be read again.
    """
    path = folder / f"lerobot-{digest(dataset, masked)}"
    if not path.exists():
        part = path.with_name(f".{path.name}.{os.getpid()}")
        shutil.rmtree(part, ignore_errors=True)
        with quietly():
            export(Greyed(dataset) if masked else dataset, part, videos=False, masks=False, watch=watch)  # pyright: ignore[reportArgumentType]
        try:
            os.rename(part, path)
        except OSError:  # another run was quicker
            shutil.rmtree(part, ignore_errors=True)
            if not path.is_dir():
                raise
    with quietly():
        from lerobot.datasets.lerobot_dataset import LeRobotDataset

        try:
            return LeRobotDataset(f"local/{path.name}", root=path)
        except Exception as error:  # LeRobot would ask its hub for what is missing here, and says so in many ways
            raise PolicyError(f"{path} cannot be read ({' '.join(str(error).split())[:200]}); remove it, and it is made again") from error


def digest(dataset: Dataset | Selected, masked: bool) -> str:
    """A short name for the pictures, actions and order of the episodes."""
    told = hashlib.sha256(json.dumps([FORMAT, dataset.info.to_json()], sort_keys=True).encode())
    told.update(np.asarray(dataset.lengths, np.int64).tobytes())
    for i in range(len(dataset)):
        told.update(json.dumps(dataset.provenance(i), sort_keys=True, default=str).encode())
    return told.hexdigest()[:12] + (f"-grey{GREY}" if masked else "")


def columns(exported: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every frame: actions (N, A) f32, whether an expert gave them (N,) bool, number of the episode (N,) i64. Raises PolicyError."""
    table = exported.hf_dataset.select_columns([ACTION, "labelled", "episode_index"]).with_format("numpy")[:]
    actions = np.asarray(table[ACTION], np.float32)
    if not np.isfinite(actions).all():
        episode = int(table["episode_index"][~np.isfinite(actions).all(1)][0])
        raise PolicyError(f"episode {episode} holds actions that are not finite numbers")
    return actions, np.asarray(table["labelled"], bool).reshape(-1), np.asarray(table["episode_index"], np.int64)
