"""A recorded trial as a page shows it: its pictures in a row, when each was taken, what happened, and the film."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.gallery import Clip
from eval.pages.strip import pictures
from eval.pages.words import arm_title, plain, says


@dataclass(frozen=True)
class Frame:
    """One picture."""

    jpeg: bytes
    at: str
    """Time from the start; empty where it is not known."""


@dataclass(frozen=True)
class Reel:
    """One trial."""

    name: str
    says: str
    frames: tuple[Frame, ...]
    video: Path


def reel(clip: Clip, about: str = "") -> Reel:
    """Takes the strip of a clip apart. `about` is said before what happened."""
    row, cut = clip.outcome, pictures(clip.strip)
    times = [f"{t:.1f} s" for t in np.linspace(0, row.seconds, len(cut))] if len(cut) > 1 else [""]
    happened = f"lifted after {row.time_to_lift:.1f} s" if row.success and row.time_to_lift is not None else says(row.reason.value)
    arm = "" if row.axis == "none" else arm_title(row.axis, row.strength)
    told = ", ".join(part for part in (about, arm, happened, f"start pose {row.pose}") if part)
    return Reel(plain(row.object), told, tuple(Frame(jpeg, at) for jpeg, at in zip(cut, times, strict=True)), clip.video)
