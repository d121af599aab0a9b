"""The learning rate of `cezanne train`, for LeRobot's loop."""

from __future__ import annotations

from dataclasses import dataclass

from lerobot.optim import LRSchedulerConfig
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from policies.schedule import rate


@LRSchedulerConfig.register_subclass("cezanne")
@dataclass
class CezanneSchedule(LRSchedulerConfig):
    """Linear warm-up, then a cosine to 1 % over all steps of the run."""

    num_warmup_steps: int | None = 200
    """At most a tenth of the run."""

    def build(self, optimizer: Optimizer, num_training_steps: int) -> LambdaLR:
        """For a run of so many steps."""
        warmup = self.num_warmup_steps or 0
        return LambdaLR(optimizer, lambda step: rate(1.0, step, min(step / num_training_steps, 1.0), warmup))
