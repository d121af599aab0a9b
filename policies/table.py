"""Everything of a dataset but its pictures: proprioception, labels and which moments are training samples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from episodes.dataset import Dataset
from policies.errors import PolicyError
from policies.selection import Selected
from policies.units import check_motion, check_points


@dataclass(frozen=True)
class Table:
    """R steps of E episodes, one after another; F of the steps are frames: the moments whose pictures are kept. A = joints + gripper."""

    proprio: np.ndarray
    """(R, A) f32 [rad, opening]"""
    actions: np.ndarray
    """(R, A) f32, absolute targets"""
    labelled: np.ndarray
    """(R,) bool"""
    grasp: np.ndarray
    """Grasp point, cosine and sine of twice the yaw, (R, 5) f32; NaN where unknown."""
    first: np.ndarray
    """First step of each step's episode, (R,) i64."""
    last: np.ndarray
    """Last step of each step's episode, (R,) i64."""
    frame: np.ndarray
    """Step of each frame, (F,) i64."""
    held_out: np.ndarray
    """Whether each frame is for validation, (F,) bool."""

    def save(self, path: Path) -> None:
        """Writes one .npz."""
        np.savez(path, **{f.name: getattr(self, f.name) for f in fields(self)})

    @staticmethod
    def load(path: Path) -> Table:
        """Reads it back."""
        with np.load(path, allow_pickle=False) as data:
            return Table(**{f.name: data[f.name] for f in fields(Table)})


def frames_of(length: int, episode: int, stride: int) -> np.ndarray:
    """The steps of an episode that are frames; the first one alternates by episode."""
    return np.arange(episode % stride if length > stride else 0, length, stride)


def read_table(dataset: Dataset | Selected, stride: int, holdout: float, seed: int) -> Table:
    """The table of a dataset. Raises PolicyError where its numbers cannot be learned from."""
    if not len(dataset):
        raise PolicyError("the dataset holds no episodes")
    lengths = np.asarray(dataset.lengths, np.int64)
    starts = np.cumsum(lengths) - lengths
    rows: dict[str, list[np.ndarray]] = {k: [] for k in ("proprio", "actions", "labelled", "grasp")}
    toys = []
    for i in range(len(dataset)):
        signals, provenance = dataset.signals(i), dataset.provenance(i)
        proprio = np.concatenate([signals.qpos, signals.gripper], 1).astype(np.float32)
        for name, value in (("proprioception", proprio), ("actions", signals.actions)):
            if not np.isfinite(value).all():
                raise PolicyError(f"episode {i} of the dataset has {name} that are not finite")
        check_motion(proprio, signals.actions, dataset.info.robot, dataset.info.joints, f"episode {i} of the dataset")
        rows["proprio"].append(proprio)
        rows["actions"].append(np.asarray(signals.actions, np.float32))
        rows["labelled"].append(np.asarray(signals.labelled, bool))
        rows["grasp"].append(_grasps(provenance, rows["labelled"][-1], f"episode {i} of the dataset"))
        toys.append(json.dumps(provenance.get("toy", i), sort_keys=True))
    frames = [frames_of(int(n), i, stride) for i, n in enumerate(lengths)]
    held = held_out_episodes(toys, holdout, seed)
    return Table(
        **{k: np.concatenate(v) for k, v in rows.items()},
        first=np.repeat(starts, lengths),
        last=np.repeat(starts + lengths - 1, lengths),
        frame=np.concatenate([f + s for f, s in zip(frames, starts, strict=True)]),
        held_out=np.repeat(held, [len(f) for f in frames]),
    )


def held_out_episodes(toys: Sequence[str], share: float, seed: int) -> np.ndarray:
    """Whether each episode is for validation, (E,) bool: all episodes of some toys, so that validation sees new ones; never all toys."""
    known = sorted(set(toys))
    n = min(max(1, round(share * len(known))), len(known) - 1) if share else 0
    chosen = set(np.random.default_rng([seed, 17]).permutation(known)[:n].tolist())
    return np.array([toy in chosen for toy in toys])


def _grasps(provenance: Mapping[str, Any], labelled: np.ndarray, whose: str) -> np.ndarray:
    """`grasps_of`, checked. Raises PolicyError."""
    try:
        found = grasps_of(provenance, labelled)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise PolicyError(f"{whose}: its grasp is malformed ({type(error).__name__}: {error}); pos [m] and yaw [rad] are wanted") from None
    if np.isinf(found).any():
        raise PolicyError(f"{whose}: its grasp is not finite")
    check_points(found[:, :3], whose)
    return found


def grasps_of(provenance: Mapping[str, Any], labelled: np.ndarray) -> np.ndarray:
    """The grasp that each step leads to, (T, 5); NaN where the episode does not say.

    `provenance["grasp"]` is one grasp {"pos", "yaw"}, or a list of [step, grasp] from when on it holds. One grasp is that of
    the end: before a failed try it is not yet what the expert goes for.
    """
    said = provenance.get("grasp")
    out = np.full((len(labelled), 5), np.nan, np.float32)
    if isinstance(said, Mapping):
        sabotaged = np.flatnonzero(~labelled)
        said = [[int(sabotaged[-1]) + 1 if len(sabotaged) else 0, said]]
    for step, grasp in said or ():
        yaw = 2 * float(grasp["yaw"])
        out[int(step) :] = (*grasp["pos"], np.cos(yaw), np.sin(yaw))
    return out
