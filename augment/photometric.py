"""Photometric augmentation as published: sets of operations by name, and their use on whole episodes.

The ranges are the authors' (`source` of each set), the arithmetic of each operation is that of the library they use. We differ in three
points: draws are independent of each other (dlimp, under Octo and OpenVLA, draws size, shape and place of a crop from one seed),
neighbouring geometric operations are one resampling, and that is bilinear for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from augment.augmentation import recorded
from augment.errors import AugmentError
from episodes import DatasetInfo, Episode

if TYPE_CHECKING:  # policies read the sets, and do without the simulator
    from augment.world import World

Range = tuple[float, float]


@dataclass(frozen=True)
class Crop:
    """A part of the picture, brought to its size."""

    area: Range
    """Share of the picture's area."""
    ratio: Range = (1.0, 1.0)
    """Width over height, relative to the picture's; drawn on a logarithmic scale."""


@dataclass(frozen=True)
class Turn:
    """A rotation about the middle; black comes in at the corners."""

    degrees: float
    """At most so much, either way."""


@dataclass(frozen=True)
class Shift:
    """A translation; black comes in."""

    share: float
    """Of the width and of the height, at most, either way."""


@dataclass(frozen=True)
class Colour:
    """One operation on colours in [0, 1], clipped after it."""

    op: str
    """One of OPS."""
    amount: Range
    """What it is drawn from, evenly."""


OPS: Mapping[str, tuple[float, str]] = {
    "offset": (0.0, "all colours plus the amount: TensorFlow's brightness"),
    "brightness": (1.0, "all colours times the amount"),
    "contrast": (1.0, "differences from the mean of the grey picture times the amount"),
    "channel_contrast": (1.0, "differences from the mean of each channel times the amount: TensorFlow's"),
    "saturation": (1.0, "differences from the grey picture times the amount"),
    "hsv_saturation": (1.0, "saturation of HSV times the amount: TensorFlow's"),
    "hue": (0.0, "hue of HSV plus the amount, in turns"),
    "sharpness": (1.0, "differences from the blurred picture (3 x 3) times the amount"),
}
"""By name: the amount that changes nothing, and what it does."""

Operation = Crop | Turn | Shift | Colour


@dataclass(frozen=True)
class PhotometricSet:
    """A published set."""

    operations: tuple[Operation, ...]
    """In the order in which they are applied."""
    source: str
    """Where the ranges come from."""
    wrist_moves: bool = True
    """Whether cameras that are fixed to the robot are cropped, turned and shifted too."""
    most: int = 0
    """At most so many operations a picture, chosen anew each time; 0: all. Turn and Shift count as one."""


SETS: Mapping[str, PhotometricSet] = {
    "none": PhotometricSet((), "nothing"),
    "octo": PhotometricSet(
        (
            Crop((0.8, 1.0), (0.9, 1.1)),
            Colour("offset", (-0.1, 0.1)),
            Colour("channel_contrast", (0.9, 1.1)),
            Colour("hsv_saturation", (0.9, 1.1)),
            Colour("hue", (-0.05, 0.05)),
        ),
        "octo-models/octo, scripts/configs/octo_pretrain_config.py (dlimp)",
        wrist_moves=False,
    ),
    "openvla": PhotometricSet(
        (
            Crop((0.9, 0.9)),
            Colour("offset", (-0.2, 0.2)),
            Colour("channel_contrast", (0.8, 1.2)),
            Colour("hsv_saturation", (0.8, 1.2)),
            Colour("hue", (-0.05, 0.05)),
        ),
        "openvla/openvla, prismatic/vla/datasets/datasets.py (dlimp)",
    ),
    "pi0": PhotometricSet(
        (
            Crop((0.9025, 0.9025)),  # 95 % of each side
            Turn(5.0),
            Colour("brightness", (0.7, 1.3)),
            Colour("contrast", (0.6, 1.4)),
            Colour("saturation", (0.5, 1.5)),
        ),
        "openpi, preprocess_observation, as in PyTorch (in JAX, augmax jitters in HSV, and by its defaults the hue too, half the time)",
        wrist_moves=False,
    ),
    "lerobot": PhotometricSet(
        (
            Colour("brightness", (0.8, 1.2)),
            Colour("contrast", (0.8, 1.2)),
            Colour("saturation", (0.5, 1.5)),
            Colour("hue", (-0.05, 0.05)),
            Colour("sharpness", (0.5, 1.5)),
            Turn(5.0),
            Shift(0.05),
        ),
        "lerobot 0.6.2, src/lerobot/transforms/transforms.py (torchvision v2)",
        most=3,
    ),
}
"""By name."""

CONSISTENT = ("episode", "frame")


def known_set(name: str) -> PhotometricSet:
    """Raises AugmentError for a name that is not known."""
    if name not in SETS:
        raise AugmentError(f"photometric set {name!r}; known: {', '.join(SETS)}")
    return SETS[name]


@dataclass
class PhotometricConfig:
    """Colours, crops and small rotations as somebody published them; masks move with the pixels."""

    set: str = "octo"
    """octo, openvla, pi0, lerobot, or none."""
    consistent: str = "episode"
    """episode: one draw a camera; frame: one a picture, as all four do it in training."""

    def __post_init__(self) -> None:
        known_set(self.set)
        if self.consistent not in CONSISTENT:
            raise AugmentError(f"photometric.consistent={self.consistent!r}; known: {', '.join(CONSISTENT)}")


@dataclass(frozen=True)
class Photometric:
    """Recolours and moves all pixels alike. Where a camera stands is no longer what its description says once pictures were cropped."""

    config: PhotometricConfig
    info: DatasetInfo
    name: str = "photometric"

    def contract(self, info: DatasetInfo) -> DatasetInfo:
        """The same."""
        return info

    def __call__(self, episode: Episode, rng: np.random.Generator) -> Episode:
        """The episode in other colours."""
        from augment.online import recolour  # torch, only where it is used

        images, masks = {}, {}
        seed = int(rng.integers(2**62))
        chosen = SETS[self.config.set]
        for k, (camera, pictures) in enumerate(episode.images.items()):
            wrist, one = self.info.cameras[camera].body != "world", self.config.consistent == "episode"
            images[camera], masks[camera] = recolour(chosen, pictures, episode.masks[camera], [seed, k], wrist=wrist, one=one)
        said = {"set": self.config.set, "consistent": self.config.consistent, "drawn_from": seed}
        return recorded(replace(episode, images=images, masks=masks), self.name, **said)


def open_photometric(config: PhotometricConfig, world: World) -> Photometric:
    """The augmentation for a data set."""
    return Photometric(config, world.info)
