"""Success against the age of what the policy sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.studies.study import CURVE, Arm, Profile, Result, Study, tolerance


def _arms(profile: Profile) -> list[Arm]:
    found = []
    for execute in (4, 8):
        curve = f"{execute} actions of a chunk"
        found.append(Arm(f"{curve}, 0", 0.0, curve, execute=execute))
        found += [Arm(f"{curve}, {s}", s, curve, axis="delay", strength=s, execute=execute) for s in CURVE]
    return found


def _answer(results: Sequence[Result]) -> list[str]:
    times = [row.latency_ms for result in results for row in result.report.rows if row.latency_ms is not None]
    taken = (
        f"A prediction itself took {np.median(times):.1f} ms (median of trials; 95 % of trials below {np.quantile(times, 0.95):.1f} ms)."
    )
    return [*tolerance(results, "strength"), taken]


STUDY = Study("latency", "How old may an observation be?", "strength of the delay", _arms, _answer)
