"""What differs from episode to episode, by name: what the task depends on, and what it should not."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from augment.diagnose.information import Dependence, bins, depend
from augment.diagnose.source import SubDataset
from augment.errors import AugmentError
from episodes import CameraInfo

_TABLE = 0.0
"""Height of the table in the base frame [m]."""
_METRES, _DEGREES, _RADIANS = 0.02, 1.0, 0.02
"""Differences below these are none: masks, grasps and calibrations are not better."""
_MOST = 100_000
"""Permutations of one test at most."""


class Kind(Enum):
    """What a factor is to the task."""

    relevant = "relevant"
    irrelevant = "irrelevant"


@dataclass(frozen=True)
class Factor:
    """One value for each episode of a mixture."""

    name: str
    kind: Kind
    values: tuple[str, ...]
    """Labels; those of continuous factors are intervals."""
    found: str
    """Where the values come from."""

    @property
    def varies(self) -> bool:
        """Whether there is more than one value."""
        return len(set(self.values)) > 1


@dataclass(frozen=True)
class Table:
    """All factors that are known of every episode of a mixture."""

    factors: tuple[Factor, ...]
    owner: tuple[str, ...]
    """Sub-dataset of each episode."""
    notes: tuple[str, ...]
    """What could not be found."""

    def named(self, name: str) -> Factor:
        """A factor by its name. Raises KeyError."""
        return next(factor for factor in self.factors if factor.name == name)

    def dependences(self, rng: np.random.Generator, permutations: int = 1999) -> tuple[Dependence, ...]:
        """Every relevant factor with every irrelevant one, over the mixture and inside each sub-dataset where both vary; the most first.

        A test cannot come out below 1 / (1 + permutations), which is much once it is corrected for hundreds of pairs. Where one comes out
        as low as that, it is made again with as many permutations as a corrected p of 0.01 needs, at most a hundred thousand.
        """
        pairs = list[tuple[str, list[tuple[str, list[str]]]]]()
        relevant, irrelevant = ([f for f in self.factors if f.kind is kind] for kind in Kind)
        for u, v in itertools.product(relevant, irrelevant):
            for where in ("mixture", *(dict.fromkeys(self.owner) if len(set(self.owner)) > 1 else ())):
                rows = [k for k, owner in enumerate(self.owner) if where in ("mixture", owner)]
                pair = [(f.name, [f.values[k] for k in rows]) for f in (u, v)]
                if where == "mixture" or all(len(set(values)) > 1 for _, values in pair):
                    pairs.append((where, pair))
        found, needed = list[Dependence](), min(100 * len(pairs), _MOST)
        for where, (u, v) in pairs:
            d = depend(u, v, rng, where=where, permutations=permutations)
            if needed > permutations and d.p <= 1 / (1 + permutations):
                d = depend(u, v, rng, where=where, permutations=needed)
            found.append(d)
        return tuple(sorted(found, key=lambda d: (d.where != "mixture", -d.adjusted)))


def holm(found: Sequence[Dependence]) -> tuple[float, ...]:
    """p values for all of them together, after Holm."""
    order = np.argsort([d.p for d in found], kind="stable")
    adjusted, worst = np.empty(len(found)), 0.0
    for rank, k in enumerate(order):
        worst = max(worst, min(1.0, (len(found) - rank) * found[int(k)].p))
        adjusted[k] = worst
    return tuple(adjusted.tolist())


def tabulate(mixture: Sequence[SubDataset], camera: str = "") -> Table:
    """The factors of a mixture.

    Args:
        mixture: its sub-datasets.
        camera: whose place in the world counts; empty: the first that all have and that is fixed to the world, else that all have.

    Raises:
        AugmentError: no sub-dataset, or a camera that is not there.
    """
    if not mixture:
        raise AugmentError("no sub-dataset to look at")
    chosen, notes = choose_camera(mixture, camera), []
    episodes = [(sub, k) for sub in mixture for k in range(len(sub))]
    found: list[Factor] = []

    def add(
        name: str, kind: Kind, how: str, of: Callable[[SubDataset, int], Any], resolution: float | None = None, period: float = 0.0
    ) -> None:
        values = [of(sub, k) for sub, k in episodes]
        if any(value is None for value in values):
            without = Counter(sub.name for (sub, _), value in zip(episodes, values, strict=True) if value is None)
            sizes = {sub.name: len(sub) for sub in mixture}
            said = [
                owner if count == sizes[owner] else f"{count} of {sizes[owner]} episodes of {owner}"
                for owner, count in sorted(without.items())
            ]
            notes.append(f"{name} is not known of {', '.join(said[:3])}{' and others' if len(said) > 3 else ''}")
        else:
            labels = tuple(map(str, values)) if resolution is None else bins(values, resolution, period=period)
            found.append(Factor(name, kind, labels, how))

    sizes = {(sub.pictures[chosen].shape[2], sub.pictures[chosen].shape[1]) for sub in mixture}
    if len(sizes) > 1:
        notes.append(
            f"pictures of {', '.join(f'{w} x {h}' for w, h in sorted(sizes))} pixels: each is resized before its features are taken"
        )
    grasped = all(_grasped(sub, k, 0) is not None for sub, k in episodes)
    where = _grasped if grasped else _on_table(chosen)
    how = "where it was grasped [m]" if grasped else "middle of the mask, on the table [m]"
    add("instruction", Kind.relevant, "as recorded", lambda sub, k: sub.instructions[k])
    add("object", Kind.relevant, "provenance", lambda sub, k: sub.provenance[k].get("object"))
    add("object forwards", Kind.relevant, how, lambda sub, k: where(sub, k, 0), _METRES)
    add("object sideways", Kind.relevant, how, lambda sub, k: where(sub, k, 1), _METRES)
    add("sub-dataset", Kind.irrelevant, "which one it is", lambda sub, _: sub.name)
    add("robot", Kind.irrelevant, "the data set's contract", lambda sub, _: sub.robot)
    add("camera angle", Kind.irrelevant, "extrinsics, about the robot's base [deg]", _of_camera(chosen, _azimuth), _DEGREES, 360.0)
    add("camera height", Kind.irrelevant, "extrinsics [m]", _of_camera(chosen, _height), _METRES)
    add("camera distance", Kind.irrelevant, "extrinsics [m]", _of_camera(chosen, _distance), _METRES)
    for key in ("scene", "background", "table", "light", "texture"):
        if any(key in said for sub in mixture for said in sub.provenance):
            add(key, Kind.irrelevant, "provenance", lambda sub, k, key=key: sub.provenance[k].get(key, "plain"))
    add("start pose", Kind.irrelevant, "first joint [rad]", _first_joint, _RADIANS)
    return Table(tuple(found), tuple(sub.name for sub, _ in episodes), tuple(notes))


def choose_camera(mixture: Sequence[SubDataset], camera: str = "") -> str:
    """The camera that a diagnosis looks through. Raises AugmentError where the sub-datasets have none in common."""
    common = [name for name in mixture[0].pictures if all(name in sub.pictures for sub in mixture)]
    if not common:
        said = "; ".join(f"{sub.name}: {', '.join(sub.pictures) or 'none'}" for sub in mixture[:4])
        raise AugmentError(f"the sub-datasets have no camera of one name in common ({said})")
    if camera:
        if camera not in common:
            raise AugmentError(f"camera={camera} is not in all sub-datasets; {', '.join(common)} are")
        return camera
    fixed = [name for name in common if all(seen[name].body == "world" for sub in mixture for seen in sub.cameras if name in seen)]
    return (fixed or common)[0]


def _grasped(sub: SubDataset, k: int, axis: int) -> float | None:
    """Where the expert grasped, x or y in the base frame [m]."""
    grasp = sub.provenance[k].get("grasp")
    try:
        return float(grasp["pos"][axis]) if isinstance(grasp, Mapping) else None
    except (KeyError, IndexError, TypeError, ValueError):
        return None


def _first_joint(sub: SubDataset, k: int) -> float | None:
    return float(sub.qpos[k, 0]) if sub.qpos.shape[1] else None


def _on_table(camera: str) -> Callable[[SubDataset, int, int], float | None]:
    """Where the ray through the middle of the target's mask meets the table, x or y in the base frame [m]; None where that is not known."""

    def of(sub: SubDataset, k: int, axis: int) -> float | None:
        mask, info = sub.masks.get(camera), sub.cameras[k].get(camera)
        if mask is None or info is None or info.body != "world" or not mask[k].any():
            return None
        rows, columns = np.nonzero(mask[k])
        ray = np.linalg.solve(np.asarray(info.intrinsics), [columns.mean() + 0.5, rows.mean() + 0.5, 1.0])
        pose = np.asarray(info.extrinsics)
        direction = pose[:3, :3] @ ray
        if direction[2] >= -1e-6:
            return None
        return float((pose[:3, 3] + direction * (_TABLE - pose[2, 3]) / direction[2])[axis])

    return of


def _of_camera(camera: str, of: Callable[[np.ndarray], float]) -> Callable[[SubDataset, int], float | None]:
    def value(sub: SubDataset, k: int) -> float | None:
        seen: Mapping[str, CameraInfo] = sub.cameras[k]
        return of(np.asarray(seen[camera].extrinsics)[:3, 3]) if camera in seen and seen[camera].body == "world" else None

    return value


def _azimuth(pos: np.ndarray) -> float:
    """About the robot's base, to its left [deg]."""
    return float(np.degrees(np.arctan2(pos[1], pos[0])))


def _height(pos: np.ndarray) -> float:
    return float(pos[2])


def _distance(pos: np.ndarray) -> float:
    """From the base's axis [m]."""
    return float(np.hypot(pos[0], pos[1]))
