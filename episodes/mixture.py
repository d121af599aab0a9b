"""Mixtures: data sets and their weights, in a file that a person writes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from episodes.errors import StoreError

_LIMIT = 2**18
"""Largest file [bytes]."""
_MOST = 1000
"""Data sets at most."""
_HEAVIEST = 1e12
"""Largest weight."""


@dataclass(frozen=True)
class Entry:
    """One data set of a mixture."""

    name: str
    weight: float
    path: Path


@dataclass(frozen=True)
class Mixture:
    """Some data sets. Weights are relative; 0 leaves one out."""

    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        for entry in self.entries:
            if not 0 <= entry.weight <= _HEAVIEST:
                raise StoreError(f"weight {entry.weight} of {entry.name!r}; a weight is a number of at least 0, at most {_HEAVIEST:g}")
        if not self.entries or not sum(entry.weight for entry in self.entries) > 0:
            raise StoreError("the weights of the mixture sum to zero: nothing would be drawn")

    @staticmethod
    def load(path: str | Path) -> Mixture:
        """Reads a YAML file `name: weight` or `name: {weight: 1, path: folder}`; `root: folder` says where folders without a path lie.

        Folders are relative to the file. Nothing is opened. Raises StoreError for a file that cannot be read, is larger than 256 KB,
        uses anchors or tags, names a data set twice, or whose weights cannot be used.
        """
        path = Path(path)
        raw = _read(path)
        try:
            root = path.parent / _folder(raw.pop("root", ""))
        except ValueError as error:
            raise StoreError(f"{path}: root: {error}") from error
        if len(raw) > _MOST:
            raise StoreError(f"{path} names {len(raw)} data sets; {_MOST} at most")
        return Mixture(tuple(_entry(name, value, root, path) for name, value in raw.items()))

    def probabilities(self, transitions: Sequence[int], *, balance: bool = True) -> np.ndarray:
        """Of drawing a frame from each data set, (S,).

        As RLDS interleaves: with `balance` a weight counts for each transition of its data set, so that equal weights draw every frame
        alike; without it, for the data set as a whole. Raises StoreError where nothing could be drawn.
        """
        sizes = np.asarray(transitions, float)
        if len(sizes) != len(self.entries):
            raise StoreError(f"{len(sizes)} sizes for {len(self.entries)} data sets")
        weights = np.array([entry.weight for entry in self.entries]) * np.where(sizes > 0, sizes if balance else 1.0, 0.0)
        if not weights.sum() > 0:
            raise StoreError("every data set with a weight is empty: nothing would be drawn")
        return weights / weights.sum()

    def length(self, transitions: Sequence[int], *, balance: bool = True) -> int:
        """Draws after which every data set of weight 1 has been drawn as often as it has frames; of all data sets where none weighs 1."""
        p, sizes = self.probabilities(transitions, balance=balance), np.asarray(transitions, float)
        primary = np.array([entry.weight == 1 for entry in self.entries]) & (p > 0)
        chosen = primary if primary.any() else p > 0
        return math.ceil((sizes[chosen] / p[chosen]).max())


def _read(path: Path) -> dict[str, Any]:
    """Texts and tables of texts by name: nothing is resolved, so that a data set may be called `no`."""
    try:
        if path.stat().st_size > _LIMIT:
            raise StoreError(f"{path} has {path.stat().st_size} bytes; a mixture is a short list")
        text, depth = path.read_text(encoding="utf-8"), 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if getattr(event, "anchor", None) or getattr(event, "tag", None):
                raise StoreError(f"{path} uses anchors, aliases or tags; a mixture is a plain list of names and weights")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > 2:
                raise StoreError(f"{path} is nested; a mixture lists `name: weight` or `name: {{weight: 1, path: folder}}`")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise StoreError(f"no mixture can be read from {path}: {' '.join(str(error).split())[:160]}") from error
    if not isinstance(node, yaml.MappingNode) or not node.value:
        raise StoreError(f"{path} does not list `name: weight`")
    return _table(node, path)


def _table(node: yaml.MappingNode, file: Path) -> dict[str, Any]:
    found = dict[str, Any]()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or isinstance(value, yaml.SequenceNode):
            raise StoreError(f"{file} holds a list; a mixture lists `name: weight`")
        if key.value in found:
            raise StoreError(f"{file} names {key.value} twice")
        found[key.value] = _table(value, file) if isinstance(value, yaml.MappingNode) else value.value
    return found


def _entry(name: str, value: Any, root: Path, file: Path) -> Entry:
    given = value if isinstance(value, dict) else {"weight": value}
    if unknown := set(given) - {"weight", "path"}:
        raise StoreError(f"{file}: {name} has {min(unknown)!r}; known: weight, path")
    weight, path = given.get("weight", "1"), given.get("path", name)
    try:
        return Entry(name, float(weight), root / _folder(path))
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"{file}: {name} must have a number as its weight and a folder as its path, got {weight!r} and {path!r}"
        ) from error


def _folder(path: Any) -> str:
    if not isinstance(path, str) or "\0" in path:
        raise ValueError(f"{path!r} is no folder")
    return path
