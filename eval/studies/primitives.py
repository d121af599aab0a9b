"""What each primitive is worth: toys without it."""

from __future__ import annotations

from collections.abc import Sequence

from eval.studies.study import Arm, Profile, Result, Study, against

_PAPER = {"cuboid": 65.38, "sphere": 61.83, "ring": 68.56, "cylinder": 69.52}
_SIZE = {"cpu": (80, 240), "gpu": (100, 500)}
"""Toys and demonstrations of every arm: no more than are left without the commonest primitive."""


def _arms(profile: Profile) -> list[Arm]:
    toys, demos = _SIZE[profile.name]
    size = (f"select.toys={toys}", f"select.demos={demos}")
    without = [Arm(f"no {shape}", train=(*size, f"select.without={shape}"), paper=figure) for shape, figure in _PAPER.items()]
    return [Arm("all four", train=size), *without]


def _answer(results: Sequence[Result]) -> list[str]:
    return against(results, "all four")


STUDY = Study(
    "primitives",
    "Which primitive do toys need?",
    "toys",
    _arms,
    _answer,
    paper="their table of toys without a primitive, at 500 demonstrations",
)
