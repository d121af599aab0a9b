"""Workers of verbs, the first picture of which hangs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hanging_jobs import hang_once

from eval.bench import Bench, Worker
from sim.collect import Collector


class HangingCollector(Collector):
    """Hangs once, beside its data set."""

    def __call__(self) -> Collector.Work:
        hang_once(self.path.parent, self.info.fingerprint["gl"])
        return super().__call__()


@dataclass(frozen=True)
class HangingBench(Bench):
    """Hangs once, in the working directory."""

    def __call__(self) -> Worker:
        hang_once(Path(), os.environ["MUJOCO_GL"])
        return super().__call__()
