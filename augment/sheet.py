"""Contact sheet of augmented episodes: before above after, and what was drawn, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from episodes import Episode
from episodes.picture import sheet

_MOMENTS = {1: 6, 2: 4}
"""Pictures of each camera, by the number of cameras; more cameras get three each."""
_HEIGHT = 192
"""Of a picture [px]."""
_LETTERS = 21
"""Of a caption, that fit below one picture."""


def draw_sheet(pairs: Sequence[tuple[Episode, Episode]], height: int = _HEIGHT) -> np.ndarray:
    """Some moments of every camera of each (before, after), masks outlined, (H, W, 3) u8 on white. height: of a picture [px]."""
    blocks = [_block(before, after, height) for before, after in pairs]
    wide = max(block.shape[1] for block in blocks)
    return np.concatenate([np.pad(b, [(0, 0), (0, wide - b.shape[1]), (0, 0)], constant_values=255) for b in blocks])


def _block(before: Episode, after: Episode, height: int) -> np.ndarray:
    """Two rows; both show the same shares of their episodes, which are the same steps where both have as many."""
    cameras = [camera for camera in before.images if camera in after.images]
    shares = np.linspace(0, 1, _MOMENTS.get(len(cameras), 3))
    rows, masks, columns = [], [], []
    for episode in (before, after):
        steps = (shares * (len(episode) - 1)).round().astype(int)
        rows.append([episode.images[camera][t] for camera in cameras for t in steps])
        masks.append([episode.masks[camera][t] for camera in cameras for t in steps])
        columns = [f"{camera}, {t * episode.dt:.1f} s" for camera in cameras for t in steps]
    said = describe(after.provenance)
    if len(said) > (most := _LETTERS * len(columns)):
        said = f"{said[: most - 1]}\N{HORIZONTAL ELLIPSIS}"
    return sheet(rows, masks, columns=columns, rows=["before", "after"], caption=said, height=height)


def describe(provenance: Mapping[str, Any]) -> str:
    """Which episode it was, and what each augmentation did to it."""
    origin = provenance.get("origin", {})
    where = f"{origin['shard']} / {origin['episode']}, copy {origin['copy']}" if origin else ""
    done = [_entry(entry) for entry in provenance.get("augment", ())]
    return "  \N{MIDDLE DOT}  ".join(part for part in (where, *done) if part)


def _entry(entry: Mapping[str, Any]) -> str:
    """One augmentation with the first few plain values that it drew."""
    values = [_said(key, value) for key, value in entry.items() if key not in ("name", "tries", "drawn_from") and _plain(value)]
    return f"{entry['name']}: {', '.join(values[:3])}" if values else str(entry["name"])


def _plain(value: Any) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and 0 < len(value) <= 40)


def _said(key: str, value: Any) -> str:
    """A word by itself, a number with its name, an angle with its sign."""
    if key == "degrees":
        return f"{value:+.1f} deg"
    if key == "instead_of":
        return f"instead of {value}"
    return value if isinstance(value, str) else f"{key.replace('_', ' ')} {value:.4g}"
