"""Domain randomisation: every demonstration in a world of its own, drawn from the axes that perturb evaluation."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from typing import Any

import numpy as np

from episodes import Episode
from sim.camera import described
from sim.errors import SceneError
from sim.scene import SceneConfig
from sim.variation import AXES, PLAIN, Variation, recalled, recorded, vary

ALL = "all"
KEY = "variation"
"""Of an episode's provenance."""
_NAMES = ("axis", "strength", "seed")
Pictures = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Draw:
    """What one episode's world is."""

    variation: Variation
    axes: tuple[tuple[str, float], ...]
    """Which axes it was drawn from, and how strongly."""

    def provenance(self, config: SceneConfig) -> dict[str, Any]:
        """What the episode says of it: the values, and the cameras that stand elsewhere than the data set says (JSON)."""
        said: dict[str, Any] = {KEY: {"axes": dict(self.axes), **recorded(self.variation)}}
        moved = {camera.name: self.variation.seen_by(camera) for camera in config.cameras}
        if self.variation.views is not None:
            cameras = {name: asdict(described(camera, config.size)) for name, camera in moved.items()}
            said["cameras"] = json.loads(json.dumps(cameras, default=np.ndarray.tolist))  # lists, as they will be read
        return said


@dataclass(frozen=True)
class Randomisation:
    """Which axes differ from episode to episode, and between which strengths. Without axes every world is the plain one."""

    axes: tuple[str, ...] = ()
    strength: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        for axis in self.axes:
            vary(axis, 1.0, 0)
        low, high = self.strength
        if not 0 <= low <= high <= 1 or high == 0:
            raise SceneError(f"randomise_strength=[{low:g},{high:g}]; two shares from 0 to 1 are needed, the lower first, the upper not 0")

    def draw(self, rng: np.random.Generator) -> Draw:
        """A world; axes are independent of each other. Of axes that set the same thing, as faults of masks do, one is drawn."""
        base, variations = int(rng.integers(2**31)), []
        for part, rivals in _rivals(self.axes).items():
            own = np.random.default_rng([base, zlib.crc32(part.encode())])
            axis, strength = rivals[own.integers(len(rivals))], float(own.uniform(*self.strength))
            if strength > 0:
                variations.append(vary(axis, strength, base))
        return Draw(mixed(variations), tuple((made.axis, made.strength) for made in variations))


def randomisation(axes: Sequence[str], strength: Sequence[float]) -> Randomisation:
    """What the settings say; `[all]` means every axis. Raises SceneError for an axis that is not there, and for strengths out of range."""
    chosen = list(AXES) if list(axes) == [ALL] else list(axes)
    if twice := [name for name in chosen if chosen.count(name) > 1]:
        raise SceneError(f"randomise names {twice[0]!r} twice")
    if wrong := [name for name in chosen if name in ("none", ALL)]:
        raise SceneError(f"randomise={axes}: {wrong[0]!r} stands alone or not at all; [] is the plain world, [all] every axis")
    if len(strength) != 2:
        raise SceneError(f"randomise_strength={list(strength)}; two numbers are needed, the lower first")
    ordered = sorted(chosen, key=lambda name: list(AXES).index(name) if name in AXES else 0)
    low, high = strength
    return Randomisation(tuple(ordered), (low, high))


def mixed(variations: Sequence[Variation]) -> Variation:
    """All of them at once: each sets things of its own."""
    differ: dict[str, Any] = {}
    for made in variations:
        differ |= {name: getattr(made, name) for name in _sets(made)}
        if made.seed:
            differ["seed"] = made.seed
    return replace(PLAIN, **differ)


def recall(provenance: Mapping[str, Any]) -> Variation:
    """The world of an episode: plain where it says nothing. Raises SceneError for a record that no world can be made of."""
    said = provenance.get(KEY)
    return recalled(said) if isinstance(said, Mapping) else PLAIN


def looked(made: Variation, steps: int) -> np.ndarray:
    """Of which control step the pictures of each of `steps` are, (steps,)."""
    return np.maximum(np.arange(steps) - made.delay, 0)


def sensed(episode: Episode, config: SceneConfig) -> Episode:
    """What a robot with the sensors of a scene's variation sensed in an episode that was sensed without: late, and with faults."""
    then = looked(config.variation, len(episode.qpos))
    images, masks = seen(episode.images, episode.masks, config)
    return replace(episode, images=images, masks=masks, qpos=episode.qpos[then], gripper=episode.gripper[then])


def seen(images: Pictures, masks: Pictures, config: SceneConfig) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Pictures (T, H, W, 3) u8 and masks (T, H, W) by camera as the sensors of a scene's variation give them."""
    made, images, masks = config.variation, dict(images), dict(masks)
    for k, name in enumerate(camera.name for camera in config.cameras):
        if name not in images:
            continue
        then = looked(made, len(images[name]))
        images[name], masks[name] = images[name][then], masks[name][then]
        if made.mask is not None:
            masks[name] = np.stack([made.mask.apply(mask, int(t), k) for mask, t in zip(masks[name], then, strict=True)])
        if made.sensor is not None:
            images[name] = np.stack([made.sensor.apply(image, int(t), k) for image, t in zip(images[name], then, strict=True)])
    return images, masks


@cache
def _rivals(axes: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    """The axes that set the same part of a variation, by the first part that they set."""
    rivals: dict[str, tuple[str, ...]] = {}
    for axis in axes:
        part = min(_sets(vary(axis, 1.0, 0)))
        rivals[part] = (*rivals.get(part, ()), axis)
    return rivals


def _sets(made: Variation) -> set[str]:
    """Names of what is not plain."""
    return {field.name for field in fields(Variation) if getattr(made, field.name) != getattr(PLAIN, field.name)} - set(_NAMES)
