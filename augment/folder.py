"""A folder of pictures from anywhere: what cannot be used is left out, by name and with the reason."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from augment.errors import AugmentError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
SIDE = 384
"""Pictures are held with this shorter side [px]."""
LEAST, MOST = 32, 12_000
"""Sides that are read [px]; no decoder sees a larger picture."""
PIXELS = 40_000_000
"""Most pixels of a picture."""
BYTES = 64 * 2**20
"""Largest file."""
COUNT = 200
"""Most pictures held of a folder: the first by name."""


@dataclass(frozen=True, eq=False)
class Folder:
    """The usable pictures of a folder, small enough to be held."""

    pictures: Mapping[str, np.ndarray]
    """By file name, in order, (h, w, 3) u8."""
    left_out: Mapping[str, str]
    """Why, by file name."""

    def draw(self, rng: np.random.Generator) -> tuple[str, np.ndarray]:
        """The name of a picture and a random square of it, (side, side, 3) u8, of at least half its shorter side."""
        name = list(self.pictures)[rng.integers(len(self.pictures))]
        picture = self.pictures[name]
        side = max(1, round(min(picture.shape[:2]) * rng.uniform(0.5, 1)))
        top, left = (int(rng.integers(n - side + 1)) for n in picture.shape[:2])
        return name, picture[top : top + side, left : left + side]


def open_folder(path: str | Path) -> Folder:
    """Reads a folder's pictures. Raises AugmentError where there is no folder or none of its files can be used."""
    path = Path(path)
    try:
        files = sorted(file for file in path.iterdir() if not file.name.startswith("."))
    except OSError as error:
        raise AugmentError(f"folder of pictures {path}: {error.strerror or error}") from None
    pictures, left_out = {}, {}
    for file in files:
        if len(pictures) == COUNT:
            left_out[file.name] = f"after the first {COUNT}"
            continue
        try:
            pictures[file.name] = _read(file)
        except AugmentError as error:
            left_out[file.name] = str(error)
    if not pictures:
        first = "; ".join(f"{name}: {why}" for name, why in list(left_out.items())[:3]) or "it is empty"
        raise AugmentError(f"folder of pictures {path}: none of {len(files)} files can be used ({first})")
    return Folder(pictures, left_out)


def _read(file: Path) -> np.ndarray:
    """One picture, (h, w, 3) u8, shrunk. Raises AugmentError; its sizes are checked before anything is decoded."""
    if not file.is_file():
        raise AugmentError("no file")
    if file.stat().st_size > BYTES:
        raise AugmentError(f"more than {BYTES // 2**20} MB")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes, which are checked here
        try:
            with Image.open(file, formats=FORMATS) as picture:
                width, height = picture.size
                if min(width, height) < LEAST or max(width, height) > MOST or width * height > PIXELS:
                    raise AugmentError(f"{width} x {height} px; {LEAST} to {MOST} a side, {PIXELS // 10**6} million in all")
                scale = SIDE / min(width, height)
                picture.draft("RGB", (SIDE, SIDE))
                picture = picture.convert("RGB")
                if scale < 1:
                    picture = picture.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BILINEAR)
                return np.asarray(picture)
        except AugmentError:
            raise
        except Image.DecompressionBombError:
            raise AugmentError("more pixels than are safe to decode") from None
        except Exception as error:  # decoders raise anything on broken files
            raise AugmentError(f"no picture that can be read ({type(error).__name__})") from None
