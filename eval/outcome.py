"""How one trial went: a row of the results."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

from eval.errors import EvalError

Key = tuple[str, str, int, int, str, float]
"""Suite, object, pose, seed, axis, strength: what tells one trial from another."""


class Reason(StrEnum):
    """Why a trial ended as it did."""

    SUCCESS = "success"
    SLIPPED = "slipped"
    """Lifted by more than 3 cm, then lost."""
    UNFINISHED = "unfinished"
    """In the hand when time ran out, not high or not long enough."""
    TOPPLED = "toppled"
    """Tipped by more than 45 degrees, or pushed off the table, before it was lifted."""
    NEVER_CLOSED = "never_closed"
    """The gripper was never told to close."""
    MISSED = "missed"
    """Closed, and never had it."""
    REFUSED = "refused"
    """The policy asked for something that must not reach a robot, such as NaN."""
    UNPLACED = "unplaced"
    """The object did not come to rest at the start: the trial did not take place."""


FAILURES = tuple(reason for reason in Reason if reason not in (Reason.SUCCESS, Reason.UNPLACED))


@dataclass(frozen=True)
class Outcome:
    """One trial of one policy. All but `latency_ms` is the same whenever the trial is run again."""

    suite: str
    object: str
    pose: int
    seed: int
    success: bool | None
    """None: the trial did not take place."""
    reason: Reason
    steps: int
    """Control steps commanded."""
    seconds: float
    """How long the robot moved [s]."""
    time_to_lift: float | None
    """When it was first as high as success asks for and stayed there [s]."""
    max_lift: float
    """Highest above its rest height [m]."""
    latency_ms: float | None
    """Median time of one prediction [ms], as measured."""
    axis: str = "none"
    """What was perturbed; `none` in the control arm."""
    strength: float = 0.0
    """How much, 0 to 1."""
    peak_force: float | None = None
    """Greatest total normal force between the robot and what it touched [N]."""
    path_length: float | None = None
    """Way of the point between the finger pads [m]."""
    gl: str | None = None
    """The back end that drew it, where it is not the fingerprint's: the one before hung. None: the fingerprint's."""
    theirs: bool | None = None
    """Where the task is another simulator's: whether it counted as solved by that one's own rule, at any step. None: it has none."""

    def __post_init__(self) -> None:
        expected = None if self.reason is Reason.UNPLACED else self.reason is Reason.SUCCESS
        if self.success is not expected:
            raise EvalError(f"an outcome with reason {self.reason.value!r} has success={expected}, got {self.success}")

    @property
    def key(self) -> Key:
        """What tells this trial from any other of the same policy."""
        return self.suite, self.object, self.pose, self.seed, self.axis, self.strength

    def row(self) -> dict[str, object]:
        """As plain values for JSON and tables."""
        return {**asdict(self), "reason": self.reason.value}

    @classmethod
    def from_row(cls, row: dict) -> Outcome:
        """Back from `row`. Raises EvalError for a row of another version."""
        try:
            return cls(**{**row, "reason": Reason(row["reason"])})
        except (TypeError, KeyError, ValueError) as error:
            raise EvalError(f"not a row of trial results: {error}") from error
