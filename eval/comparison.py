"""Two policies side by side: what was tried with both, what came of it, and how sure one may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from eval.errors import EvalError
from eval.outcome import Outcome
from eval.statistics import Paired, clustered, common, paired, wilson
from eval.statistics.interval import Interval
from eval.statistics.pairing import holm
from eval.verdict import Finding, Verdict, judge

DECIDES = ("mujoco", "gl", "assets", "config")
"""Lines of a fingerprint that decide the world: results of different worlds are not compared unless someone insists."""


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
    rules: Mapping[str, float] = field(default_factory=dict)
    """What counted as success, where the results say so."""


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
    guarded: Interval | None = None
    """Of the difference, wide enough for all contests to be right together."""


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

    def worse(self) -> tuple[Contest, ...]:
        """Contests that the new policy lost by more than the margin, and not by accident."""
        lost = [contest for contest in self.contests if contest.verdict.finding is Finding.WORSE]
        if not self.margin:
            return tuple(lost)
        return tuple(contest for contest in lost if contest.guarded is not None and contest.guarded.high < -self.margin)


def compare(new: Side, old: Side, *, across: bool = False, margin: float = 0.0, command: str = "", alpha: float = 0.05) -> Comparison:
    """Both on the trials that both ran, for each suite and axis.

    Args:
        new: the candidate.
        old: the reference.
        across: compare also what was tried in different worlds.
        margin: loss that is tolerated, 0 to 1.
        command: what was typed.
        alpha: false alarms allowed in all contests together.

    Raises:
        EvalError: no trial in common, a trial twice, or different worlds.
    """
    pairs = common(new.rows, old.rows)
    if not pairs:
        raise EvalError(f"{new.name} and {old.name} share no trial that took place in both; use the same suite and seed for both")
    discords = tuple(discords_of(new, old, tuple(dict.fromkeys(one.suite for one, _ in pairs))))
    if not across and (decisive := [discord for discord in discords if discord.decides]):
        what = "; ".join(f"{d.key} of {d.suite}: {d.new} against {d.old}" for d in decisive)
        raise EvalError(f"{new.name} and {old.name} were not tried in the same world: {what}; across=true compares them all the same")
    arms = list(dict.fromkeys((one.suite, one.axis) for one, _ in pairs))
    both = [paired(_arm(new.rows, arm), _arm(old.rows, arm)) for arm in arms]
    guarded = [paired(_arm(new.rows, arm), _arm(old.rows, arm), confidence=1 - alpha / len(arms)).interval for arm in arms]
    adjusted = holm([each.p for each in both])
    contests = tuple(
        _contest(new, old, arm, each, p, bound, judge(each, p, contests=len(arms), alpha=alpha))
        for arm, each, p, bound in zip(arms, both, adjusted, guarded, strict=True)
    )
    return Comparison(new, old, contests, discords, margin, command=command)


def discords_of(new: Side, old: Side, suites: Sequence[str]) -> list[Discord]:
    """Where the fingerprints of common suites differ. Pictures of another size are a policy's own choice and decide nothing."""
    found = []
    for suite in suites:
        one, two = new.fingerprints.get(suite, {}), old.fingerprints.get(suite, {})
        for key in dict.fromkeys([*one, *two]):
            values = one.get(key, "unknown"), two.get(key, "unknown")
            if values[0] == values[1]:
                continue
            decides = key in DECIDES
            if key == "config" and new.rules and old.rules:
                decides = dict(new.rules) != dict(old.rules)
                values = (_said(new.rules, old.rules), _said(old.rules, new.rules)) if decides else values
            found.append(Discord(suite, key, *values, decides))
    return found


def _said(rules: Mapping[str, float], other: Mapping[str, float]) -> str:
    """The rules that the other does not share."""
    keys = sorted(key for key in rules.keys() | other.keys() if rules.get(key) != other.get(key))
    return " ".join(f"{key}={rules.get(key, 'unset')}" for key in keys)


def _arm(rows: Sequence[Outcome], arm: tuple[str, str]) -> list[Outcome]:
    return [row for row in rows if (row.suite, row.axis) == arm]


def _contest(
    new: Side, old: Side, arm: tuple[str, str], both: Paired, adjusted: float, guarded: Interval | None, verdict: Verdict
) -> Contest:
    one, two = _arm(new.rows, arm), _arm(old.rows, arm)
    pairs = common(one, two)
    gain = both.detectable()
    return Contest(
        suite=arm[0],
        axis=arm[1],
        strengths=tuple(sorted({row.strength for row, _ in pairs})),
        paired=both,
        new=_rate([row for row, _ in pairs]),
        old=_rate([row for _, row in pairs]),
        adjusted_p=adjusted,
        detectable=gain if gain <= 1 else None,
        unpaired_new=_ran(one) - len(pairs),
        unpaired_old=_ran(two) - len(pairs),
        objects=_tallies(pairs),
        verdict=verdict,
        guarded=guarded,
    )


def _ran(rows: Sequence[Outcome]) -> int:
    return sum(row.success is not None for row in rows)


def _rate(rows: Sequence[Outcome]) -> Rate:
    successes = sum(row.success is True for row in rows)
    return Rate(successes, len(rows), clustered(rows) or wilson(successes, len(rows)))


def _tallies(pairs: Sequence[tuple[Outcome, Outcome]]) -> tuple[Tally, ...]:
    counts: dict[str, list[int]] = {}
    for one, two in pairs:
        count = counts.setdefault(one.object, [0] * 5)
        new, old = one.success is True, two.success is True
        for k, value in enumerate((True, new, old, new and not old, old and not new)):
            count[k] += value
    tallies = [Tally(name, *count) for name, count in counts.items()]
    return tuple(sorted(tallies, key=lambda tally: (-abs(tally.gain), tally.object)))
