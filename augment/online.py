"""The photometric sets on batches of tensors, on any device: every picture has draws of its own, and none is treated by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from augment.photometric import OPS, Colour, Crop, Operation, PhotometricSet, Shift, Turn

_GREY = (0.2989, 0.587, 0.114)
"""Of ITU-R BT.601, as torchvision rounds them."""
_AT_ONCE = 32
"""Pictures of an episode that are worked on together."""


@dataclass(frozen=True)
class Draws:
    """What was drawn for S pictures and a set of n operations; on the CPU."""

    amounts: Tensor
    """Of the colours; what changes nothing where an operation is none of them or is not done, (S, n)."""
    matrices: Tensor
    """From the new picture to the old, both as coordinates from -1 to 1, by operation, (S, n, 3, 3)."""

    def repeated(self, times: int) -> Draws:
        """For `times` pictures after each other with the draws of each."""
        return Draws(*(getattr(self, field.name).repeat_interleave(times, 0) for field in fields(self)))


class Photometric:
    """A set, ready for batches of V cameras.

    Args:
        of: the set.
        wrist: which of the cameras are fixed to the robot, (V,); some sets do not crop these. Empty: none is.
    """

    def __init__(self, of: PhotometricSet, wrist: Sequence[bool] = ()) -> None:
        self.set, self.wrist = of, tuple(wrist)

    def __call__(self, images: Tensor, masks: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Pictures (B, V, 3, H, W) u8 and masks (B, V, H, W) bool, changed; each picture by itself.

        generator: on the CPU, so that the same state gives the same draws on every device.
        """
        batch, cameras = images.shape[:2]
        if self.wrist and len(self.wrist) != cameras:
            raise ValueError(f"{cameras} cameras, but it was said of {len(self.wrist)} whether they are on the robot")
        wrist = torch.tensor(self.wrist or [False] * cameras).repeat(batch)
        draws = draw(self.set, wrist, images.shape[-1] / images.shape[-2], generator)
        new, moved = apply(self.set, images.flatten(0, 1), masks.flatten(0, 1), draws)
        return new.view_as(images), moved.view_as(masks)


def draw(of: PhotometricSet, wrist: Tensor, aspect: float, generator: torch.Generator | None = None) -> Draws:
    """Draws for S pictures, of which `wrist` (S,) bool are from the robot. aspect: width over height."""
    count, n = len(wrist), len(of.operations)
    uniform = torch.rand(count, max(n, 1), 5, generator=generator, dtype=torch.float64)
    done = _chosen(of, uniform[..., 4])
    amounts = torch.zeros(count, n)
    matrices = torch.eye(3, dtype=torch.float64).repeat(count, n, 1, 1)
    for k, operation in enumerate(of.operations):
        if isinstance(operation, Colour):
            amounts[:, k] = torch.where(done[:, k], _between(operation.amount, uniform[:, k, 0]), OPS[operation.op][0]).float()
        else:
            moves = done[:, k] & (~wrist | of.wrist_moves)
            matrices[moves, k] = _matrix(operation, uniform[moves, k, :4], aspect)
    return Draws(amounts, matrices.float())


def apply(of: PhotometricSet, images: Tensor, masks: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """Pictures (S, 3, H, W) u8 and masks (S, H, W) bool, changed as drawn."""
    if not of.operations:
        return images, masks
    x, k = images.float() / 255, 0
    while k < len(of.operations):
        operation = of.operations[k]
        if isinstance(operation, Colour):
            x, k = _coloured(operation, x, draws.amounts[:, k]), k + 1
            continue
        end = next((j for j in range(k, len(of.operations)) if isinstance(of.operations[j], Colour)), len(of.operations))
        matrix = draws.matrices[:, k]
        for j in range(k + 1, end):  # the new picture of the last is where it begins
            matrix = matrix @ draws.matrices[:, j]
        grid = functional.affine_grid(matrix[:, :2].to(x.device), list(x.shape), align_corners=False)
        x = functional.grid_sample(x, grid, align_corners=False)
        masks = functional.grid_sample(masks[:, None].float(), grid, mode="nearest", align_corners=False)[:, 0] > 0.5
        k = end
    return x.mul_(255).add_(0.5).to(torch.uint8), masks


def recolour(
    of: PhotometricSet, pictures: np.ndarray, masks: np.ndarray, seed: Sequence[int], *, wrist: bool, one: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The pictures (T, H, W, 3) u8 and masks (T, H, W) of one camera, changed, on the CPU. one: whether one draw holds for all."""
    generator = torch.Generator().manual_seed(int(np.random.default_rng(seed).integers(2**62)))
    height, width = masks.shape[1:]
    draws = draw(of, torch.full((1 if one else len(pictures),), wrist), width / height, generator)
    new, moved = np.empty_like(pictures), np.empty_like(masks)
    for first in range(0, len(pictures), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        here = draws.repeated(len(pictures[part])) if one else Draws(draws.amounts[part], draws.matrices[part])
        images = torch.from_numpy(np.array(pictures[part])).permute(0, 3, 1, 2)
        changed, mask = apply(of, images, torch.from_numpy(np.array(masks[part])), here)
        new[part], moved[part] = changed.permute(0, 2, 3, 1).numpy(), mask.numpy()
    return new, moved


def _coloured(operation: Colour, x: Tensor, amounts: Tensor) -> Tensor:
    """Pictures (S, 3, H, W) in [0, 1] after one operation with amounts (S,); those whose amount changes nothing are left out."""
    done = amounts != OPS[operation.op][0]
    if not done.any():
        return x
    change = _COLOURS[operation.op]
    amounts = amounts.view(-1, 1, 1, 1)
    if done.all():
        return change(x, amounts.to(x.device)).clamp_(0, 1)
    rows = done.nonzero()[:, 0].to(x.device)
    return x.index_copy(0, rows, change(x[rows], amounts[done].to(x.device)).clamp_(0, 1))


def _between(bounds: tuple[float, float], uniform: Tensor) -> Tensor:
    return bounds[0] + (bounds[1] - bounds[0]) * uniform


def _chosen(of: PhotometricSet, uniform: Tensor) -> Tensor:
    """Which operations are done, (S, n) bool; a Shift is done with the Turn before it."""
    count = len(of.operations)
    if not of.most:
        return torch.ones(len(uniform), count, dtype=torch.bool)
    leads = [k for k in range(count) if not isinstance(of.operations[k], Shift)]
    rank = uniform[:, leads].argsort(1).argsort(1)
    done = torch.zeros(len(uniform), count, dtype=torch.bool)
    done[:, leads] = rank < of.most
    for k in range(count):
        if k not in leads:
            done[:, k] = done[:, k - 1]
    return done


def _matrix(operation: Operation, uniform: Tensor, aspect: float) -> Tensor:
    """From the new picture to the old, (S, 3, 3), of uniform numbers (S, 4)."""
    matrix = torch.eye(3, dtype=uniform.dtype).repeat(len(uniform), 1, 1)
    if isinstance(operation, Crop):
        area = _between(operation.area, uniform[:, 0])
        low, high = (float(np.log(r)) for r in operation.ratio)
        ratio = _between((low, high), uniform[:, 1]).exp()
        size = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], 1).clamp(max=1)  # shares of width and height
        matrix[:, 0, 0], matrix[:, 1, 1] = size.unbind(1)
        matrix[:, :2, 2] = (1 - size) * (2 * uniform[:, 2:] - 1)
    elif isinstance(operation, Turn):
        angle = np.radians(operation.degrees) * (2 * uniform[:, 0] - 1)
        matrix[:, 0, 0], matrix[:, 1, 1] = angle.cos(), angle.cos()
        matrix[:, 0, 1], matrix[:, 1, 0] = -angle.sin() / aspect, angle.sin() * aspect
    elif isinstance(operation, Shift):
        matrix[:, :2, 2] = 2 * operation.share * (2 * uniform[:, :2] - 1)
    return matrix


def _grey(x: Tensor) -> Tensor:
    """(S, 1, H, W)"""
    red, green, blue = x.unbind(1)
    return (_GREY[0] * red + _GREY[1] * green + _GREY[2] * blue)[:, None]


def _mean(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """In double precision, so that it does not depend on how many threads add up."""
    return x.mean(axes, keepdim=True, dtype=torch.float64).to(x.dtype)


def _blend(x: Tensor, other: Tensor, amount: Tensor) -> Tensor:
    return other + amount * (x - other)


def _sharpness(x: Tensor, amount: Tensor) -> Tensor:
    """The rim of a picture stays, as in torchvision."""
    kernel = torch.ones(3, 1, 3, 3, dtype=x.dtype, device=x.device)
    kernel[:, :, 1, 1] = 5
    blurred = x.clone()
    blurred[..., 1:-1, 1:-1] = functional.conv2d(x, kernel / 13, groups=3)
    return _blend(x, blurred, amount)


def _hsv_saturation(x: Tensor, amount: Tensor) -> Tensor:
    """Without a way through HSV: every channel keeps its share of the distance from the greatest."""
    value, least = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
    saturation = (value - least) / value.clamp(min=1e-8)
    factor = (saturation * amount).clamp(0, 1) / saturation.clamp(min=1e-8)
    return value - factor * (value - x)


def _hue(x: Tensor, amount: Tensor) -> Tensor:
    """amount: in turns."""
    value, least = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
    chroma = value - least
    red, green, blue = x.split(1, 1)
    safe = chroma.clamp(min=1e-8)
    sixth = torch.where(red == value, (green - blue) / safe, torch.where(green == value, 2 + (blue - red) / safe, 4 + (red - green) / safe))
    sixth = sixth + 6 * amount  # (S, 1, H, W), in sixths of a turn
    at = (sixth + torch.tensor([5.0, 3.0, 1.0], dtype=x.dtype, device=x.device).view(1, 3, 1, 1)).remainder(6)
    return value - chroma * torch.minimum(at, 4 - at).clamp(0, 1)


_COLOURS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "offset": lambda x, amount: x + amount,
    "brightness": lambda x, amount: x * amount,
    "contrast": lambda x, amount: _blend(x, _mean(_grey(x), (1, 2, 3)), amount),
    "channel_contrast": lambda x, amount: _blend(x, _mean(x, (2, 3)), amount),
    "saturation": lambda x, amount: _blend(x, _grey(x), amount),
    "hsv_saturation": _hsv_saturation,
    "hue": _hue,
    "sharpness": _sharpness,
}
