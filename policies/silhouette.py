"""What a mask says by itself: where the object is in the picture, how large, how stretched and which way."""

from __future__ import annotations

import torch
from torch import Tensor, nn

NUMBERS = 12
"""Seen, left, right, top, bottom, centre x and y, spread x and y, elongation along and across the diagonals, size."""


def measure(masks: Tensor) -> Tensor:
    """Numbers of masks (S, H, W) bool, (S, 12) f32, places from -1 to 1; zeros where nothing is seen."""
    height, width = masks.shape[1:]
    x, y = ((2 * torch.arange(n, device=masks.device) + 1) / n - 1 for n in (width, height))  # middles of pixels
    rows, columns = masks.sum(2).float(), masks.sum(1).float()  # (S, H), (S, W)
    n = rows.sum(1).clamp(min=1)

    def mean(sums: Tensor, values: Tensor) -> Tensor:
        return (sums * values).sum(1) / n

    cx, cy = mean(columns, x), mean(rows, y)
    xx, yy = mean(columns, x**2) - cx**2, mean(rows, y**2) - cy**2
    xy = mean((masks * x).sum(2), y) - cx * cy
    spread = (xx + yy).clamp(min=1e-6)
    edges = []
    for sums, place in ((columns, x), (rows, y)):
        edges += [torch.where(sums > 0, place, 1.0).amin(1), torch.where(sums > 0, place, -1.0).amax(1)]
    deviations = (xx.clamp(min=0).sqrt(), yy.clamp(min=0).sqrt())
    size = (n / (height * width)).sqrt()
    numbers = torch.stack([torch.ones_like(n), *edges, cx, cy, *deviations, (xx - yy) / spread, 2 * xy / spread, size], 1)
    return numbers * (rows.sum(1) > 0)[:, None]


class Silhouette(nn.Module):
    """Turns the numbers of a picture's mask into a vector that is added to the pooled one.

    A mean of tokens knows what the object looks like but hardly how many tokens there were; grasping wants the centre and the size.
    """

    def __init__(self, dim: int, cameras: int) -> None:
        super().__init__()
        self.first = nn.Linear(NUMBERS + cameras, 2 * dim)
        self.second = nn.Linear(2 * dim, dim)
        self.cameras = cameras

    def forward(self, numbers: Tensor, camera: Tensor) -> Tensor:
        """(S, 12) and the camera of each picture (S,) to (S, D); zeros where nothing is seen."""
        which = nn.functional.one_hot(camera, self.cameras).to(numbers.dtype)
        out = self.second(nn.functional.gelu(self.first(torch.cat([numbers, which], 1))))
        return out * numbers[:, :1]
