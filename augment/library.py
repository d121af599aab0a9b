"""Objects cut out of episodes: what an object swap pastes."""

from __future__ import annotations

import json
import os
import re
import secrets
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from augment.errors import AugmentError
from augment.world import World
from episodes import Dataset, Episode
from episodes.picture import sheet

SMALLEST = 20
"""Pixels of a mask that is worth cutting out."""
CROPS, SIDE, BYTES = 4096, 1024, 1 << 28
"""Limits of a file that is read: crops, pixels of a crop's longer side, bytes when unpacked."""
_MARGIN = 3
"""Around the mask, so that its edge can be softened [px]."""
_ALIKE = 3.0
"""Crops of one object that differ by less on average are one [0..255]."""
_LOOKS = 12
"""Moments of an episode that are looked at for the best view."""

_ASKED = re.compile(
    r"^(?P<before>\s*(?:please\s+)?(?:pick(?:\s+up)?|grasp|grab|lift|take|get|hold)\s+(?:the|a|an)\s+)"
    r"(?P<noun>\S.*?)"
    r"(?P<after>\s+(?:and|from|on|in|into|onto|to|off|out|with)\s.*|[.!]?\s*)$",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, eq=False)
class Crop:
    """One view of one object."""

    rgb: np.ndarray
    """(h, w, 3) u8; beyond the mask its colours go on, so that no background shines through a soft edge."""
    mask: np.ndarray
    """Pixels of the object, (h, w) bool."""
    name: str
    """What tells the object from others."""
    noun: str
    """What an instruction calls it; empty where none did."""
    camera: str
    source: str
    """The episode that it was cut from."""
    light: tuple[float, float]
    """Mean and spread of the lightness around it, L of CIELAB as OpenCV keeps it [0..255]."""

    def __post_init__(self) -> None:
        if self.rgb.dtype != np.uint8 or self.mask.dtype != bool or self.rgb.shape != (*self.mask.shape, 3) or not self.mask.any():
            raise AugmentError(f"a crop is (h, w, 3) uint8 with a mask (h, w) bool, got {self.rgb.shape} and {self.mask.shape}")

    @property
    def area(self) -> int:
        """Of the mask [px]."""
        return int(self.mask.sum())

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the mask's box, x and y [px]: the paper's centre."""
        ys, xs = np.nonzero(self.mask)
        return float(xs.min() + xs.max()) / 2, float(ys.min() + ys.max()) / 2


@dataclass(frozen=True)
class Library:
    """Crops of many objects; duplicates are left out."""

    crops: Sequence[Crop]

    def __post_init__(self) -> None:
        kept: list[Crop] = []
        for crop in self.crops:
            if not any(_alike(crop, other) for other in kept):
                kept.append(crop)
        object.__setattr__(self, "crops", tuple(kept))

    def names(self) -> list[str]:
        """Of its objects, sorted."""
        return sorted({crop.name for crop in self.crops})

    def of(self, name: str) -> list[Crop]:
        """The crops of one object."""
        return [crop for crop in self.crops if crop.name == name]

    def sheet(self, height: int = 96) -> np.ndarray:
        """All crops on grey with the names of their objects, (H, W, 3) u8. height: of a tile [px]. Raises AugmentError for none."""
        if not self.crops:
            raise AugmentError("a library without crops has no sheet")
        columns = min(8, len(self.crops))
        missing = -len(self.crops) % columns
        tiles = [_tile(crop, height) for crop in self.crops] + [np.full((height, height, 3), 255, np.uint8)] * missing
        labels = [_short(crop.name) for crop in self.crops] + [""] * missing
        rows = [sheet([tiles[k : k + columns]], columns=labels[k : k + columns]) for k in range(0, len(tiles), columns)]
        return np.concatenate(rows)

    def save(self, file: str | Path) -> None:
        """Writes one `.npz`: all pixels as RGBA, and what they are as JSON. What was there is replaced when all is written."""
        file = Path(file)
        named = ("name", "noun", "camera", "source", "light")
        about = [{key: getattr(crop, key) for key in named} | {"shape": crop.mask.shape} for crop in self.crops]
        pixels = np.concatenate(
            [np.zeros((0, 4), np.uint8), *(np.dstack([c.rgb, np.uint8(255) * c.mask]).reshape(-1, 4) for c in self.crops)]
        )
        part = file.with_name(f".part-{secrets.token_hex(4)}.npz")
        try:
            np.savez_compressed(part, about=np.frombuffer(json.dumps(about).encode(), np.uint8), pixels=pixels)
            os.replace(part, file)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise AugmentError(f"cannot write {file}: {error.strerror}") from error

    @staticmethod
    def load(file: str | Path) -> Library:
        """Reads what `save` wrote. Raises AugmentError for what is too large or something else."""
        try:
            with zipfile.ZipFile(file) as members:
                large = sum(member.file_size for member in members.infolist())
            if large > BYTES:
                raise AugmentError(f"{file} unpacks to {large >> 20} MiB; a library of crops has at most {BYTES >> 20}")
            with np.load(file, allow_pickle=False) as arrays:
                about, pixels = json.loads(arrays["about"].tobytes()), arrays["pixels"]
            return Library(_read(about, pixels))
        except OSError as error:
            raise AugmentError(f"cannot read the library {file}: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, zipfile.BadZipFile, NotImplementedError) as error:
            raise AugmentError(f"{file} is no library of crops: {error}") from error


def build_library(dataset: Dataset, world: World, objects: int = 64) -> Library:
    """Cuts one episode of each object, of `objects` at most, taken evenly. Raises AugmentError for fewer than two objects."""
    first = objects_of(dataset)
    names = list(first)
    chosen = [names[k] for k in np.linspace(0, len(names) - 1, min(objects, len(names))).round().astype(int)]
    return Library([crop for name in chosen for crop in cut_out(dataset[first[name]], world, f"episode {first[name]}")])


def objects_of(dataset: Dataset) -> dict[str, int]:
    """The first episode of each object of a data set, by name; reads no pictures. Raises AugmentError for fewer than two objects.

    Where the provenance names none, every episode counts as one of its own object.
    """
    first: dict[str, int] = {}
    for k in range(len(dataset)):
        first.setdefault(_known(dataset.provenance(k)) or f"episode {k}", k)
    if len(first) < 2:
        raise AugmentError(f"the data set shows {len(first)} object, and a swap needs another one: give swap.library, or collect more toys")
    return first


def cut_out(episode: Episode, world: World, source: str) -> list[Crop]:
    """The best view of the target from each camera that ever sees it whole."""
    some = _thinned(episode, np.unique(np.linspace(0, len(episode) - 1, _LOOKS).round().astype(int)))
    robot = world.robot_masks(some)
    return [crop for camera in some.images for crop in [best_view(some, camera, robot[camera], source)] if crop is not None]


def best_view(episode: Episode, camera: str, robot: np.ndarray, source: str) -> Crop | None:
    """The target where most of its pixels are seen and nothing of it is hidden. robot: (T, H, W) bool.

    Where the robot seems to touch it at every step, the paper's choice: the first step. None where the border cuts it off then, too.
    """
    masks = episode.masks[camera]
    whole = complete(masks, robot)
    if not whole.any():
        whole[0] = complete(masks[:1], np.zeros_like(robot[:1]))[0]
    if not whole.any():
        return None
    t = int(np.argmax(np.where(whole, masks.sum((1, 2)), 0)))
    return cut(episode.images[camera][t], masks[t], robot[t], object_name(episode), noun_of(episode.instruction) or "", camera, source)


def complete(masks: np.ndarray, robot: np.ndarray) -> np.ndarray:
    """Whether a mask shows all of the target, (T,) bool: it touches neither the picture's border nor the robot. Both (T, H, W) bool."""
    found = np.zeros(len(masks), bool)
    for t, (mask, hides) in enumerate(zip(masks, robot, strict=True)):
        if mask.sum() < SMALLEST or mask[[0, -1]].any() or mask[:, [0, -1]].any():
            continue
        y, x = box(mask, 2)
        found[t] = not (grown(mask[y, x], 2) & hides[y, x]).any()
    return found


def cut(picture: np.ndarray, mask: np.ndarray, hidden: np.ndarray, name: str, noun: str, camera: str, source: str) -> Crop:
    """Cuts the pixels of a mask out of a picture. hidden: pixels that do not count as surroundings, (H, W) bool."""
    y, x = box(mask, _MARGIN)
    inside = mask[y, x]
    _, nearest = cv2.distanceTransformWithLabels((~inside).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    labels = np.asarray(nearest, np.intp)
    colours = np.zeros((int(labels.max()) + 1, 3), np.uint8)
    colours[labels[inside]] = picture[y, x][inside]
    return Crop(colours[labels], inside.copy(), name, noun, camera, source, surroundings(picture, mask, hidden))


def surroundings(picture: np.ndarray, mask: np.ndarray, hidden: np.ndarray, reach: int = 8) -> tuple[float, float]:
    """Mean and spread of the lightness [0..255] within `reach` pixels of a mask, but for `hidden` ones; of nothing, 128 and 0."""
    y, x = box(mask, reach)
    around = grown(mask[y, x], reach) & ~grown(mask[y, x], 1) & ~hidden[y, x]
    if not around.any():
        return 128.0, 0.0
    light = np.asarray(cv2.cvtColor(np.ascontiguousarray(picture[y, x]), cv2.COLOR_RGB2LAB))[..., 0][around]
    return float(light.mean()), float(light.std())


def object_name(episode: Episode) -> str:
    """What tells the target from other objects: its name, else its number, else what the instruction calls it."""
    return _known(episode.provenance) or noun_of(episode.instruction) or episode.instruction


def noun_of(instruction: str) -> str | None:
    """X of "pick up the X": after a verb of grasping and an article, up to a preposition or the end."""
    found = _ASKED.match(instruction)
    return found["noun"] if found else None


def renamed(instruction: str, noun: str) -> str | None:
    """The instruction with another noun; None where it has none that we can tell."""
    found = _ASKED.match(instruction)
    return f"{found['before']}{noun}{found['after']}" if found else None


def box(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Rows and columns of a mask that is not empty, with a margin [px], within the picture."""
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(max(0, ys[0] - margin), ys[-1] + margin + 1), slice(max(0, xs[0] - margin), xs[-1] + margin + 1)


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    """The mask and what lies within `pixels` of it along rows and columns, (H, W) bool."""
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8))).astype(bool)


def _known(provenance: Any) -> str | None:
    for key in ("object", "toy"):
        if provenance.get(key) is not None:
            return str(provenance[key])
    return None


def _thinned(episode: Episode, steps: np.ndarray) -> Episode:
    """Some steps of an episode, (n,) int."""
    rows: dict[str, Any] = {name: getattr(episode, name)[steps] for name in ("qpos", "gripper", "actions", "sent", "labelled")}
    rows["state"] = episode.state[[*steps, len(episode)]]
    for name in ("images", "masks"):
        rows[name] = {camera: of[steps] for camera, of in getattr(episode, name).items()}
    fields = ("instruction", "dt", "success", "provenance")
    return Episode(**rows, **{name: getattr(episode, name) for name in fields})


def _alike(a: Crop, b: Crop) -> bool:
    if (a.name, a.camera, a.mask.shape) != (b.name, b.camera, b.mask.shape):
        return False
    return (a.mask != b.mask).mean() < 0.02 and float(np.abs(a.rgb.astype(np.int16) - b.rgb).mean()) < _ALIKE


def _read(about: Any, pixels: np.ndarray) -> list[Crop]:
    if not isinstance(about, list) or len(about) > CROPS or pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != 4:
        raise ValueError(f"at most {CROPS} crops and pixels (n, 4) uint8 are expected")
    crops, at = [], 0
    for of in about:
        h, w = of["shape"]
        if not (isinstance(h, int) and isinstance(w, int) and 1 <= h <= SIDE and 1 <= w <= SIDE):
            raise ValueError(f"a crop of {h} x {w} px; 1 to {SIDE} a side")
        named = [of[key] for key in ("name", "noun", "camera", "source")]
        mean, spread = (float(value) for value in of["light"])
        if not all(isinstance(text, str) and len(text) <= 1000 for text in named) or not np.isfinite([mean, spread]).all():
            raise ValueError("names are texts of at most 1000 letters, the light is two numbers")
        rgba = pixels[at : at + h * w].reshape(h, w, 4)
        at += h * w
        crops.append(Crop(rgba[..., :3].copy(), rgba[..., 3] >= 128, named[0], named[1], named[2], named[3], (mean, spread)))
    return crops


def _tile(crop: Crop, height: int) -> np.ndarray:
    """The crop in the middle of a grey square, as large as fits."""
    h, w = crop.mask.shape
    scale = 0.9 * height / max(h, w)
    size = max(1, round(w * scale)), max(1, round(h * scale))
    shown = np.where(crop.mask[..., None], crop.rgb, np.uint8(200))
    small = np.asarray(cv2.resize(shown, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST))
    tile = np.full((height, height, 3), 200, np.uint8)
    y, x = (height - size[1]) // 2, (height - size[0]) // 2
    tile[y : y + size[1], x : x + size[0]] = small
    return tile


def _short(label: str) -> str:
    return label if len(label) <= 12 else f"\N{HORIZONTAL ELLIPSIS}{label[-11:]}"
