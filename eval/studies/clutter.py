"""Success against clutter, occlusion, and whatever else may change about a scene."""

from __future__ import annotations

from collections.abc import Sequence

from eval.studies.study import CURVE, Arm, Profile, Result, Study, tolerance

KINDS = ("distractors", "occlusion")
SCENE = ("light", "texture", "camera", "mass", "friction", "start", "action_noise")


def _curves(kinds: Sequence[str], strengths: Sequence[float]) -> list[Arm]:
    found = []
    for kind in kinds:
        found.append(Arm(f"{kind} 0", 0.0, kind))
        found += [Arm(f"{kind} {strength}", strength, kind, axis=kind, strength=strength) for strength in strengths]
    return found


def _clutter(profile: Profile) -> list[Arm]:
    return _curves(KINDS, CURVE)


def _scene(profile: Profile) -> list[Arm]:
    return _curves(SCENE, CURVE[1:])


def _answer(results: Sequence[Result]) -> list[str]:
    return tolerance(results, "strength")


STUDY = Study("clutter", "What do other objects and things that stand in the way cost?", "strength", _clutter, _answer)
SCENES = Study("scene", "Which change of the scene costs most?", "strength", _scene, _answer)
