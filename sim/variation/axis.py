"""The axes along which a trial can differ, and how to draw from each at a strength."""

from __future__ import annotations

import difflib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from sim.errors import SceneError
from sim.variation.clutter import sample_distractors, sample_household, sample_post
from sim.variation.light import sample_light
from sim.variation.maskfault import MaskFault, sample_shift
from sim.variation.sensor import sample_sensor
from sim.variation.texture import sample_texture
from sim.variation.variation import PLAIN, Variation
from sim.variation.views import sample_views

_JOINTS = 7
"""Of the arm with the most."""

STRENGTHS: Mapping[str, float] = MappingProxyType({"mild": 0.2, "medium": 0.5, "strong": 1.0})
"""By name. Mild is hardly visible; strong is about as hard as what COLOSSEUM and LIBERO-Plus do."""


@dataclass(frozen=True)
class Axis:
    """One way in which a trial can differ from the plain one."""

    name: str
    says: str
    """What it does, at the strong end, for people."""
    peer: str
    """The factor of the same kind in published benchmarks."""
    draw: Callable[[float, np.random.Generator], Variation]

    def sample(self, strength: float, rng: np.random.Generator) -> Variation:
        """A variation of this strength in (0, 1]. The same draws at a greater strength give more of the same. Raises SceneError."""
        if not 0 < strength <= 1:
            raise SceneError(
                f"strength={strength}; it is more than 0 and at most 1: " + ", ".join(f"{k} {v}" for k, v in STRENGTHS.items())
            )
        return replace(self.draw(strength, rng), axis=self.name, strength=float(strength))


def vary(axis: str, strength: float, seed: int) -> Variation:
    """The variation of one trial; the same arguments give the same value. The axis "none" is the plain world at any strength.

    Raises SceneError for an axis that is not there, a strength outside (0, 1] or a negative seed.
    """
    if axis == "none":
        return PLAIN
    if axis not in AXES:
        near = difflib.get_close_matches(axis, AXES, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise SceneError(f"no axis {axis!r}; {hint}known: none, {', '.join(AXES)}")
    if seed < 0:
        raise SceneError(f"seed={seed}; a seed is a whole number from 0")
    return AXES[axis].sample(strength, np.random.default_rng([seed, zlib.crc32(axis.encode())]))


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _mass(strength: float, rng: np.random.Generator) -> Variation:
    power = rng.uniform(0.6, 1) * rng.choice([-1, 1])
    return Variation(mass=float(4 ** (strength * power)))


def _friction(strength: float, rng: np.random.Generator) -> Variation:
    return Variation(friction=float(4 ** (-strength * rng.uniform(0.8, 1))))


def _start(strength: float, rng: np.random.Generator) -> Variation:
    towards = rng.uniform(-1, 1, _JOINTS)
    return Variation(start=tuple(float(v) for v in 0.3 * strength * towards / np.abs(towards).max()))


def _shift(strength: float, rng: np.random.Generator) -> Variation:
    return Variation(mask=MaskFault(shift=sample_shift(0.6 * strength, rng)))


def _mask_noise(strength: float, rng: np.random.Generator) -> Variation:
    grows, share = rng.random() < 0.5, rng.uniform(0.3, 1)
    return Variation(
        mask=MaskFault(
            erode=0.0 if grows else 0.12 * strength * share,
            dilate=0.25 * strength * share if grows else 0.0,
            box=strength * rng.uniform(0, 0.6),
            shift=sample_shift(0.2 * strength, rng),
            jitter=0.1 * strength,
            drop=0.2 * strength,
            wrong=0.1 * strength,
            seed=_seed(rng),
        )
    )


_TO_US = "none by that name; what a policy that is told its target by a mask depends on"

AXES: Mapping[str, Axis] = MappingProxyType(
    {
        axis.name: axis
        for axis in (
            Axis(
                "light",
                "the sun comes from elsewhere, 0.4 to 1.5 times as bright, tinted by 45 %, with shadows",
                "COLOSSEUM light colour; LIBERO-Plus light conditions (intensity, direction, colour, shadow)",
                lambda s, rng: Variation(light=sample_light(s, rng)),
            ),
            Axis(
                "texture",
                "table of two other colours in checks, clouds or wood grain, and another floor",
                "COLOSSEUM table texture, table colour and background texture; LIBERO-Plus background textures",
                lambda s, rng: Variation(texture=sample_texture(s, rng)),
            ),
            Axis(
                "camera",
                "side camera 12 to 16 degrees off, field of view and distance 10 %, wrist camera 8 mm",
                "COLOSSEUM camera pose (0.1 m, 0.05 rad an axis); LIBERO-Plus camera viewpoints (position, orientation, view)",
                lambda s, rng: Variation(views=sample_views(s, rng)),
            ),
            Axis(
                "distractors",
                "8 other toys, as near as 2 cm to the object",
                "COLOSSEUM distractor objects; LIBERO-Plus objects layout (confounding objects)",
                lambda s, rng: Variation(distractors=sample_distractors(s, rng)),
            ),
            Axis(
                "distractors_household",
                "8 household objects, as near as 2 cm to the object",
                "COLOSSEUM distractor objects; LIBERO-Plus objects layout (confounding objects)",
                lambda s, rng: Variation(distractors=sample_household(s, rng)),
            ),
            Axis(
                "occlusion",
                "a post before the side camera hides 50 to 60 % of the object's width",
                "none by that name; in clutter, COLOSSEUM distractor objects do it by chance",
                lambda s, rng: Variation(post=sample_post(s, rng)),
            ),
            Axis("mass", "object 2.3 to 4 times as heavy, or as light", "COLOSSEUM object mass", _mass),
            Axis("friction", "object 3 to 4 times as slippery", "COLOSSEUM object friction", _friction),
            Axis("start", "each joint starts up to 0.3 rad away from home", "LIBERO-Plus robot initial states", _start),
            Axis(
                "delay",
                "what is observed is 6 control steps old (0.3 s at 20 Hz)",
                "none in simulation benchmarks; latency of large policies on real robots",
                lambda s, rng: Variation(delay=max(1, round(6 * s))),
            ),
            Axis(
                "action_noise",
                "white noise of 0.03 rad on every joint target",
                "none by that name; noise on actions as in robomimic and MimicGen",
                lambda s, rng: Variation(action_noise=0.03 * s, seed=_seed(rng)),
            ),
            Axis(
                "noise",
                "pictures with fog, blur or grain",
                "LIBERO-Plus sensor noise",
                lambda s, rng: Variation(sensor=sample_sensor(s, rng)),
            ),
            Axis(
                "mask_erode",
                "the mask lacks a rim of a fifth of the object's size",
                _TO_US,
                lambda s, rng: Variation(mask=MaskFault(erode=0.2 * s)),
            ),
            Axis(
                "mask_dilate",
                "the mask has a rim of 0.4 of the object's size too much",
                _TO_US,
                lambda s, rng: Variation(mask=MaskFault(dilate=0.4 * s)),
            ),
            Axis("mask_shift", "the mask lies 0.6 of the object's size beside it", _TO_US, _shift),
            Axis("mask_box", "the mask is the object's bounding box", _TO_US, lambda s, rng: Variation(mask=MaskFault(box=s))),
            Axis(
                "mask_drop",
                "no mask half of the time, 0.75 s at a stretch",
                _TO_US,
                lambda s, rng: Variation(mask=MaskFault(drop=0.5 * s, seed=_seed(rng))),
            ),
            Axis(
                "mask_wrong",
                "the mask is elsewhere in the picture half of the time, 0.75 s at a stretch",
                _TO_US,
                lambda s, rng: Variation(mask=MaskFault(wrong=0.5 * s, seed=_seed(rng))),
            ),
            Axis("mask_noise", "a mixture of all faults of masks, each milder, drawn anew for each look", _TO_US, _mask_noise),
        )
    }
)
"""By name."""
