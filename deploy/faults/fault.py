"""One row of the fault matrix, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hardware.reason import Reason


class End(StrEnum):
    """How a fault may end other than with a stop of the arm."""

    REFUSED = "refused"
    """Before anything moved, by name."""
    GOES_ON = "goes on"
    """It does no harm, and the arm works on."""
    PAUSES = "pauses"
    """The arm rests and waits, without a stop."""
    HOLDS = "holds"
    """Nobody is left to stop the arm: it rests by itself."""


@dataclass(frozen=True)
class Outcome:
    """What a fault did."""

    code: Reason | End
    detail: str
    """What was said: of the stop, or of the refusal."""
    noticed: float
    """From the fault to the stop or the refusal [s]."""
    rested: float
    """From the fault until no joint moved any more [s]; of what goes on, 0."""
    broken: tuple[str, ...] = ()
    """What must never happen and did: a setpoint beyond a limit, an arm that does not rest, a stop that does not last."""


@dataclass(frozen=True)
class Fault:
    """One row: what is broken, how, and what must come of it."""

    name: str
    breaks: str
    """What is broken, in words."""
    where: str
    """What it is injected into, in words."""
    expected: Reason | End
    within: float
    """Longest from the fault until the arm rests [s]; generous, since machines are busy."""
    inject: Callable[[Path], Outcome]
    """Runs the stack in a folder of its own, breaks it, and says what happened."""
    slow: bool = False
    """Takes more than a few seconds."""
    needs: str = ""
    """Module of a vendor's package without which it cannot be run."""

    def verdict(self, outcome: Outcome) -> tuple[str, ...]:
        """What is wrong with an outcome; nothing where it is as expected."""
        wrong = list(outcome.broken)
        if outcome.code is not self.expected:
            wrong.append(f"ended with {outcome.code} ({outcome.detail}), expected {self.expected}")
        if outcome.rested > self.within:
            wrong.append(f"rested after {outcome.rested:.2f} s, the limit is {self.within} s")
        if not outcome.detail:
            wrong.append("nothing was said")
        return tuple(wrong)
