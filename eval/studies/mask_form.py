"""How the object is shown to the policy: silhouette, box, crop, or a fourth channel."""

from __future__ import annotations

from collections.abc import Sequence

from eval.studies.study import Arm, Profile, Result, Study, against

_STEPS = {"cpu": "steps=400", "gpu": "steps=20000"}


def _arms(profile: Profile) -> list[Arm]:
    same = ("policy.encoder.patch=16", _STEPS[profile.name])
    kinds = {"silhouette": "det", "patches of the mask": "det_patch", "box": "box", "crop": "crop"}
    kinds |= {"fourth channel": "channel", "no mask": "mean"}
    return [Arm(label, train=(f"policy={kind}", *same)) for label, kind in kinds.items()]


def _answer(results: Sequence[Result]) -> list[str]:
    return against(results, "silhouette")


STUDY = Study("mask_form", "Must it be a mask, or is a box, a crop or a fourth channel enough?", "what the policy is shown", _arms, _answer)
