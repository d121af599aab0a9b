"""Success against the size of the policy."""

from __future__ import annotations

from collections.abc import Sequence

from eval.studies.study import Arm, Profile, Result, Study, against

_SIZES = {
    "cpu": {"tiny": (64, 2, 256), "default": (128, 4, 512), "large": (192, 6, 768)},
    "gpu": {"tiny": (64, 2, 256), "default": (128, 4, 512), "large": (256, 8, 1024), "huge": (512, 12, 2048)},
}
"""Width and number of the encoder's blocks, width of the trunk."""


def _arms(profile: Profile) -> list[Arm]:
    found = []
    for name, (dim, layers, width) in _SIZES[profile.name].items():
        found.append(Arm(name, train=(f"policy.encoder.dim={dim}", f"policy.encoder.layers={layers}", f"policy.width={width}")))
    return found


def _answer(results: Sequence[Result]) -> list[str]:
    return against(results, "default")


STUDY = Study("size", "Does a larger policy grasp better, at equal data and equal steps?", "policy", _arms, _answer)
