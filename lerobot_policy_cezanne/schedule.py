"""The learning rate of `cezanne train`, for LeRobot's loop."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lerobot.optim import LRSchedulerConfig
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


@LRSchedulerConfig.register_subclass("cezanne")
@dataclass
class CezanneSchedule(LRSchedulerConfig):
    """Linear warm-up, then a cosine to 1 % over all steps of the run."""

    num_warmup_steps: int | None = 200
    """At most a tenth of the run."""

    def build(self, optimizer: Optimizer, num_training_steps: int) -> LambdaLR:
        """For a run of so many steps."""
        warmup = self.num_warmup_steps or 0

        def share(step: int) -> float:
            spent = min(step / num_training_steps, 1.0)
            warm = min(1.0, max((step + 1) / (warmup + 1), spent / 0.1))
            return warm * (0.505 + 0.495 * math.cos(math.pi * spent))

        return LambdaLR(optimizer, share)
