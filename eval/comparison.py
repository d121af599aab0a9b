"""Two policies side by side: what was tried with both, what came of it, and how sure one may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from eval.outcome import Outcome
from eval.statistics import Interval, Paired
from eval.verdict import Verdict


@dataclass(frozen=True)
class Side:
    """One of the two: all the trials it ran, and what they depend on."""

    name: str
    """As it was given: a folder of results, or a checkpoint."""
    rows: tuple[Outcome, ...]
    fingerprints: Mapping[str, Mapping[str, str]]
    """Of each suite."""
    missing: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Of each suite: objects without any trial, and why."""


@dataclass(frozen=True)
class Rate:
    """Successes of one side on the common trials."""

    successes: int
    trials: int
    interval: Interval
    """95 %, objects taken as drawn at random."""

    @property
    def rate(self) -> float:
        """Share of successes."""
        return self.successes / self.trials


@dataclass(frozen=True)
class Tally:
    """One object on the common trials."""

    object: str
    trials: int
    new: int
    """Successes of the new policy."""
    old: int
    new_only: int
    """Trials that only the new policy won."""
    old_only: int

    @property
    def gain(self) -> float:
        """Rate of the new policy minus rate of the old, -1 to 1."""
        return (self.new - self.old) / self.trials


@dataclass(frozen=True)
class Contest:
    """One suite under one perturbation: both policies on the trials that both ran."""

    suite: str
    axis: str
    """`none`: the control arm."""
    strengths: tuple[float, ...]
    """Of the perturbation, pooled."""
    paired: Paired
    """First: new; second: old."""
    new: Rate
    old: Rate
    adjusted_p: float
    """The p-value of `paired`, corrected for all contests of the comparison (Holm)."""
    detectable: float | None
    """Smallest difference that a comparison like this one finds in four of five cases; None: none would do."""
    unpaired_new: int
    """Trials that the new policy ran and the old did not; they count for nothing."""
    unpaired_old: int
    objects: tuple[Tally, ...]
    """Those that differ most first."""
    verdict: Verdict


@dataclass(frozen=True)
class Discord:
    """A line of the fingerprint that is not the same for both."""

    suite: str
    key: str
    new: str
    old: str
    decides: bool
    """Whether it decides the world that both were tried in: then the comparison is marked."""


@dataclass(frozen=True)
class Early:
    """How a sequential comparison ended."""

    used: int
    """Pairs of trials that were run."""
    planned: int
    """Pairs that the whole suite has."""
    stopped: bool
    """Whether the test decided before the suite was through."""
    p_value: float
    """Valid whenever one stops."""
    interval: Interval
    """Of the difference, new minus old; valid whenever one stops."""
    path: tuple[tuple[int, float], ...]
    """Pairs so far and the evidence (e-value) then; 20 decides at 5 %."""


@dataclass(frozen=True)
class Comparison:
    """All that a comparison shows."""

    new: Side
    old: Side
    contests: tuple[Contest, ...]
    discords: tuple[Discord, ...] = ()
    """Differences of the fingerprints; those that decide only where the user said to go on."""
    margin: float = 0.0
    """Loss that is tolerated, 0 to 1."""
    early: Early | None = None
    """Of a sequential comparison."""
    command: str = ""
    """What was typed."""

    @property
    def across(self) -> bool:
        """Whether the two were tried in different worlds: to be marked in red."""
        return any(discord.decides for discord in self.discords)
