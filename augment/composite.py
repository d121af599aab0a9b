"""A crop pasted into a picture: of the right size, in its light, with a soft edge, behind what stands in front of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from augment.library import Crop

_SHIFT, _GAIN, _FLAT = 40.0, 1.25, 6.0
"""Lightness is moved by at most _SHIFT [0..255] and spread by at most _GAIN; a spread below _FLAT counts as it."""
_LARGEST = 2.0
"""A crop that is drawn larger than this many pictures is not drawn."""


@dataclass(frozen=True, eq=False)
class Stamp:
    """A crop as it falls onto a picture."""

    rows: slice
    columns: slice
    rgb: np.ndarray
    """(h, w, 3) f32."""
    alpha: np.ndarray
    """(h, w) f32, 0 to 1."""


def in_light(crop: Crop, light: tuple[float, float]) -> Crop:
    """The crop as it would look there: its lightness moved as the surroundings' mean differs and spread as their spread does, in limits.

    light: mean and spread around the new place, as `Crop.light`.
    """
    (was, spread), (now, other) = crop.light, light
    shift = float(np.clip(now - was, -_SHIFT, _SHIFT))
    gain = float(np.clip(max(other, _FLAT) / max(spread, _FLAT), 1 / _GAIN, _GAIN))
    lab = np.asarray(cv2.cvtColor(crop.rgb, cv2.COLOR_RGB2LAB)).astype(np.float32)
    middle = lab[..., 0][crop.mask].mean()
    lab[..., 0] = np.clip(middle + gain * (lab[..., 0] - middle) + shift, 0, 255)
    return replace(crop, rgb=np.asarray(cv2.cvtColor(lab.round().astype(np.uint8), cv2.COLOR_LAB2RGB)), light=light)


def stamp(crop: Crop, centre: tuple[float, float], scale: float, shape: tuple[int, int], feather: float = 0.5) -> Stamp | None:
    """The crop with the middle of its mask at `centre` (x, y) [px] and `scale` times as large; None where nothing of it is in the picture.

    shape: height and width of the picture [px]. feather: how far the edge is softened [px]; the mask's outline stays at alpha 0.5.
    """
    height, width = shape
    h, w = crop.mask.shape
    if not (np.isfinite(centre).all() and 0 < scale * max(h, w) <= _LARGEST * max(shape)):
        return None
    (cx, cy), pad = crop.centre, 1 + 2 * feather
    x0, x1 = max(0, int(centre[0] - scale * (cx + 0.5) - pad)), min(width, int(centre[0] + scale * (w - 0.5 - cx) + pad) + 2)
    y0, y1 = max(0, int(centre[1] - scale * (cy + 0.5) - pad)), min(height, int(centre[1] + scale * (h - 0.5 - cy) + pad) + 2)
    if x0 >= x1 or y0 >= y1:
        return None
    rgb, mask, size = crop.rgb, crop.mask.astype(np.float32), np.ones(2)
    if scale < 0.8:  # averaged first: a warp only samples
        small = max(1, round(w * scale)), max(1, round(h * scale))
        size = np.array(small) / (w, h)
        rgb = np.asarray(cv2.resize(rgb, small, interpolation=cv2.INTER_AREA))
        mask = np.asarray(cv2.resize(mask, small, interpolation=cv2.INTER_AREA))
    left = np.array([centre[0] - x0, centre[1] - y0]) + 0.5 - scale * (np.array([cx, cy]) + 0.5)  # pixel edges, not middles
    zoom = scale / size
    matrix = np.array([[zoom[0], 0, left[0] + 0.5 * zoom[0] - 0.5], [0, zoom[1], left[1] + 0.5 * zoom[1] - 0.5]])
    onto = (x1 - x0, y1 - y0)
    drawn = cv2.warpAffine(rgb, matrix, onto, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(mask, matrix, onto, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    alpha = np.asarray(alpha)
    if zoom.max() > 1:  # a mask drawn larger has a wide ramp: made as steep as that of one that was not
        alpha = np.clip((alpha - 0.5) * zoom.max() + 0.5, 0, 1)
    if feather > 0:
        alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), feather))
    return Stamp(slice(y0, y1), slice(x0, x1), np.asarray(drawn).astype(np.float32), alpha)


def lay(picture: np.ndarray, of: Stamp, hidden: np.ndarray) -> np.ndarray:
    """Blends a stamp into a picture (H, W, 3) u8, in place, but for `hidden` pixels (H, W) bool; returns where it is seen, (H, W) bool."""
    y, x = of.rows, of.columns
    cover = np.where(hidden[y, x], 0, of.alpha)
    cover[cover < 0.02] = 0
    under = picture[y, x].astype(np.float32)
    picture[y, x] = (under + cover[..., None] * (of.rgb - under)).round().astype(np.uint8)
    seen = np.zeros(hidden.shape, bool)
    seen[y, x] = cover >= 0.5
    return seen


def paste(picture: np.ndarray, crop: Crop, centre: tuple[float, float], scale: float, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A new picture (H, W, 3) u8 with the crop in it, and where it is seen, (H, W) bool; arguments as those of `stamp` and `lay`."""
    new = picture.copy()
    of = stamp(crop, centre, scale, (hidden.shape[0], hidden.shape[1]))
    return (new, np.zeros(hidden.shape, bool)) if of is None else (new, lay(new, of, hidden))


def follow(crop: Crop, centre: np.ndarray, scale: np.ndarray, shape: tuple[int, int]) -> list[Stamp | None]:
    """Stamps of a crop on its way: centre (T, 2) [px], scale (T,). What has not moved by a tenth of a pixel is not drawn again."""
    stamps: list[Stamp | None] = []
    last: tuple[np.ndarray, float] | None = None
    reach = max(crop.mask.shape) / 2
    for middle, size in zip(centre, scale, strict=True):
        if last is not None and np.abs(middle - last[0]).max() < 0.1 and abs(size - last[1]) * reach < 0.1:
            stamps.append(stamps[-1])
            continue
        stamps.append(stamp(crop, (float(middle[0]), float(middle[1])), float(size), shape))
        last = middle, float(size)
    return stamps
