"""Simple toys or complicated ones: success against the number of parts."""

from __future__ import annotations

from collections.abc import Sequence

from eval.studies.study import Arm, Profile, Result, Study, against

_SIZE = {"cpu": (30, 90), "gpu": (40, 400)}
"""Toys and demonstrations of every arm."""


def _arms(profile: Profile) -> list[Arm]:
    toys, demos = _SIZE[profile.name]
    size = (f"select.toys={toys}", f"select.demos={demos}")
    parts = [Arm(f"{n} part{'s' * (n > 1)}", train=(*size, f"select.parts={n}")) for n in (1, 2, 3, 4, 5)]
    return [Arm("1 to 5 parts", train=size), *parts]


def _answer(results: Sequence[Result]) -> list[str]:
    return against(results, "1 to 5 parts")


STUDY = Study("parts", "How many parts should a toy have?", "toys", _arms, _answer)
