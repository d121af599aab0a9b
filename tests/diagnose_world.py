"""Data sets of noise whose cameras and grasps are where a test wants them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from episode_samples import make_episode, make_info

from augment.diagnose.factors import Factor, Kind, Table
from episodes import DatasetWriter
from sim.camera import SIDE, described, rotated

SIZES = {"side": (24, 24)}


def write_set(
    folder: Path, places: Sequence[float], degrees: Sequence[float], objects: Sequence[str] = ("can",), camera: str = "side", **changes: Any
) -> Path:
    """A data set of an episode for each place [m, to the side] and camera angle [deg]; objects are dealt in turn."""
    info = make_info({camera: SIZES["side"]})
    episodes = []
    for k, (y, angle) in enumerate(zip(places, degrees, strict=True)):
        seen = json.loads(json.dumps({camera: asdict(described(rotated(SIDE, angle), SIZES["side"][0]))}))
        said = {"cameras": seen, "grasp": {"pos": [0.5, y, 0.02]}, "object": objects[k % len(objects)], "seed": k}
        episode = make_episode(len(str(folder)) * 1000 + k, steps=2, sizes={camera: SIZES["side"]}, provenance=said, **changes)
        episode.qpos[:] = 0
        episodes.append(episode)
    DatasetWriter(folder, info).write("a", episodes)
    return folder


def table_of(owner: Sequence[str], u: tuple[str, Sequence[str]], v: tuple[str, Sequence[str]], found: str = "given") -> Table:
    """A relevant and an irrelevant factor."""
    return Table((Factor(u[0], Kind.relevant, tuple(u[1]), found), Factor(v[0], Kind.irrelevant, tuple(v[1]), found)), tuple(owner), ())
