"""A picture for people: the corners that were found, where in the picture the board was, and what the calibration leaves unexplained."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from deploy.calibration.board import View
from deploy.calibration.lens import GRID

_HEIGHT = 420
"""Of both pictures [px]."""
_ARROW = 14.0
"""Length of an arrow of root mean square size [px]."""
_INK, _PAPER, _SEEN, _LEFT = (40, 40, 40), (255, 255, 255), (0, 140, 255), (220, 30, 60)


def calibration_sheet(
    image: np.ndarray, shown: View, views: Sequence[View], residuals: Sequence[np.ndarray], lines: Sequence[str]
) -> np.ndarray:
    """Two pictures and some lines of text, (H, W, 3) u8.

    Args:
        image: one of the pictures, (H, W, 3) u8.
        shown: the board in it.
        views: all that were used.
        residuals: seen minus predicted of each, (K, 2) [px].
        lines: what to say below.
    """
    left, right = _found(image, shown), _residuals(image, views, residuals)
    gap, size = 12, 16
    page = Image.new("RGB", (left.width + right.width + 3 * gap, _HEIGHT + 2 * gap + len(lines) * (size + 6) + gap), _PAPER)
    page.paste(left, (gap, gap))
    page.paste(right, (left.width + 2 * gap, gap))
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(size)
    for k, line in enumerate(lines):
        pen.text((gap, _HEIGHT + 2 * gap + k * (size + 6)), line, _INK, font)
    return np.asarray(page)


def _found(image: np.ndarray, view: View) -> Image.Image:
    """The picture with the corners that were found in it, numbered."""
    scale = _HEIGHT / image.shape[0]
    page = _scaled(image)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(11)
    for number, (x, y) in zip(view.ids, (view.pixels + 0.5) * scale, strict=True):
        pen.line((x - 5, y, x + 5, y), _LEFT, 1)
        pen.line((x, y - 5, x, y + 5), _LEFT, 1)
        pen.text((x + 3, y - 3), str(number), _SEEN, font, anchor="ls")
    return page


def _residuals(image: np.ndarray, views: Sequence[View], residuals: Sequence[np.ndarray]) -> Image.Image:
    """All corners of all views on the faded picture, with arrows, and the cells where none was."""
    scale = _HEIGHT / image.shape[0]
    page = _scaled(255 - (255 - image) // 4)
    pen = ImageDraw.Draw(page, "RGBA")
    pixels, left = np.concatenate([view.pixels for view in views]), np.concatenate(residuals)
    across, down = GRID
    cells = (pixels / [image.shape[1] / across, image.shape[0] / down]).astype(int)
    for i in range(across):
        for j in range(down):
            if not (cells == [i, j]).all(axis=1).any():
                x, y = i * page.width / across, j * page.height / down
                pen.rectangle((x, y, x + page.width / across, y + page.height / down), fill=(255, 200, 0, 90))
    stretch = _ARROW / max(float(np.sqrt((left**2).sum(axis=1).mean())), 1e-6)
    for (x, y), (dx, dy) in zip((pixels + 0.5) * scale, left * stretch, strict=True):
        pen.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill=_SEEN)
        pen.line((x, y, x + dx, y + dy), _LEFT, 1)
    return page


def _scaled(image: np.ndarray) -> Image.Image:
    width = round(image.shape[1] * _HEIGHT / image.shape[0])
    how = cv2.INTER_AREA if image.shape[0] > _HEIGHT else cv2.INTER_CUBIC
    return Image.fromarray(np.asarray(cv2.resize(np.ascontiguousarray(image), (width, _HEIGHT), interpolation=how)))
