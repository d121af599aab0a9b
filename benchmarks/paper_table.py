"""The table of "Learning to Grasp Anything by Playing with Random Toys", ours beside the paper's: its cells, and what came of them.

`benchmarks/paper_table.sh profile=cpu out=runs/paper` runs them all and prints the table. Alone, `python -m benchmarks.paper_table table
profile=cpu out=runs/paper` prints what stands of it, and with document=docs/results.md writes it there; `... plan` prints the commands.
The last line is JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eval.results import load_report, read_json
from eval.studies.document import place, section
from eval.studies.figure import draw
from eval.studies.study import Arm, Result, Study, against

PAPER = {
    "det": {250: 56.63, 500: 68.17, 1000: 71.15, 1500: 74.62, 2000: 76.83, 2500: 80.00},
    "attention": {250: 34.71, 500: 40.10, 1000: 44.23, 1500: 48.27, 2000: 49.81, 2500: 51.63},
    "cls": {250: 24.71, 500: 20.29, 1000: 36.92, 1500: 41.44, 2000: 42.40, 2500: 49.81},
    "mean": {250: 32.98, 500: 30.38, 1000: 36.15, 1500: 39.90, 2000: 40.29, 2500: 40.58},
}
"""Success in per cent by demonstrations on 250 toys, ViT-L/16 (Niu et al. 2025, arXiv 2510.12866)."""
FAMILY = {
    "det": "detection pooling",
    "box": "detection pooling by the box",
    "crop": "crop around the mask",
    "det_patch": "detection pooling as in the paper",
    "det_masked": "masked pooling only",
    "channel": "mask as fourth channel",
    "keypoints": "spatial softmax",
    "mean": "mean pooling",
    "cls": "CLS pooling",
    "attention": "attention pooling",
}
"""Pooling, by its name in conf/policy/, in words."""


SCRIPT = "benchmarks/paper_table.sh"


@dataclass(frozen=True)
class Cell:
    """One policy and its trials."""

    name: str
    label: str
    toys: int
    demos: int
    train: tuple[str, ...]
    """Words of `cezanne train`."""
    trials: int
    """Start poses for each object."""
    part: str
    """Which part of the table it belongs to."""
    paper: float | None = None


@dataclass(frozen=True)
class Profile:
    """How large the table is made."""

    toys: int
    demos: int
    train: tuple[str, ...]
    """How every policy is trained."""
    trials: int
    counts: tuple[int, ...]
    """Demonstrations of the whole family's cells."""
    grid: tuple[tuple[int, int], ...]
    """Toys and demonstrations of detection pooling's other cells."""
    first: tuple[Cell, ...]
    """Made before the family."""
    peers: tuple[Cell, ...]
    """Baselines of LeRobot's, made after it."""
    collect: tuple[str, ...] = ()

    def cells(self) -> tuple[Cell, ...]:
        """In the order in which they are made: what matters most comes first."""
        found = list(self.first)
        for demos in sorted(self.counts, reverse=True):
            for pooling, words in FAMILY.items():
                paper = PAPER.get(pooling, {}).get(demos)
                chosen = (f"policy={pooling}", *self.train, *self._selected(self.toys, demos))
                found.append(Cell(f"{pooling}-{demos}-{self.toys}", words, self.toys, demos, chosen, self.trials, "family", paper))
        found += [replace(cell, train=(*cell.train, *self._selected(cell.toys, cell.demos))) for cell in self.peers]
        for toys, demos in self.grid:
            chosen = ("policy=det", *self.train, *self._selected(toys, demos))
            found.append(Cell(f"det-{demos}-{toys}", FAMILY["det"], toys, demos, chosen, self.trials, "curve"))
        return tuple(found)

    def _selected(self, toys: int, demos: int) -> tuple[str, ...]:
        return () if (toys, demos) == (self.toys, self.demos) else (f"select.toys={toys}", f"select.demos={demos}")


_BEST = Cell("best", "detection pooling, patches of 8 px, 1,900 steps", 220, 660, ("policy=det", "steps=1900", "threads=1"), 16, "best")
_ACT, _DIFFUSION = "ACT of LeRobot's, no mask", "Diffusion Policy of LeRobot's, no mask"
_CPU_PEERS = (Cell("act", _ACT, 220, 220, ("policy=lerobot:act_cpu", "steps=361", "threads=1"), 4, "peer"),)
_GPU_PEERS = (
    Cell("act", _ACT, 250, 2500, ("policy=lerobot:act", "steps=50000", "batch=64"), 16, "peer"),
    Cell("diffusion", _DIFFUSION, 250, 2500, ("policy=lerobot:diffusion", "steps=50000", "batch=64"), 16, "peer"),
)
_CURVE = ((220, 440), (220, 220), (75, 220), (75, 75), (25, 75), (25, 25))
_GPU_GRID = tuple((toys, demos) for toys in (25, 125) for demos in (250, 500, 1000, 1500, 2000, 2500))
PROFILES = {
    # a thread each: two cores do more for two policies than for one.
    # Patches of 16 px for the family: the baselines compute every patch, and on a CPU patches of 8 px would take a day
    "cpu": Profile(220, 660, ("policy.encoder.patch=16", "steps=1000", "threads=1"), 4, (660,), _CURVE, (_BEST,), _CPU_PEERS),
    "gpu": Profile(250, 2500, ("steps=20000", "batch=256"), 16, (250, 500, 1000, 1500, 2000, 2500), _GPU_GRID, (), _GPU_PEERS),
}
STUDY = Study(
    "paper",
    "Does detection pooling beat every other pooling?",
    "demonstrations",
    lambda profile: (),
    lambda results: [],
    paper="their tables at as many demonstrations on 250 toys, ViT-L/16",
)


def commands(profile: Profile, out: Path, seed: int) -> list[tuple[str, str]]:
    """Stages, each a name and the words after `cezanne`, in order."""
    data = f"{out}/data"
    stages = [
        ("data", " ".join(("collect", f"toys={profile.toys}", f"demos={profile.demos}", f"seed={seed}", f"out={data}", *profile.collect)))
    ]
    for cell in profile.cells():
        policy = f"{out}/{cell.name}/policy"
        stages.append(
            (f"{cell.name}.train", " ".join(("train", *cell.train, f"data={data}", f"seed={seed}", f"out={policy}", "resume=true")))
        )
        tried = ("eval", f"checkpoint={policy}", "suite=ycb65", f"trials={cell.trials}", f"out={out}/{cell.name}/eval", "videos=0")
        stages.append((f"{cell.name}.eval", " ".join(tried)))
    return stages


def results(profile: Profile, out: Path) -> list[Result]:
    """The cells that are done."""
    found = []
    for cell in profile.cells():
        trained, tried = (read_json(out / "done" / f"{cell.name}.{stage}.json") for stage in ("train", "eval"))
        if trained is not None and tried is not None:
            curve = cell.label if cell.part == "family" else cell.part
            arm = Arm(_label(cell, profile), cell.demos, curve, cell.train, paper=cell.paper)
            report = load_report(out / cell.name / "eval")
            found.append(Result(arm, report, float(trained["seconds"]), str(trained["checkpoint"])))
    return found


def _family(found: Sequence[Result], profile: Profile) -> list[Result]:
    """All poolings at the most demonstrations."""
    names = {_label(cell, profile) for cell in profile.cells() if cell.part == "family" and cell.demos == max(profile.counts)}
    return [result for result in found if result.arm.label in names]


def _drawn(found: Sequence[Result], profile: Profile) -> list[Result]:
    """What the figure shows: bars of the family, or curves where it was tried at several numbers of demonstrations."""
    if len(profile.counts) == 1:
        return [replace(result, arm=replace(result.arm, x=None)) for result in _family(found, profile)] or list(found)
    return [result for result in found if result.arm.curve in FAMILY.values()]


def _label(cell: Cell, profile: Profile) -> str:
    whole = cell.demos == max(profile.counts) and cell.toys == profile.toys
    return cell.label if whole else f"{cell.label}, {cell.demos} on {cell.toys} toys"


def answer(found: Sequence[Result], profile: Profile) -> list[str]:
    """Paired differences to detection pooling at equal data and steps."""
    family = _family(found, profile)
    first = FAMILY["det"]
    return against(family, first) if len(family) > 1 and any(r.arm.label == first for r in family) else []


def table(profile_name: str, out: Path, document: str) -> dict[str, Any]:
    """Prints the table as far as it goes; the summary. Raises SystemExit where nothing is done yet."""
    profile = PROFILES[profile_name]
    found = results(profile, out)
    if not found:
        raise SystemExit(f"{out}: no cell is done yet; benchmarks/paper_table.sh profile={profile_name} out={out} makes them")
    said = answer(found, profile)
    text = section(STUDY, found, said, figure := draw(STUDY, _drawn(found, profile), out / "paper.svg"), f"{SCRIPT} profile={profile_name}")
    (out / "table.md").write_text(text)
    print(text)
    if document:
        place(Path(document), STUDY.name, text, figure)
    rates = {
        r.arm.label: {"success_rate": round(r.rate, 4), "interval": [round(r.interval.low, 4), round(r.interval.high, 4)]} for r in found
    }
    seconds = sum(result.seconds + result.report.seconds for result in found)
    return {
        "profile": profile_name,
        "cells": len(found),
        "of": len(profile.cells()),
        "seconds": round(seconds, 1),
        "results": rates,
        "answer": said,
    }


def main(words: Sequence[str]) -> None:
    """plan or table, then key=value."""
    known = {"profile": "cpu", "out": "runs/paper", "seed": "0", "document": ""}
    verb, *rest = words or ["table"]
    given: dict[str, str] = {key: value for key, _, value in (word.partition("=") for word in rest)}
    if verb not in ("plan", "table") or given.keys() - known.keys():
        raise SystemExit(f"{' '.join(words)}: say plan or table, then {' '.join(f'{key}={value}' for key, value in known.items())}")
    said = known | given
    if said["profile"] not in PROFILES:
        raise SystemExit(f"profile={said['profile']}; known: {', '.join(PROFILES)}")
    out = Path(said["out"])
    if verb == "plan":
        for name, command in commands(PROFILES[said["profile"]], out, int(said["seed"])):
            print(f"{name}\t{command}")
    else:
        print(json.dumps(table(said["profile"], out, said["document"])))


if __name__ == "__main__":
    main(sys.argv[1:])
