"""Success against demonstrations and toys, with a law fitted to it."""

from __future__ import annotations

from collections.abc import Sequence

from eval.statistics import by_object
from eval.statistics.scaling import Point, fit
from eval.studies.study import Arm, Profile, Result, Study

_PAPER = {
    25: {25: 18.3, 125: 39.4, 250: 49.5, 500: 61.3, 1000: 69.2, 1500: 71.9, 2000: 76.2, 2500: 76.5},
    125: {125: 30.8, 250: 46.7, 500: 61.3, 1000: 72.4, 1500: 73.9, 2000: 75.6, 2500: 75.9},
    250: {250: 56.63, 500: 68.17, 1000: 71.15, 1500: 74.62, 2000: 76.83, 2500: 80.0},
}
_MORE = 500


def _arms(profile: Profile) -> list[Arm]:
    most = max(profile.demos) // max(profile.toys)  # demonstrations that the data set holds of each toy
    found = []
    for toys in profile.toys:
        for demos in profile.demos:
            if toys <= demos <= most * toys:
                train = (f"select.toys={toys}", f"select.demos={demos}")
                found.append(Arm(f"{demos} on {toys} toys", demos, f"{toys} toys", train, paper=_PAPER.get(toys, {}).get(demos)))
    return found


def _answer(results: Sequence[Result]) -> list[str]:
    points = [Point(r.arm.x or 0, int(r.arm.curve.split()[0]), by_object(r.report.rows)) for r in results]
    law = fit(points)
    largest = max(points, key=lambda point: (point.demos, point.toys))
    gain, low, high = law.gain(largest, _MORE)
    return [
        f"Fitted: failure = {law.scale:.2f} x demonstrations^-{law.demos:.2f} x toys^-{law.toys:.2f} "
        f"(exponents {law.demos_interval.low:.2f} to {law.demos_interval.high:.2f} and {law.toys_interval.low:.2f} to "
        f"{law.toys_interval.high:.2f}, bootstrap over objects); root mean square error {100 * law.error:.1f} points.",
        f"Another {_MORE} demonstrations on the same {largest.toys} toys would buy about {100 * gain:.0f} points "
        f"({100 * low:.0f} to {100 * high:.0f}), if the law holds beyond what was tried.",
    ]


STUDY = Study(
    "demonstrations",
    "How does success grow with demonstrations and with toys?",
    "demonstrations",
    _arms,
    _answer,
    paper="their Figure on toys and demonstrations (ViT-L, 250 toys and others; read off it to about 0.1)",
    logarithmic=True,
)
