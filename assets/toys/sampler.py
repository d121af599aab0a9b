"""Random toys. A mixture: small compositions as in the paper, and toys of the size of what households hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from assets.errors import ToyError
from assets.toys.jaw import graspable, surface
from assets.toys.part import SHAPES, Part
from assets.toys.toy import COLOURS, MOST_PARTS, Toy

SPAN = (0.020, 0.205)
"""The longest extent of a toy [m]."""
HEAVIEST = 0.45
"""A toy that would weigh more [kg] gets a lower density: things of that size are hollow."""
LIGHTEST, DENSEST = 0.012, 2500.0
"""A toy that would weigh less [kg] gets a higher density [kg/m3], up to that of glass: 3 g are shot away by the fingers' 100 N."""
CLEARANCE = 0.006
"""How much a jaw must open beyond the section it closes on [m]."""
THINNEST_WALL = 0.0025
"""Of a ring [m]: still prints, and does not slip through contacts."""
_TRIES = 400

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Recipe:
    """What toys are sampled from."""

    parts: tuple[int, int] = (1, 5)
    """Fewest and most parts."""
    shapes: tuple[str, ...] = tuple(SHAPES)
    """Which primitives take part."""
    small: float = 0.3
    """Share of small compositions; the rest are household-size: one large part that stands or lies, mostly with up to two small ones."""
    scale: tuple[float, float] = (0.7, 1.4)
    """Of the parts of small compositions, whose half sizes are 7-24 mm at 1."""
    jaw: float = 0.08
    """Opening of the gripper that must be able to grasp the toy [m]."""
    density: float = 400.0
    """[kg/m3]"""

    def __post_init__(self) -> None:
        if not 1 <= self.parts[0] <= self.parts[1] <= MOST_PARTS:
            raise ToyError(f"parts={self.parts}; a toy has 1 to {MOST_PARTS} parts")
        unknown = [s for s in self.shapes if s not in SHAPES]
        if unknown or not self.shapes:
            raise ToyError(f"shapes={self.shapes}; known: {', '.join(SHAPES)}")
        if not 0 <= self.small <= 1:
            raise ToyError(f"small={self.small}; a share lies between 0 and 1")
        if not 0.3 <= self.scale[0] <= self.scale[1] <= 3:
            raise ToyError(f"scale={self.scale}; sizes are scaled by 0.3 to 3, the smaller first")
        if not 0.03 <= self.jaw <= 0.2:
            raise ToyError(f"jaw={self.jaw} m; grippers open 0.03 to 0.2 m")
        if not 10 <= self.density <= 5000:
            raise ToyError(f"density={self.density} kg/m3; it lies between 10 and 5000")

    @property
    def width(self) -> float:
        """The widest section that the jaw closes on [m]."""
        return self.jaw - CLEARANCE


def sample_toy(rng: np.random.Generator, *, n_parts: int | None = None, recipe: Recipe | None = None) -> Toy:
    """A toy that the recipe's gripper can grasp. Drawn values are rounded (0.1 mm, 4 digits), so that all machines decide alike.

    Raises ToyError where the recipe yields no such toy.
    """
    recipe = recipe or Recipe()
    if n_parts is not None and not 1 <= n_parts <= MOST_PARTS:
        raise ToyError(f"n_parts={n_parts}; a toy has 1 to {MOST_PARTS} parts")
    household = [family for shape, family in _FAMILIES if shape in recipe.shapes]
    for _ in range(_TRIES):
        if rng.uniform() < recipe.small:
            n = n_parts or int(rng.integers(recipe.parts[0], recipe.parts[1] + 1))
            parts = _composition(rng, recipe, n)
        else:
            extra = int(rng.choice(5, p=(0.28, 0.36, 0.26, 0.06, 0.04)))
            n = n_parts or min(max(1 + extra, recipe.parts[0]), recipe.parts[1])
            parts = _household(rng, recipe, n, household[int(rng.integers(len(household)))])
        if parts is None or not graspable(parts, recipe.width):
            continue
        volume = sum(part.volume for part in parts)  # at least that of the union
        toy = Toy(parts, list(COLOURS)[int(rng.integers(len(COLOURS)))], _density(recipe.density, volume))
        if SPAN[0] <= toy.extents().max() <= SPAN[1]:
            return toy
    raise ToyError(f"no graspable toy in {_TRIES} tries: {recipe}")


def _density(wanted: float, volume: float) -> float:
    """The wanted density where that gives a plausible mass, whole [kg/m3]."""
    if wanted * volume < LIGHTEST:
        return float(max(wanted, min(DENSEST, math.ceil(LIGHTEST / volume))))
    return float(min(wanted, max(10, math.floor(HEAVIEST / volume))))


def _composition(rng: np.random.Generator, recipe: Recipe, n: int) -> tuple[Part, ...] | None:
    scale = rng.uniform(*recipe.scale)
    return _grow(rng, recipe, [_small_part(rng, recipe, scale, (0.0, 0.0, 0.0))], n, scale, floor=None)


def _household(
    rng: np.random.Generator, recipe: Recipe, n: int, family: Callable[[np.random.Generator, float], Part]
) -> tuple[Part, ...] | None:
    first = family(rng, recipe.width)
    return _grow(rng, recipe, [first], n, rng.uniform(0.6, 1.2), floor=first.reach(np.array([0.0, 0.0, -1.0])))


def _grow(
    rng: np.random.Generator, recipe: Recipe, parts: list[Part], n: int, scale: float, floor: float | None
) -> tuple[Part, ...] | None:
    """Adds parts until there are n, or None where the dice do not allow it. None reaches below `floor` [m]: the first part stands."""
    down = np.array([0.0, 0.0, -1.0])
    while len(parts) < n:
        for _ in range(12):
            part = _small_part(rng, recipe, scale, _point_inside(rng, parts[-1]))
            if parts[-1].distance(np.asarray(part.pos)) >= 0:  # rounded out of it
                continue
            if (floor is None or part.reach(down) <= floor) and _touches(part, parts):
                parts.append(part)
                break
        else:
            return None
    if floor is not None and not _stands(parts):
        return None
    return tuple(parts)


def _touches(part: Part, others: Sequence[Part]) -> bool:
    """Whether a part overlaps one of the others by at least 0.5 mm: the centre of a ring is not in its wall."""
    deep = -5e-4
    return any((other.distance(surface(part)) < deep).any() or (part.distance(surface(other)) < deep).any() for other in others)


def _stands(parts: Sequence[Part]) -> bool:
    """Whether the centre of mass, overlaps counted twice, lies over the first part's foot."""
    volumes = np.array([p.volume for p in parts])
    centre = volumes @ np.array([p.pos for p in parts]) / volumes.sum()
    first = parts[0]
    axes = np.eye(3)[:2]
    return all(abs(centre[i]) < 0.7 * first.reach(axes[i]) for i in range(2)) or first.shape == "sphere"


def _small_part(rng: np.random.Generator, recipe: Recipe, scale: float, pos: Triple) -> Part:
    def draw(low: float, high: float) -> float:
        return rng.uniform(low, high) * scale

    shape = recipe.shapes[int(rng.integers(len(recipe.shapes)))]
    if shape == "sphere":
        size = (draw(0.010, 0.024),)
    elif shape == "cuboid":
        size = (draw(0.007, 0.028), draw(0.007, 0.028), draw(0.007, 0.028))
    elif shape == "cylinder":
        size = (draw(0.007, 0.022), draw(0.010, 0.035))
    else:
        return _ring(rng, draw(0.016, 0.036), pos, _rotation(rng))
    return Part(shape, _mm(*size), pos, _rotation(rng))


def _ring(rng: np.random.Generator, radius: float, pos: Triple, quat: tuple[float, float, float, float]) -> Part:
    """A band: wall 2-5 % and height 5-70 % of the diameter."""
    wall = max(THINNEST_WALL, 2 * radius * rng.uniform(0.02, 0.05))
    half = max(0.002, radius * rng.uniform(0.05, 0.70))
    return Part("ring", _mm(radius, half, wall), pos, quat)


def _log(rng: np.random.Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


_UPRIGHT = (1.0, 0.0, 0.0, 0.0)
_ALONG_X = (0.7071, 0.0, 0.7071, 0.0)
_ORIGIN = (0.0, 0.0, 0.0)


def _box(rng: np.random.Generator, width: float) -> Part:
    """Any box: graspable across x or y."""
    narrow, other, half = rng.uniform(0.006, width / 2), _log(rng, 0.012, 0.085), _log(rng, 0.008, 0.1)
    return _cuboid(rng, narrow, other, half)


def _tall_box(rng: np.random.Generator, width: float) -> Part:
    """Cartons and bottles with corners: 8-20 cm tall."""
    return _cuboid(rng, rng.uniform(0.015, width / 2), rng.uniform(0.020, 0.080), rng.uniform(0.040, 0.1))


def _flat_box(rng: np.random.Generator, width: float) -> Part:
    """Boxes and slabs that lie: 1-3 cm thick, 8-20 cm long."""
    return _cuboid(rng, rng.uniform(0.018, width / 2), rng.uniform(0.040, 0.1), rng.uniform(0.005, 0.016))


def _bar(rng: np.random.Generator, width: float) -> Part:
    """Knives, rulers, handles: 6-15 mm thick, 10-20 cm long."""
    return _cuboid(rng, rng.uniform(0.004, 0.014), rng.uniform(0.050, 0.1), rng.uniform(0.003, 0.0075))


def _cuboid(rng: np.random.Generator, narrow: float, other: float, half: float) -> Part:
    sides = (narrow, other) if rng.uniform() < 0.5 else (other, narrow)
    return Part("cuboid", _mm(*sides, half))


def _can(rng: np.random.Generator, width: float) -> Part:
    """Cans, bottles, jars, discs: a standing cylinder."""
    return Part("cylinder", _mm(rng.uniform(0.010, width / 2), _log(rng, 0.010, 0.1)))


def _bottle(rng: np.random.Generator, width: float) -> Part:
    """Tall cylinders: 10-20 cm."""
    return Part("cylinder", _mm(rng.uniform(0.018, width / 2), rng.uniform(0.050, 0.1)))


def _rod(rng: np.random.Generator, width: float) -> Part:
    """Pens, screwdrivers, candles: a lying cylinder, 6-36 mm thick."""
    return Part("cylinder", _mm(_log(rng, 0.003, min(0.018, width / 2)), rng.uniform(0.045, 0.1)), _ORIGIN, _ALONG_X)


def _ball(rng: np.random.Generator, width: float) -> Part:
    """Apples, oranges, balls."""
    return Part("sphere", _mm(rng.uniform(0.020, width / 2)))


def _cup(rng: np.random.Generator, width: float) -> Part:
    """Cups and bowls without a floor: 5-11 cm wide, tall or low."""
    return _ring(rng, rng.uniform(0.024, 0.055), _ORIGIN, _UPRIGHT)


_FAMILIES: tuple[tuple[str, Callable[[np.random.Generator, float], Part]], ...] = (
    ("cuboid", _box),
    ("cuboid", _tall_box),
    ("cuboid", _flat_box),
    ("cuboid", _bar),
    ("cylinder", _can),
    ("cylinder", _bottle),
    ("cylinder", _rod),
    ("sphere", _ball),
    ("ring", _cup),
)
"""First parts of household-size toys, equally likely. Each stands or lies as modelled; lengths to 20 cm, one width within the jaw."""


def _point_inside(rng: np.random.Generator, part: Part) -> Triple:
    """Uniform inside a part, for a ring inside its wall: so that merged parts hang together. By rejection, for exact reproducibility."""
    while True:
        points = (rng.uniform(-1, 1, (16, 3)) * part.box) @ part.rotation.T + part.pos
        inside = points[part.distance(points) < 0]
        if len(inside):
            return _mm(*inside[0])  # type: ignore[return-value]


def _rotation(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Uniform over rotations, by rejection from a cube."""
    while True:
        quat = rng.uniform(-1, 1, 4)
        if 0.25 < (quat * quat).sum() <= 1:
            w, x, y, z = (round(float(q), 4) for q in quat)
            return w, x, y, z


def _mm(*values: float) -> tuple[float, ...]:
    """Rounded to 0.1 mm."""
    return tuple(round(float(v), 4) for v in values)
