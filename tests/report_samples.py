"""Results as they might be, for tests of pages and tables: no simulation, small pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from episodes.picture import filmstrip, write_video
from eval.comparison import Comparison, Contest, Discord, Early, Rate, Side, Tally
from eval.gallery import Clip
from eval.kept import write_jpeg
from eval.outcome import Outcome, Reason
from eval.pages.arm import finite
from eval.results import Report
from eval.statistics import Interval, by_object, clustered, paired
from eval.verdict import Finding, Verdict

OBJECTS = ("005_tomato_soup_can", "011_banana", "065-f_cups", "toy-7-00012", "a<b>&c", "milk")
PRINT = {"mujoco": "3.8.1", "gl": "osmesa", "assets": "5a0f", "config": "77aa", "checkpoint": "c0ffee", "commit": "0f26446cafe1"}


def outcome(name: str, pose: int, reason: Reason, *, suite: str = "ycb", axis: str = "none", strength: float = 0.0) -> Outcome:
    success = None if reason is Reason.UNPLACED else reason is Reason.SUCCESS
    lift = 2.3 if success else None
    return Outcome(suite, name, pose, pose, success, reason, 60, 3.0 if success else 8.0, lift, 0.13, 21.0, axis, strength, 14.0, 0.9)


def report(
    rate: float,
    *,
    suite: str = "ycb",
    axis: str = "none",
    strength: float = 0.0,
    objects: Sequence[str] = OBJECTS,
    trials: int = 8,
    unplaced: int = 0,
    planned: int = 0,
    missing: dict[str, str] | None = None,
    prints: dict[str, str] | None = None,
) -> Report:
    """About `rate` of the trials succeed, some objects more easily than others; the same ones for a higher rate, and more."""
    rows = []
    for k, name in enumerate(objects):
        for pose in range(trials):
            hard = (((7 * k + 3 * pose) % 11) / 11 + k / len(objects)) / 2
            fails = (Reason.MISSED, Reason.SLIPPED, Reason.TOPPLED, Reason.NEVER_CLOSED)[(k + pose) % 4]
            reason = Reason.UNPLACED if k == 1 and pose < unplaced else Reason.SUCCESS if hard < rate else fails
            rows.append(outcome(name, pose, reason, suite=suite, axis=axis, strength=strength))
    return Report(suite, tuple(rows), 12.5, prints or PRINT, missing or {}, planned)


def pictures(folder: Path, objects: Sequence[str] = OBJECTS) -> Path:
    """A folder with a picture of each object but the last."""
    for k, name in enumerate(objects[:-1]):
        write_jpeg(folder / f"{name}.jpg", np.full((40, 40, 3), 60 + 20 * k, np.uint8))
    return folder


def clip(folder: Path, row: Outcome) -> Clip:
    """A film of eight frames and its strip, as the gallery makes them."""
    folder.mkdir(parents=True, exist_ok=True)
    found = Clip(row, folder / f"{row.object}-{row.pose}.mp4", folder / f"{row.object}-{row.pose}.jpg")
    frames = np.stack([np.full((64, 64, 3), 40 + 15 * k, np.uint8) for k in range(8)])
    masks = np.zeros((8, 64, 64), bool)
    masks[:, 20:40, 20:40] = True
    write_jpeg(found.strip, filmstrip(frames[:6], masks[:6], [f"{k:.1f} s" for k in range(6)]))
    write_video(found.video, frames, 10.0)
    return found


def comparison(
    *, across: bool = False, early: Early | None = None, name: str = "new_policy", rates: tuple[float, float] = (0.8, 0.5)
) -> Comparison:
    """A control contest and one under a perturbation."""
    new, old = ([report(rate), report(rate * 0.6, axis="mask_noise", strength=0.5)] for rate in rates)
    sides = [
        Side(name, new[0].rows + new[1].rows, {"ycb": PRINT}),
        Side("old_policy", old[0].rows + old[1].rows, {"ycb": PRINT | {"gl": "egl"}}),
    ]
    contests = tuple(contest(one, two) for one, two in zip(new, old, strict=True))
    discords = (Discord("ycb", "gl", "osmesa", "egl", decides=True),) if across else (Discord("ycb", "commit", "aa", "bb", decides=False),)
    return Comparison(sides[0], sides[1], contests, discords, early=early, command="cezanne compare new_policy old_policy")


def contest(new: Report, old: Report) -> Contest:
    """Two reports of one arm."""
    axis, strength = new.rows[0].axis, new.rows[0].strength
    both = paired(new.rows, old.rows)
    tallies = []
    for item, (k, n) in by_object(new.rows).items():
        wins = {row.key for row in new.rows if row.object == item and row.success}
        lost = {row.key for row in old.rows if row.object == item and row.success}
        tallies.append(Tally(item, n, k, len(lost), len(wins - lost), len(lost - wins)))
    rates = []
    for one in (new, old):
        successes, trials = one.count()
        rates.append(Rate(successes, trials, clustered(one.rows) or Interval(0.0, 1.0)))
    words = "The new policy lifts more: 80 % against 50 %, and that is no accident."
    return Contest(
        new.suite,
        axis,
        (strength,),
        both,
        rates[0],
        rates[1],
        both.p,
        finite(both.detectable()),
        0,
        3,
        tuple(sorted(tallies, key=lambda tally: -abs(tally.gain))),
        Verdict(Finding.BETTER, words),
    )
