"""Execution horizon, and history."""

from __future__ import annotations

from collections.abc import Sequence

from eval.studies.study import Arm, Profile, Result, Study, against


def _horizon(profile: Profile) -> list[Arm]:
    return [Arm(f"{n} of 16", float(n), "", execute=n) for n in (1, 2, 4, 8, 12, 16)]


def _history(profile: Profile) -> list[Arm]:
    arms = [Arm("present only", train=())]
    return arms + [Arm(f"{n} observations", train=(f"policy.history={n}",)) for n in (2, 4)]


def _horizon_answer(results: Sequence[Result]) -> list[str]:
    return against(results, "8 of 16")


def _history_answer(results: Sequence[Result]) -> list[str]:
    return against(results, "present only")


HORIZON = Study(
    "horizon",
    "How much of a chunk should be carried out before looking again?",
    "actions carried out of a chunk of 16",
    _horizon,
    _horizon_answer,
)
HISTORY = Study("history", "Does it help to remember?", "what a prediction rests on", _history, _history_answer)
