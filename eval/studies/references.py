"""The learned policy between the floor, a classical grasp, and the ceiling."""

from __future__ import annotations

from collections.abc import Sequence

from eval.references import REFERENCES
from eval.studies.study import Arm, Profile, Result, Study, against


def _arms(profile: Profile) -> list[Arm]:
    return [*(Arm(name, reference=name) for name in ("nothing", "heuristic")), Arm("policy"), Arm("expert", reference="expert")]


def _answer(results: Sequence[Result]) -> list[str]:
    known = [f"{name}: {REFERENCES[name]}." for name in ("nothing", "heuristic", "expert")]
    return [*known, "The heuristic was written with these objects in view; the policy never saw one.", *against(results, "policy")]


STUDY = Study("references", "How does it compare with classical grasping?", "policy", _arms, _answer)
