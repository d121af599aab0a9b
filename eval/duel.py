"""Two policies tried side by side, object by object, until the test has decided."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from eval.errors import EvalError
from eval.evaluate import Cell, Crew, Opener, evaluate_all
from eval.fingerprint import assets_digest
from eval.results import Report, joined
from eval.statistics import common
from eval.statistics.sequential import Sequential
from eval.suite import Suite
from eval.trial import Rules


@dataclass(frozen=True)
class Duel:
    """What came of it."""

    new: Report
    old: Report
    state: Sequential
    pairs: tuple[int, ...]
    """Pairs of trials that took place, after each object of `state`."""
    planned: int
    """Pairs of the whole suite."""


def duel(
    new: Opener,
    old: Opener,
    suite: Suite,
    rules: Rules,
    *,
    rng: np.random.Generator,
    batch: int,
    small: float = 0.0,
    crew: Crew | None = None,
    out: Path | None = None,
    robot: Callable[..., Any] | None = None,
) -> Duel:
    """Runs both on the objects of a suite in random order, some at a time, and stops when the test has decided.

    Args:
        new: the candidate.
        old: the reference.
        suite: what to try, all trials of an object with both policies.
        rules: of success.
        rng: decides the order of the objects; the same order continues an interrupted duel.
        batch: objects tried between two looks at the test.
        small: stop also when differences of this size are ruled out, 0 to 1; 0: not for that reason.
        crew: who does the work.
        out: where finished trials are kept, and looked for.
        robot: as for `eval.evaluate.Cell`.

    Raises:
        EvalError: not one trial took place with both.
    """
    state, pairs = Sequential(small=small), []
    reports: list[tuple[Report, Report]] = []
    for part in _batches(suite, rng.permutation(len(suite.objects)), batch):
        one, two = evaluate_all([Cell(policy, part, rules, robot) for policy in (new, old)], crew=crew, out=out, progress=False)
        reports.append((one, two))
        gains: dict[str, list[int]] = {}
        for a, b in common(one.rows, two.rows):
            gains.setdefault(a.object, []).append((a.success is True) - (b.success is True))
        for name in (item.name for item in part.objects if item.name in gains):
            state = state.then([sum(gains[name]) / len(gains[name])])
            pairs.append((pairs[-1] if pairs else 0) + len(gains[name]))
        if state.gains:
            print(f"{pairs[-1]} of {len(suite.trials)} pairs: evidence {state.path[-1]:.3g}, 20 decides", file=sys.stderr, flush=True)
        if state.decided:
            break
    if not state.gains:
        why = "; ".join(f"{name}: {error}" for name, error in list(reports[0][0].missing.items())[:3])
        raise EvalError(f"not one trial of suite {suite.name!r} took place with both policies" + (f" ({why})" if why else ""))
    assets = assets_digest(suite.objects)
    whole = [joined(list(side)) for side in zip(*reports, strict=True)]
    one, two = (replace(report, fingerprint={**report.fingerprint, "assets": assets}) for report in whole)
    return Duel(one, two, state, tuple(pairs), len(suite.trials))


def _batches(suite: Suite, order: np.ndarray, size: int) -> Iterator[Suite]:
    """The suite in parts of `size` objects, in this order; every object keeps its trials."""
    for start in range(0, len(order), size):
        kept = [int(index) for index in order[start : start + size]]
        trials = tuple(replace(trial, object=new) for new, index in enumerate(kept) for trial in suite.of(index))
        if trials:
            yield replace(suite, objects=tuple(suite.objects[index] for index in kept), trials=trials)
