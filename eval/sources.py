"""Suites by name: toys never played with, household objects, YCB, any folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from assets.graspable import Graspable
from assets.objects import ObjectSet, find_ycb, open_objects, open_ycb
from assets.toys import ToySet
from eval.errors import EvalError
from eval.results import read_json
from eval.suite import Suite, make_suite

SUITES = ("toys", "household", "ycb")
TOYS = 50
"""Toys in the suite of that name, where no limit is given."""
UNSEEN = 1_000_000
"""Toys to be tested on come from seeds above this one; training is not expected there, and checked."""


def open_suite(name: str, *, trials: int, seed: int = 0, limit: int | None = None, checkpoint: Path | None = None) -> Suite:
    """A suite by name, or a folder of objects.

    Args:
        name: one of SUITES, or a folder of packs or meshes.
        trials: per object.
        seed: of the rotations, and of the toys.
        limit: at most this many objects.
        checkpoint: whose training toys must not be among those of the suite.

    Raises:
        EvalError: there is no such suite, or the policy was trained on its toys.
        ObjectError: the folder cannot be read.
    """
    if name == "toys":
        seen = set() if checkpoint is None else training_seeds(checkpoint)
        if checkpoint is not None and not seen:
            print(f"{checkpoint} does not say which toys it was trained on: whether these are unseen is not checked", file=sys.stderr)
        if UNSEEN + seed in seen:
            raise EvalError(f"{checkpoint} was trained on the toys of seed {UNSEEN + seed}, so they are not unseen; choose another seed")
        return make_suite(name, ToySet.sample(UNSEEN + seed, limit or TOYS).toys, trials=trials, seed=seed)
    if name == "household":
        return make_suite(name, open_objects(name).objects, trials=trials, seed=seed, limit=limit)
    if name == "ycb":
        folder = find_ycb()
        if folder is None:
            raise EvalError("no YCB objects here; name their folder in CEZANNE_OBJECTS, or try suite=household")
        return make_suite(name, _usable(open_ycb(folder)), trials=trials, seed=seed, limit=limit)
    if not Path(name).is_dir():
        raise EvalError(f"suite {name!r} is neither one of {', '.join(SUITES)} nor a folder of objects")
    return make_suite(Path(name).resolve().name, _usable(open_objects(name)), trials=trials, seed=seed, limit=limit)


def _usable(found: ObjectSet) -> tuple[Graspable, ...]:
    """The objects of a set; what was refused is named on stderr."""
    for refused, why in found.refused:
        print(f"{refused}: left out: {why}", file=sys.stderr)
    return found.objects


def training_seeds(checkpoint: Path) -> set[int]:
    """Seeds of the toys that a policy was trained on: by its fingerprint, and by its dataset if it is still there. Empty: neither says."""
    prints = read_json(checkpoint / "fingerprint.json")
    if not isinstance(prints, dict):
        raise EvalError(f"{checkpoint}/fingerprint.json cannot be read, so nobody knows which toys the policy has seen")
    trained = prints.get("train")
    folder = trained.get("data") if isinstance(trained, dict) else None
    dataset = read_json(Path(folder) / "dataset.json") if isinstance(folder, str) else None
    own = {key: value for key, value in prints.items() if key != "train"}  # the seed of the weights is none of toys
    return _seeds(own) | _seeds(dataset)


def _seeds(value: Any) -> set[int]:
    if not isinstance(value, dict):
        return set()
    own = {item for key, item in value.items() if key in ("seed", "toys_seed") and isinstance(item, int)}
    return own.union(*(_seeds(item) for item in value.values()))
