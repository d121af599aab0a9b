"""Suites by name: toys never played with, household objects, YCB, any folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from assets.graspable import Graspable
from assets.objects import ObjectSet, find_set, find_ycb, known_sets, open_objects, open_ycb
from assets.toys import ToySet
from eval.errors import EvalError
from eval.results import read_json
from eval.robosuite_suite import ROBOSUITE, TASKS, TWINS, at_home
from eval.suite import Suite, make_suite

SUITES = ("toys", "household", "ycb", "ycb65", ROBOSUITE, TWINS)
TOYS = 50
"""Toys in the suite of that name, where no limit is given."""
UNSEEN = 1_000_000
"""Toys to be tested on come from seeds above this one; training is not expected there, and checked."""
_DATA = Path(__file__).parent / "suites"
"""NAME.json: a suite that leaves out some objects of another, each with the reason."""


def open_suite(name: str, *, trials: int, seed: int = 0, limit: int | None = None, checkpoint: Path | None = None) -> Suite:
    """A suite by name, a set that `cezanne objects` made, or a folder of objects.

    Args:
        name: one of SUITES, a set, or a folder of packs or meshes.
        trials: per object.
        seed: of the rotations, and of the toys.
        limit: at most this many objects.
        checkpoint: whose training toys must not be among those of the suite.

    Raises:
        EvalError: there is no such suite, or the policy was trained on its toys.
        ObjectError: the folder cannot be read.
    """
    if name == "toys":
        if checkpoint is not None:
            check_unseen(checkpoint, UNSEEN + seed)
        source = f"toys:{UNSEEN + seed}:{limit or TOYS}"
        return make_suite(name, open_source(source), trials=trials, seed=seed, source=source)
    if name in SUITES:
        return make_suite(name, open_source(name), trials=trials, seed=seed, limit=limit, source=name)
    folder = find_set(name) or Path(name)
    if not folder.is_dir():
        raise EvalError(f"suite {name!r} is neither one of {', '.join(suite_names())} nor a folder of objects")
    source = str(folder.resolve())
    return make_suite(Path(source).name, open_source(source), trials=trials, seed=seed, limit=limit, source=source)


def open_source(source: str) -> tuple[Graspable, ...]:
    """The objects of a suite, by what `Suite.source` says. Raises EvalError, ObjectError."""
    source = at_home(source)
    if source.startswith("toys:"):
        try:
            seed, count = (int(number) for number in source.split(":")[1:])
        except ValueError as error:
            raise EvalError(f"{source!r} is no source of toys; it is written toys:SEED:NUMBER") from error
        return ToySet.sample(seed, count).toys
    if source == "household":
        return open_objects(source).objects
    if source in (ROBOSUITE, TWINS):
        return TASKS
    if source == "ycb":
        folder = find_ycb()
        if folder is None:
            raise EvalError(
                "no YCB objects here: `cezanne objects fetch ycb`, name their folder in CEZANNE_OBJECTS, or try suite=household"
            )
        return _usable(open_ycb(folder))
    if source in SUITES:
        described = json.loads((_DATA / f"{source}.json").read_text())
        return tuple(item for item in open_source(described["source"]) if item.name not in described["left_out"])
    return _usable(open_objects(source))


def check_unseen(checkpoint: Path, seed: int) -> None:
    """Raises EvalError where a policy was trained on the toys of this seed; says so where that cannot be told."""
    seen = training_seeds(checkpoint)
    if not seen:
        print(f"{checkpoint} does not say which toys it was trained on: whether these are unseen is not checked", file=sys.stderr)
    if seed in seen:
        raise EvalError(f"{checkpoint} was trained on the toys of seed {seed}, so they are not unseen; choose another seed")


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


def known_suites(names: Iterable[str]) -> None:
    """Raises EvalError where one is neither a suite nor a folder, before anything is opened."""
    for name in names:
        if name not in SUITES and find_set(name) is None and not Path(name).is_dir():
            raise EvalError(f"unknown suite {name!r}; known: {', '.join(suite_names())}, or a folder of objects")


def suite_names() -> list[str]:
    """Of everything that has one."""
    return [*dict.fromkeys((*SUITES, *known_sets()))]


def _usable(found: ObjectSet) -> tuple[Graspable, ...]:
    """The objects of a set; what was refused is named on stderr."""
    for refused, why in found.refused:
        print(f"{refused}: left out: {why}", file=sys.stderr)
    return found.objects


def _seeds(value: Any) -> set[int]:
    if not isinstance(value, dict):
        return set()
    own = {item for key, item in value.items() if key in ("seed", "toys_seed") and isinstance(item, int)}
    return own.union(*(_seeds(item) for item in value.values()))
