"""`cezanne convert`: a dataset to LeRobotDataset v3.0, or from it, and what is lost on the way."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from episodes.dataset import Dataset, open_dataset
from episodes.errors import StoreError
from episodes.lerobot import LeRobotSource
from episodes.lerobot_export import export
from episodes.lerobot_import import Reading, about_of, import_dataset, mask_of, read_episode


@dataclass
class ConvertConfig:
    """A dataset of ours becomes LeRobot's, and the other way."""

    data: str = ""
    """Folder of the dataset: ours, or a LeRobotDataset v3.0."""
    out: str = ""
    """Folder of the new one."""
    videos: bool = True
    """To LeRobot: pictures as H.264 video, small and a little lost; false: as PNG, exact."""
    check: bool = True
    """To LeRobot: read it again, compare, and say what was lost."""
    gripper: int = 1
    """From LeRobot: how many of the last values of state and action are the gripper's."""
    degrees: bool = False
    """From LeRobot: joints are in degrees."""
    shut: float = 0.0
    """From LeRobot: the gripper's value when it is closed."""
    open: float = 1.0
    """From LeRobot: the gripper's value when it is open."""
    fovy: float = 60.0
    """From LeRobot: vertical field of view of the cameras, which it does not say [deg]."""

    def __post_init__(self) -> None:
        self.reading()

    def reading(self) -> Reading:
        """How a recorded dataset is understood. Raises StoreError where that cannot be."""
        return Reading(self.gripper, self.degrees, self.shut, self.open, self.fovy)


def run(cfg: ConvertConfig) -> dict[str, Any]:
    """Converts and says what there is now."""
    if not cfg.data or not cfg.out:
        raise StoreError("data=FOLDER and out=FOLDER are needed, as in: cezanne convert data=data/toys out=data/toys-lerobot")
    begin, source, out = time.monotonic(), Path(cfg.data), Path(cfg.out)
    ours = (source / "dataset.json").exists()
    summary = _out(open_dataset(source), out, cfg) if ours else _in(LeRobotSource(source), out, cfg)
    return {**summary, "out": str(out), "seconds": round(time.monotonic() - begin, 1)}


def _out(dataset: Dataset, out: Path, cfg: ConvertConfig) -> dict[str, Any]:
    with tqdm(total=len(dataset), desc="to LeRobot", unit="episode") as bar:
        export(dataset, out, videos=cfg.videos, watch=bar.update)
    said = {"format": "LeRobotDataset v3.0", "episodes": len(dataset), "steps": int(dataset.lengths.sum())}
    return {**said, "lost": lost(dataset, LeRobotSource(out))} if cfg.check else said


def _in(source: LeRobotSource, out: Path, cfg: ConvertConfig) -> dict[str, Any]:
    with tqdm(total=len(source), desc="from LeRobot", unit="episode") as bar:
        import_dataset(source, out, cfg.reading(), watch=bar.update)
    made = open_dataset(out)
    return {"format": "cezanne", "episodes": len(made), "steps": int(made.lengths.sum())}


def lost(dataset: Dataset, source: LeRobotSource) -> dict[str, Any]:
    """What differs between a dataset and its export, read again: nothing but what is named here."""
    about = about_of(source)
    masks = {name: mask_of(source, name) for name in dataset.info.cameras}
    grey, worst, pixels, wrong = 0.0, 0, 0, set()
    for k, ours in enumerate(tqdm(dataset, total=len(dataset), desc="compare", unit="episode", leave=False)):
        theirs = read_episode(source, k, dataset.info, masks, Reading(dataset.info.gripper), about)
        for name in ("qpos", "gripper", "actions", "sent", "labelled", "instruction", "success", "dt"):
            if not np.array_equal(getattr(ours, name), getattr(theirs, name)):
                wrong.add(name)
        wrong |= {f"masks/{name}" for name in masks if not np.array_equal(ours.masks[name], theirs.masks[name])}
        for name in masks:
            apart = np.abs(ours.images[name].astype(np.int16) - theirs.images[name])
            grey, worst, pixels = grey + float(apart.sum()), max(worst, int(apart.max())), pixels + apart.size
    found: dict[str, Any] = {"state": "the simulation's state is not exported: such episodes cannot be drawn again"}
    if worst:
        found["images"] = {"mean": round(grey / pixels, 3), "most": worst, "of": 255}
    return found | dict.fromkeys(sorted(wrong), "differs")
