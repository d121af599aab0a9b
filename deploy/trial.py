"""One attempt at one object: find it, run the policy in real time, judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from deploy.judge import TrialJudge
from hardware.api import ActionChunk, Observation
from hardware.segmenter import Prompt
from hardware.session import Session
from hardware.station import Station
from hardware.stream import AskedPolicy, LoopRecorder, Pace, Streamed, stream


@dataclass(frozen=True)
class Attempt:
    """How one trial went."""

    name: str
    """Of the object, or the target in words."""
    success: bool
    reason: str
    """The judge's verdict, or the code of the stop."""
    detail: str
    """Of the stop."""
    seconds: float
    pauses: int
    """Times that the target was out of sight."""
    timing: Mapping[str, float]
    pictures: tuple[np.ndarray, ...] = field(default=(), repr=False)
    """What the policy saw, one camera below the other with the mask outlined, (V H, W, 3) uint8 each."""
    times: tuple[float, ...] = ()
    """Of the pictures, from the start [s]."""
    blackbox: str = ""
    """Folder with everything around a stop."""

    def row(self) -> dict[str, object]:
        """As plain values, without pictures."""
        return {key: value for key, value in asdict(self).items() if key not in ("pictures", "times")}


@dataclass
class Witness:
    """A recorder that keeps what the policy saw, and passes everything on."""

    behind: LoopRecorder
    begun: float
    pictures: list[np.ndarray] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def asked(self, number: int, observation: Observation, now: float) -> None:
        """An observation went to the policy."""
        self.behind.asked(number, observation, now)
        self.pictures.append(outlined(observation))
        self.times.append(now - self.begun)

    def answered(self, number: int, chunk: ActionChunk, now: float) -> None:
        """Its actions came back."""
        self.behind.answered(number, chunk, now)


def outlined(observation: Observation) -> np.ndarray:
    """All cameras, one below the other, with the target's outline, (V H, W, 3) uint8."""
    views = []
    for name, image in observation.images.items():
        mask = observation.masks[name]
        inner = mask.copy()
        inner[1:-1, 1:-1] &= mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
        view = image.copy()
        view[mask & ~inner] = (255, 40, 160)
        views.append(view)
    return np.concatenate(views)


def attempt(
    name: str,
    station: Station,
    arm: Session,
    policy: AskedPolicy,
    pace: Pace,
    judge: TrialJudge,
    prompts: Mapping[str, Prompt],
    recorder: LoopRecorder,
    *,
    seconds: float,
    say,
    shadow: bool = False,
) -> Attempt:
    """Runs the policy, which was reset, on an arm that is at home. Raises SegmenterError where the target is not found.

    Args:
        name: of the row.
        station, arm, policy, pace: see `hardware.stream.stream`.
        judge: of the trial.
        prompts: one a camera.
        recorder: is told of questions and answers.
        seconds: longest trial at the speed of the pace [s].
        say: is told what happens.
        shadow: predicts, commands nothing.
    """
    station.aim(prompts)
    witness = Witness(recorder, arm.clock.now())
    ran: Streamed = stream(
        station, arm, policy, pace, arm.clock, seconds=seconds, until=judge.step, say=say, recorder=witness, shadow=shadow
    )
    reason = ran.stop.reason.value if ran.stop else ("lost" if ran.ending.value == "lost" else judge.reason())
    return Attempt(
        name,
        reason == "success",
        reason,
        ran.stop.detail if ran.stop else "",
        round(ran.seconds, 2),
        ran.pauses,
        ran.timing.summary(),
        tuple(witness.pictures),
        tuple(witness.times),
    )


def timing_of(done: Sequence[Attempt]) -> dict[str, float]:
    """The worst percentile of any trial, the mean of shares."""
    rows = [row.timing for row in done if row.timing.get("commands")]
    if not rows:
        return {}
    total = sum(row["commands"] for row in rows)
    found = {key: max(row[key] for row in rows) for key in rows[0] if key.endswith("_ms")}
    return found | {"commands": total, "missed_share": sum(row["missed_share"] * row["commands"] for row in rows) / total}
