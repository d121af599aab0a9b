"""`cezanne view`: an episode as a video and a contact sheet, or in Rerun."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from episodes.dataset import open_dataset
from episodes.episode import Episode
from episodes.errors import EpisodeError
from episodes.picture import draw_mask, enlarge, panel, sheet, write_picture, write_video


@dataclass
class ViewConfig:
    """Shows one stored episode."""

    data: str = "data/toys"
    """Folder of the dataset."""
    episode: int = 0
    """Which one; negative numbers count from the end."""
    out: str = "runs/view"
    """Folder of the pictures."""
    frames: int = 10
    """Pictures of each camera on the contact sheet."""
    size: int = 512
    """Height of the video's pictures [px]."""
    rerun: bool = False
    """Write a recording for the Rerun viewer too, where it is installed."""

    def __post_init__(self) -> None:
        if not 1 <= self.frames <= 100:
            raise EpisodeError(f"frames={self.frames}; a sheet has 1 to 100")
        if not 64 <= self.size <= 2160:
            raise EpisodeError(f"size={self.size} px; pictures of the video are 64 to 2160 px high")


def run(cfg: ViewConfig) -> dict[str, Any]:
    """Writes the pictures and says where they are."""
    dataset = open_dataset(cfg.data)
    if not -len(dataset) <= cfg.episode < len(dataset):
        known = f"0 to {len(dataset) - 1}" if len(dataset) else "none"
        raise EpisodeError(f"episode={cfg.episode}; {cfg.data} has {known}")
    number = cfg.episode % len(dataset)
    episode = dataset[number]
    if not episode.images:
        raise EpisodeError(f"episode {number} of {cfg.data} has no pictures")
    name = f"episode-{number:05d}"
    video, page = Path(cfg.out) / f"{name}.mp4", Path(cfg.out) / f"{name}.png"
    try:
        video.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EpisodeError(f"cannot make {video.parent}: {error.strerror}") from error
    write_picture(page, contact_sheet(episode, cfg.frames))
    write_video(video, video_frames(episode, cfg.size), 1 / episode.dt)
    summary = {"episode": number, "steps": len(episode), "success": episode.success, "video": str(video), "sheet": str(page)}
    if cfg.rerun:
        from episodes.recording import write_recording

        recording = Path(cfg.out) / f"{name}.rrd"
        write_recording(recording, episode)
        summary["rerun"] = str(recording)
    return summary


def video_frames(episode: Episode, height: int) -> Iterator[np.ndarray]:
    """All cameras side by side, the mask outlined; below, the time, the gripper and whether the step has a label."""
    last, n = len(episode) - 1, episode.qpos.shape[1]
    foot = max(24, height // 14)
    for t in range(len(episode)):
        seen = [draw_mask(enlarge(images[t], height), episode.masks[name][t]) for name, images in episode.images.items()]
        row = np.concatenate(seen, axis=1)
        opening, wanted = float(episode.gripper[t].mean()), float(episode.actions[t, n:].mean())
        said = "" if episode.labelled[t] else "not labelled"
        texts = [f"step {t} / {last}", f"{t * episode.dt:.2f} s", said, f"gripper {opening:.2f}, wanted {wanted:.2f}"]
        places = [foot // 2, round(0.19 * row.shape[1]), round(0.31 * row.shape[1]), round(0.52 * row.shape[1])]
        if row.shape[1] < 18 * foot:  # too narrow for all
            texts, places = texts[:1], places[:1]
        yield np.concatenate([row, panel(row.shape[1], foot, list(zip(places, texts, strict=True)), bar=opening)])


def contact_sheet(episode: Episode, frames: int, height: int = 192) -> np.ndarray:
    """Key frames of every camera with the mask outlined, on white, (H, W, 3) u8."""
    steps = np.unique(np.linspace(0, len(episode) - 1, frames).round().astype(int))
    labels = [f"{t * episode.dt:.2f} s" + ("" if episode.labelled[t] else " *") for t in steps]
    source = episode.provenance.get("object") or episode.provenance.get("toy")
    about = [str(source)] if source is not None else []
    about += [episode.instruction, f"{len(episode)} steps at {1 / episode.dt:g} Hz", "success" if episode.success else "failure"]
    if not episode.labelled[steps].all():
        about.append("* without a label")
    return sheet(
        [images[steps] for images in episode.images.values()],
        [masks[steps] for masks in episode.masks.values()],
        columns=labels,
        rows=list(episode.images),
        caption="  \N{MIDDLE DOT}  ".join(about),
        height=height,
    )
