"""A set of toys: one JSON file, from which the geometry is rebuilt bit for bit."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np

from assets.errors import ToyError
from assets.toys.part import Part
from assets.toys.sampler import Recipe, sample_toy
from assets.toys.toy import Toy

VERSION = 1
MOST_TOYS = 100_000
_MOST_BYTES = 200_000_000


@dataclass(frozen=True)
class ToySet:
    """Toys in order, and where they came from."""

    version: int
    seed: int
    toys: tuple[Toy, ...]

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise ToyError(
                f"toy set of version {self.version!r}; this program reads version {VERSION}: sample it again with `cezanne toys`"
            )
        if not 1 <= len(self.toys) <= MOST_TOYS:
            raise ToyError(f"a set of {len(self.toys)} toys; it holds 1 to {MOST_TOYS}")
        if type(self.seed) is not int or not 0 <= self.seed < 2**63:
            raise ToyError(f"seed={self.seed!r}; a seed is a whole number from 0")

    def __len__(self) -> int:
        return len(self.toys)

    def __iter__(self) -> Iterator[Toy]:
        return iter(self.toys)

    @overload
    def __getitem__(self, i: int) -> Toy: ...
    @overload
    def __getitem__(self, i: slice) -> tuple[Toy, ...]: ...
    def __getitem__(self, i: int | slice) -> Toy | tuple[Toy, ...]:
        return self.toys[i]

    @classmethod
    def sample(cls, seed: int, n: int, recipe: Recipe | None = None) -> ToySet:
        """The first n toys of a seed. Toy i depends on the seed and i alone: a larger set begins with the smaller."""
        if not 1 <= n <= MOST_TOYS:
            raise ToyError(f"toys={n}; a set holds 1 to {MOST_TOYS}")
        if type(seed) is not int or not 0 <= seed < 2**63:
            raise ToyError(f"seed={seed!r}; a seed is a whole number from 0")
        rngs = (np.random.default_rng([seed, i]) for i in range(n))
        return cls(VERSION, seed, tuple(replace(sample_toy(rng, recipe=recipe), name=f"toy-{seed}-{i:05d}") for i, rng in enumerate(rngs)))

    def save(self, path: str | Path) -> None:
        """Writes JSON, under a temporary name first: a killed program leaves the old file or the new one."""
        path = Path(path)
        rows = ",\n  ".join(json.dumps(_row(toy)) for toy in self.toys)
        text = f'{{"version": {self.version}, "seed": {self.seed}, "toys": [\n  {rows}\n]}}\n'
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text)
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise ToyError(f"{path} cannot be written: {error.strerror}") from error

    @classmethod
    def load(cls, path: str | Path) -> ToySet:
        """Reads a set. Raises ToyError with one line for whatever is wrong with the file."""
        path = Path(path)
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise ToyError(f"{path}: larger than {_MOST_BYTES // 1_000_000} MB, no toy set")
            data = json.loads(path.read_text())
        except OSError as error:
            raise ToyError(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise ToyError(f"{path} is no JSON: {str(error)[:100]}") from error
        if not isinstance(data, dict) or not {"version", "seed", "toys"} <= data.keys():
            raise ToyError(f"{path} is no toy set: it lacks version, seed or toys")
        if data["version"] != VERSION:
            raise ToyError(
                f"{path} has version {str(data['version'])[:20]}; this program reads version {VERSION}: sample it again with `cezanne toys`"
            )
        rows = data["toys"]
        if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_TOYS:
            raise ToyError(f"{path}: toys must be a list of 1 to {MOST_TOYS}")
        toys = []
        for i, row in enumerate(rows):
            try:
                toys.append(_toy(row))
            except ToyError as error:
                raise ToyError(f"{path}: toy {i}: {error}") from error
            except (TypeError, KeyError, ValueError, OverflowError, AttributeError) as error:
                raise ToyError(f"{path}: toy {i} is malformed ({type(error).__name__}: {str(error)[:80]})") from error
        try:
            return cls(data["version"], data["seed"], tuple(toys))
        except ToyError as error:
            raise ToyError(f"{path}: {error}") from error


def _row(toy: Toy) -> dict[str, object]:
    parts = [{"shape": p.shape, "size": p.size, "pos": p.pos, "quat": p.quat} for p in toy.parts]
    return {"name": toy.name, "colour": toy.colour, "density": toy.density, "parts": parts}


def _toy(row: dict) -> Toy:
    if len(row["parts"]) > 5:
        raise ToyError(f"{len(row['parts'])} parts; a toy has 1 to 5")
    parts = tuple(Part(p["shape"], _floats(p["size"]), _floats(p["pos"]), _floats(p["quat"])) for p in row["parts"])  # type: ignore[arg-type]
    return Toy(parts, row["colour"], float(row["density"]), row["name"])


def _floats(values: list[float]) -> tuple[float, ...]:
    if not isinstance(values, list) or len(values) > 4:
        raise ToyError(f"{str(values)[:40]!r} is no short list of numbers")
    return tuple(float(v) for v in values)
