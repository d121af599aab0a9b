"""Which patches are the object's, and how much each counts: by any pixel, by majority, or by share."""

from __future__ import annotations

import torch
from torch import Tensor

from policies.config import Rule


def shares(bits: Tensor, picture: Tensor, pictures: int, rule: Rule) -> Tensor:
    """What each patch counts in its picture's mean, (N,) f32; 0 where it is not the object's. Never all 0 where the mask touches any.

    Args:
        bits: pixels of the target in all patches that the mask touches, and any others, (N, p * p) bool.
        picture: picture of each patch, (N,) i64.
        pictures: how many there are.
        rule: which patches count.
    """
    if rule is Rule.any:
        return bits.any(1).float()
    found, area = bits.sum(1), bits.shape[1]  # (N,)
    if rule is Rule.soft:
        return found / area
    half = 2 * found >= area
    most = found.new_zeros(pictures).scatter_reduce(0, picture, found, "amax")  # (S,)
    fullest = (found == most[picture]) & (2 * most < area)[picture] & (found > 0)
    places = torch.arange(len(found), device=found.device)
    first = places.new_full((pictures,), len(found)).scatter_reduce(0, picture, torch.where(fullest, places, len(found)), "amin")
    return (half | (fullest & (places == first[picture]))).float()
