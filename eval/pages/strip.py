"""A filmstrip cut apart again, so that a page can lay its pictures out for a wide screen and for a phone."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

_SIDE = 240
_PAPER, _MOST = 230, 0.97
"""At least this bright in every channel, in at least this share of a row or column (JPEG rings): the paper between the pictures."""


def pictures(strip: Path) -> list[bytes]:
    """The pictures of a strip from left to right, each a JPEG; the whole strip as one where no paper divides it evenly."""
    with Image.open(strip) as opened:
        page = opened.convert("RGB")
    spans = _spans(np.asarray(page))
    boxes = spans if spans else [(0, 0, page.width, page.height)]
    return [_jpeg(page.crop(box)) for box in boxes]


def _spans(page: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Boxes (left, top, right, bottom) of the pictures on a page (H, W, 3); none where they are not of one width."""
    paper = page.min(axis=2) >= _PAPER
    rows = _runs(paper.mean(axis=1) < _MOST)
    if not rows:
        return []
    top, bottom = max(rows, key=lambda run: run[1] - run[0])  # the pictures; the labels above them are lower
    columns = [run for run in _runs(paper[top:bottom].mean(axis=0) < _MOST) if run[1] - run[0] > 8]
    widths = [right - left for left, right in columns]
    if len(widths) < 2 or max(widths) - min(widths) > 4:
        return []
    return [(left, top, right, bottom) for left, right in columns]


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Where a row of flags is set: from, to."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _jpeg(picture: Image.Image) -> bytes:
    if picture.height > _SIDE:
        picture = picture.resize((max(1, round(picture.width * _SIDE / picture.height)), _SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=84)
    return buffer.getvalue()
