"""How training goes on from step to step: the learning rate, what the average of the weights takes over, what learns how fast."""

from __future__ import annotations

import math
from typing import Any

from policies.backbone import PretrainedEncoder
from policies.network import PolicyNetwork


def rate(peak: float, step: int, spent: float, warmup: int) -> float:
    """The learning rate of a step: linear warm-up, then a cosine to 1 % of the peak.

    Args:
        peak: the highest.
        step: from 0.
        spent: share of the budget that is used, 0 to 1.
        warmup: steps of warm-up, at most a tenth of the budget.
    """
    warm = min(1.0, max((step + 1) / (warmup + 1), spent / 0.1))
    return peak * warm * (0.505 + 0.495 * math.cos(math.pi * spent))


def taken_over(ema: float, step: int) -> float:
    """The share of the new weights in their average: 1 - `ema`, and more in the beginning."""
    return 1 - min(ema, (2 + step) / (11 + step))


def paces(network: PolicyNetwork, backbone: float) -> list[dict[str, Any]]:
    """The weights that are trained, for an optimiser, each group with its `share` of the learning rate.

    backbone: share of the weights of a pretrained backbone.
    """
    encoder = network.encoder
    known = {id(weight) for _, weight in encoder.pretrained()} if isinstance(encoder, PretrainedEncoder) else set()
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    slow, fast = [w for w in trained if id(w) in known], [w for w in trained if id(w) not in known]
    return [{"params": found, "share": share} for found, share in ((fast, 1.0), (slow, backbone)) if found]
