"""Success against the quality of the mask."""

from __future__ import annotations

from collections.abc import Sequence

from eval.studies.study import CURVE, Arm, Profile, Result, Study, tolerance
from sim.variation import AXES

KINDS = [name for name in AXES if name.startswith("mask_")]


def _arms(profile: Profile) -> list[Arm]:
    found = []
    for kind in KINDS:
        curve = kind.removeprefix("mask_")
        found.append(Arm(f"{curve} 0", 0.0, curve))
        found += [Arm(f"{curve} {strength}", strength, curve, axis=kind, strength=strength) for strength in CURVE]
    return found


def _answer(results: Sequence[Result]) -> list[str]:
    return tolerance(results, "strength")


STUDY = Study("mask_noise", "How good must the mask be?", "strength of the fault", _arms, _answer)
