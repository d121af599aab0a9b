"""What would make two factors independent: demonstrations to add, augmentations to run, each with the change that it would bring.

Predictions are computed from the joint table and from what each augmentation draws: they say what the data would let a policy know,
not what it would do. They are expectations, in the cells of the table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from augment.diagnose.factors import Table
from augment.diagnose.information import Dependence, entropy, joint_counts, mutual_information, normalized_mutual_information
from augment.embodiment import ARMS

GOOD = 0.1
"""Shared information that is worth no more demonstrations."""
COPIES = (1, 3)
"""Augmented copies beside each demonstration, of which the outcome is predicted."""
_MOST = 8
"""Additions proposed at most."""
_REACH = 0.25
"""How far `viewpoint.sampler=large` moves a camera along an axis [m]."""
_PAINTED = {"background": "background", "scene": "background", "table": "table", "texture": "table", "light": "photometric"}
"""The augmentation that gives a factor values that no demonstration had."""
_NOUNS = {"object sideways": "object position to the side", "object forwards": "object position forwards"}
_READ = {"object sideways": "object's position", "object forwards": "object's position"}
_OFF = {
    "camera angle": "camera",
    "camera height": "camera",
    "camera distance": "camera",
    "start pose": "arm's start pose",
    "sub-dataset": "looks of its sub-dataset",
}
"""What a policy would see of a factor."""


@dataclass(frozen=True)
class Addition:
    """Demonstrations that are missing."""

    u: str
    v: str
    """Values of the two factors."""
    count: int
    before: float
    after: float
    """Normalised mutual information once these and all before them are there."""


@dataclass(frozen=True)
class Remedy:
    """An augmentation, and what it would do to the joint table."""

    name: str
    says: str
    before: float
    after: tuple[float, ...]
    """Normalised mutual information with as many augmented copies of every demonstration beside it as `COPIES` says."""
    commands: tuple[str, ...]
    """One for each data set; nothing where none would help."""


def additions(found: Dependence) -> tuple[Addition, ...]:
    """Which demonstrations to add, the most useful first, until little is shared.

    Greedy: of all pairs of values, the one whose addition, as many as an ordinary pair that is there has, lowers the information most.
    """
    joint = np.array(found.joint, float)
    batch = max(1, round(float(np.mean(joint[joint > 0]))))
    chosen, now = list[Addition](), normalized_mutual_information(joint)
    while len(chosen) < _MOST and now > GOOD:
        i, j = np.unravel_index(int(np.argmin(_with_more(joint, batch).round(9))), joint.shape)
        joint[i, j] += batch
        value = normalized_mutual_information(joint)
        if value >= now - 1e-9:
            break
        chosen.append(Addition(found.u_labels[int(i)], found.v_labels[int(j)], batch, now, value))
        now = value
    return tuple(chosen)


def remedies(table: Table, found: Dependence, folders: Mapping[str, str]) -> tuple[Remedy, ...]:
    """Augmentations that bear on two factors, the best first, and photometric ones for comparison.

    Args:
        table: of all factors.
        found: two of them.
        folders: of the sub-datasets by name, for the commands.
    """
    pair = _Pair.of(table, found)
    copied = [
        *_viewpoint(pair, folders),
        *_embodiment(pair, folders),
        *_painted(pair, folders),
        *_swapped(pair, folders),
    ]
    if not any(name == "photometric" for name, *_ in copied):
        says = f"Changes colours. Neither {noun(found.u)} nor {noun(found.v)} gets another value: a copy is in the cell of its original."
        copied.append(("photometric", says, pair.cells(np.eye(len(pair.v_labels))[pair.v]), ()))
    before = normalized_mutual_information(pair.joint)
    said = [
        Remedy(name, says, before, tuple(normalized_mutual_information(_padded(pair.joint, copies) + n * copies) for n in COPIES), commands)
        for name, says, copies, commands in copied
    ]
    return tuple(sorted(said, key=lambda r: (r.after, r.name == "photometric")))


def verdict(found: Dependence | None, p: float, *, alpha: float = 0.05) -> str:
    """The worst pair in words; what can be read off is the share of the relevant factor that is told beyond chance, not that of both.

    p: for all pairs together that were looked at.
    """
    if found is None:
        return "No pair of a relevant and an irrelevant factor varies: nothing can be said about shortcuts."
    u, v = noun(found.u), noun(found.v)
    share = f"share {found.nmi:.2f} of their information"
    chance = f", where so few episodes share {found.null:.2f} by chance"
    if p > alpha:
        return f"No pair of factors can be told to depend. The nearest, {u} and {v}, {share}{chance} (p = {p:.2g})."
    where = "" if found.where == "mixture" else f" inside {found.where}"
    if found.nmi <= GOOD:
        return (
            f"{u[0].upper()}{u[1:]} and {v} depend on each other but share only {found.nmi:.2f} of their information{where} (p = {p:.2g})."
        )
    said = f"{u[0].upper()}{u[1:]} and {v} {share}{where}{chance if found.null > 0.05 else ''} (p = {p:.2g}): "
    read, off = _READ.get(found.u, found.u), _OFF.get(found.v, found.v)
    told = mutual_information(found.joint) / entropy(found.joint.sum(1)) * found.adjusted / found.nmi  # of what there is to know of u
    if told > 0.5:
        return f"{said}a policy can read the {read} off the {off}."
    if found.adjusted > GOOD:
        return f"{said}a policy can guess the {read} from the {off}."
    return f"{said}they depend, but the {off} says little of the {read}."


def noun(factor: str) -> str:
    """A factor in a sentence."""
    return _NOUNS.get(factor, factor)


@dataclass(frozen=True)
class _Pair:
    """Two factors of the N episodes that a dependence is over."""

    found: Dependence
    u: np.ndarray
    v: np.ndarray
    """Rows and columns of the joint table by episode, (N,)."""
    owner: tuple[str, ...]
    u_labels: tuple[str, ...]
    v_labels: tuple[str, ...]
    joint: np.ndarray

    @staticmethod
    def of(table: Table, found: Dependence) -> _Pair:
        rows = [k for k, owner in enumerate(table.owner) if found.where in ("mixture", owner)]
        u, v = ([table.named(name).values[k] for k in rows] for name in (found.u, found.v))
        joint, u_labels, v_labels = joint_counts(u, v)
        places = [{label: k for k, label in enumerate(labels)} for labels in (u_labels, v_labels)]
        at = [np.array([place[value] for value in values]) for place, values in zip(places, (u, v), strict=True)]
        return _Pair(found, at[0], at[1], tuple(table.owner[k] for k in rows), u_labels, v_labels, joint.astype(float))

    def members(self) -> dict[str, np.ndarray]:
        """Which episodes each sub-dataset has, (N,) bool by name."""
        return {name: np.array([owner == name for owner in self.owner]) for name in dict.fromkeys(self.owner)}

    def cells(self, columns: np.ndarray) -> np.ndarray:
        """The expected table of one copy of each episode, (U, W), from where in v each would be, (N, W)."""
        out = np.zeros((len(self.u_labels), columns.shape[1]))
        np.add.at(out, self.u, columns)
        return out


_Copied = tuple[str, str, np.ndarray, tuple[str, ...]]
"""Name, what it does, the expected table of one copy of each episode, commands."""


def _viewpoint(pair: _Pair, folders: Mapping[str, str]) -> Sequence[_Copied]:
    """Every sub-dataset over the whole range of camera angles, or cameras that move to and fro."""
    if pair.found.v not in ("camera angle", "camera height", "camera distance"):
        return ()
    place = np.array([_middle(label) for label in pair.v_labels])
    low, high, commands, ranges = place.min(), place.max(), list[str](), np.zeros((len(pair.v), 2))
    for name, mine in pair.members().items():
        own = float(place[pair.v[mine]].mean())
        if pair.found.v == "camera angle":
            turns = [float(np.clip(round(end - own, 1), -180, 180)) for end in (low, high)]
            settings = f"viewpoint.sampler=arc viewpoint.low={turns[0]:g} viewpoint.high={turns[1]:g}"
        else:
            turns, settings = [-_REACH, _REACH], "viewpoint.sampler=large"
        ranges[mine] = place[pair.v[mine]][:, None] + turns
        commands.append(_command(folders[name], "viewpoint", settings))
    edges = np.concatenate([[-np.inf], np.sort(place)[:-1] + np.diff(np.sort(place)) / 2, [np.inf]])
    width = np.maximum(ranges[:, 1:] - ranges[:, :1], 1e-9)
    inside = np.minimum(ranges[:, 1:], edges[1:]) - np.maximum(ranges[:, :1], edges[:-1])  # (N, V), in the order of place
    columns = np.zeros((len(pair.v), len(place)))
    columns[:, np.argsort(place, kind="stable")] = np.maximum(inside, 0) / width
    columns /= np.maximum(columns.sum(1, keepdims=True), 1e-12)
    if pair.found.v == "camera angle":
        says = f"Takes the camera of every copy to a random angle between {low:.3g} and {high:.3g} degrees, the range of the whole mixture."
    else:
        says = f"Moves the camera of every copy by up to {_REACH:g} m to and fro."
    return (("viewpoint", says + " Large turns need simulated episodes or depth.", pair.cells(columns), tuple(commands)),)


def _embodiment(pair: _Pair, folders: Mapping[str, str]) -> Sequence[_Copied]:
    """The other arms of the mixture, for what the Panda did."""
    others = [label for label in pair.v_labels if label in ARMS]
    if pair.found.v != "robot" or not others or "panda" not in pair.v_labels:
        return ()
    ours = pair.v == pair.v_labels.index("panda")
    columns = np.zeros((len(pair.v), len(pair.v_labels)))
    columns[np.ix_(ours, [pair.v_labels.index(arm) for arm in others])] = 1 / len(others)
    commands = [
        f"cezanne augment data={folders[name]} out={folders[name]}-{arm} chain=[embodiment] embodiment.arm={arm} keep=false"
        for name, mine in pair.members().items()
        if (mine & ours).any()
        for arm in others
    ]
    says = f"Shows what the Panda did by {' and '.join(others)}, in new data sets beside the others. What other arms did stays theirs."
    return (("embodiment", says, pair.cells(columns), tuple(commands)),)


def _painted(pair: _Pair, folders: Mapping[str, str]) -> Sequence[_Copied]:
    """Values that no demonstration had, drawn without looking at u: one more column."""
    if (name := _PAINTED.get(pair.found.v)) is None:
        return ()
    columns = np.zeros((len(pair.v), len(pair.v_labels) + 1))
    columns[:, -1] = 1
    says = f"Draws {noun(pair.found.v)} anew for every copy, whatever {noun(pair.found.u)} is; new ones are counted as one value."
    return ((name, says, pair.cells(columns), tuple(_command(folders[n], name) for n in pair.members())),)


def _swapped(pair: _Pair, folders: Mapping[str, str]) -> Sequence[_Copied]:
    """Another object in the place of each: of its own sub-dataset where this does as well, else of all."""
    if pair.found.u not in ("object", "instruction"):
        return ()
    tables = {"own": np.zeros_like(pair.joint), "all": np.zeros_like(pair.joint)}
    for mine in pair.members().values():
        counts = np.zeros_like(pair.joint)
        np.add.at(counts, (pair.u[mine], pair.v[mine]), 1)
        for whose, there in (("own", counts.sum(1) > 0), ("all", np.ones(len(counts), bool))):
            if (others := there.sum() - 1) > 0:  # each but the one that is there, as often
                tables[whose] += there[:, None] * (counts.sum(0) - counts) / others
    own, everything = (normalized_mutual_information(pair.joint + table) for table in tables.values())
    if own <= everything + 0.02:
        says, table, settings = "Puts another object of the same sub-dataset where each one is, and names it.", tables["own"], ""
    else:
        says = "Puts an object of the whole mixture where each one is, and names it; `objects.npz` holds its crops (docs/diagnostics.md)."
        table, settings = tables["all"], "swap.library=objects.npz"
    return (("swap", says, table, tuple(_command(folders[name], "swap", settings) for name in pair.members())),)


def _command(folder: str, name: str, settings: str = "") -> str:
    return f"cezanne augment data={folder} out={folder}-wide chain=[{name}]{' ' if settings else ''}{settings}"


def _middle(label: str) -> float:
    """Of a cluster or an interval."""
    ends = [float(part) for part in re.split(r" to ", label)]
    return sum(ends) / len(ends)


def _padded(joint: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """With empty columns for what only copies have."""
    return np.pad(joint, ((0, 0), (0, copies.shape[1] - joint.shape[1])))


def _with_more(joint: np.ndarray, count: int) -> np.ndarray:
    """Normalised mutual information with `count` more episodes in a cell, for each cell, (U, V)."""
    weigh = lambda n: n * np.log2(np.maximum(n, 1))  # noqa: E731
    change = lambda n: weigh(n + count) - weigh(n)  # noqa: E731
    rows, columns, total = joint.sum(1, keepdims=True), joint.sum(0, keepdims=True), joint.sum() + count
    sums = [weigh(n).sum() + change(n) for n in (rows, columns, joint)]
    own, other, both = (np.log2(total) - np.broadcast_to(n, joint.shape) / total for n in sums)
    return 2 * (own + other - both) / np.maximum(own + other, 1e-12)
