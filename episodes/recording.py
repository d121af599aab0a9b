"""An episode as a recording for the Rerun viewer, which is optional."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np

from episodes.episode import Episode
from episodes.errors import EpisodeError


def write_recording(path: Path, episode: Episode) -> None:
    """Writes an .rrd file: pictures and masks, joints, gripper and actions over time. Raises EpisodeError."""
    try:
        rr = importlib.import_module("rerun")
    except ImportError as error:
        raise EpisodeError("rerun=true needs the Rerun viewer; `uv pip install rerun-sdk` in .venv installs it") from error
    stream = rr.RecordingStream("cezanne")
    stream.save(str(path))
    for t in range(len(episode)):
        stream.set_time("step", sequence=t)
        stream.set_time("time", duration=t * episode.dt)
        for name, images in episode.images.items():
            stream.log(f"cameras/{name}", rr.Image(images[t]).compress())
            stream.log(f"cameras/{name}/mask", rr.SegmentationImage(episode.masks[name][t].astype(np.uint8)))
        for name in ("qpos", "gripper", "actions", "sent"):
            stream.log(name, rr.Scalars(getattr(episode, name)[t]))
        stream.log("labelled", rr.Scalars([float(episode.labelled[t])]))
    stream.flush()
