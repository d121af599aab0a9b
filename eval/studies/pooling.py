"""The pooling family at equal data and equal steps."""

from __future__ import annotations

from collections.abc import Sequence

from eval.studies.study import Arm, Profile, Result, Study, against

_STEPS = {"cpu": "steps=400", "gpu": "steps=20000"}
_PAPER = {"detection": 56.63, "mean": 32.98, "cls": 24.71, "attention": 34.71}


def _arms(profile: Profile) -> list[Arm]:
    # patches of 16 px for all: the baselines compute every patch, and on a CPU patches of 8 px would take hours
    same = ("policy.encoder.patch=16", _STEPS[profile.name])
    kinds = {"detection": "det", "detection, as in the paper": "det_patch", "masked pooling only": "det_masked"}
    kinds |= {"attention": "attention", "mean": "mean", "cls": "cls"}
    return [Arm(label, train=(f"policy={kind}", *same), paper=_PAPER.get(label)) for label, kind in kinds.items()]


def _answer(results: Sequence[Result]) -> list[str]:
    return against(results, "detection")


STUDY = Study(
    "pooling",
    "Does detection pooling beat pooling that sees the whole picture?",
    "pooling",
    _arms,
    _answer,
    paper="their table at 250 demonstrations on 250 toys, ViT-L/16",
)
