"""Policies that learned nothing, run by the same harness as those that did: a floor, a heuristic and a ceiling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module

from eval.errors import EvalError
from hardware.api import Policy

REFERENCES: Mapping[str, str] = {
    "expert": "the scripted expert, who knows the state of the simulation and tries its grasps in it first: the ceiling",
    "heuristic": "a top-down grasp of the shape that the masks of the two cameras enclose: no state, no learning",
    "nothing": "holds the pose it starts in: the floor",
}
"""What each reference is, by name."""

_MAKERS = {"expert": "expert:ExpertPolicy", "heuristic": "heuristic:Heuristic", "nothing": "nothing:Nothing"}


@dataclass(frozen=True)
class Reference:
    """Makes one of the references; picklable, as `eval.bench.Checkpoint` is."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in REFERENCES:
            raise EvalError(f"there is no reference {self.name!r}; known: {', '.join(REFERENCES)}")

    def __call__(self) -> Policy:
        """A new policy. One that has `attach` is given the robot of a trial before the trial."""
        module, maker = _MAKERS[self.name].split(":")
        make: Callable[[], Policy] = getattr(import_module(f"eval.references.{module}"), maker)
        return make()
