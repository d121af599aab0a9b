"""Mixtures: data sets and their weights, in a file that a person writes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from episodes.errors import StoreError

_LIMIT = 2**20
"""Largest file [bytes]."""
_MOST = 10_000
"""Data sets at most."""


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
            if not (math.isfinite(entry.weight) and entry.weight >= 0):
                raise StoreError(f"weight {entry.weight} of {entry.name!r}; a weight is a number of at least 0")
        if not self.entries or not sum(entry.weight for entry in self.entries) > 0:
            raise StoreError("the weights of the mixture sum to zero: nothing would be drawn")

    @staticmethod
    def load(path: str | Path) -> Mixture:
        """Reads a YAML file `name: weight` or `name: {weight: 1, path: folder}`; `root: folder` says where folders without a path lie.

        Folders are relative to the file. Nothing is opened. Raises StoreError for a file that cannot be read, is larger than a megabyte,
        uses anchors or tags, names a data set twice, or whose weights cannot be used.
        """
        path = Path(path)
        raw = _read(path)
        root = path.parent / str(raw.pop("root", ""))
        if len(raw) > _MOST:
            raise StoreError(f"{path} names {len(raw)} data sets; {_MOST} at most")
        return Mixture(tuple(_entry(str(name), value, root, path) for name, value in raw.items()))

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
    try:
        if path.stat().st_size > _LIMIT:
            raise StoreError(f"{path} has {path.stat().st_size} bytes; a mixture is a short list")
        text = path.read_text(encoding="utf-8")
        tokens = [type(token).__name__ for token in yaml.scan(text, Loader=yaml.SafeLoader)]
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise StoreError(f"no mixture can be read from {path}: {' '.join(str(error).split())[:160]}") from error
    if {"AnchorToken", "AliasToken", "TagToken"} & set(tokens):
        raise StoreError(f"{path} uses anchors, aliases or tags; a mixture is a plain list of names and weights")
    names = re.findall(r"(?m)^([^\s#:'\"][^:\n]*|'[^'\n]*'|\"[^\"\n]*\")\s*:", text)
    if twice := {name.strip() for name in names if names.count(name) > 1}:
        raise StoreError(f"{path} names {min(twice)} twice")
    try:
        raw = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise StoreError(f"{path} is not YAML: {' '.join(str(error).split())[:160]}") from error
    if not isinstance(raw, dict) or not raw:
        raise StoreError(f"{path} does not list `name: weight`")
    return raw


def _entry(name: str, value: Any, root: Path, file: Path) -> Entry:
    path: Any = name
    if isinstance(value, dict):
        if unknown := set(value) - {"weight", "path"}:
            raise StoreError(f"{file}: {name} has {min(map(str, unknown))!r}; known: weight, path")
        value, path = value.get("weight", 1.0), value.get("path", name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not isinstance(path, str):
        raise StoreError(f"{file}: {name} must have a number as its weight and a folder as its path, got {value!r} and {path!r}")
    return Entry(name, float(value), root / path)
