"""What a comparison comes to: one of four, and a sentence that says so."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Finding(StrEnum):
    """What may be said of a new policy beside an old one."""

    BETTER = "better"
    """The new one lifts more, and that is no accident."""
    WORSE = "worse"
    """The new one lifts less, and that is no accident."""
    SAME = "same"
    """Any difference is smaller than the one that was asked about."""
    OPEN = "open"
    """No difference could be told; there may be one."""


@dataclass(frozen=True)
class Verdict:
    """A finding in words."""

    finding: Finding
    words: str
