"""A variation as JSON: what an episode says of its world, and the world from what it says."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, get_args, get_origin, get_type_hints

from assets.errors import ObjectError, ToyError
from assets.graspable import Graspable
from assets.objects.household import Household
from assets.toys import Part, Toy
from sim.errors import SceneError
from sim.variation.clutter import MOST, Distractor, Post
from sim.variation.light import Light
from sim.variation.maskfault import MaskFault
from sim.variation.sensor import Sensor
from sim.variation.texture import PATTERNS, Texture
from sim.variation.variation import PLAIN, Variation
from sim.variation.views import Views

_SAID = ("axis", "strength")
"""Names of a variation, no part of it."""


def recorded(made: Variation) -> dict[str, Any]:
    """What is not plain, by the names of its fields (JSON)."""
    differ = {field.name: getattr(made, field.name) for field in fields(Variation) if field.name not in _SAID}
    kept = {name: value for name, value in differ.items() if value != getattr(PLAIN, name)}
    said = {name: asdict(value) if hasattr(value, "__dataclass_fields__") else value for name, value in kept.items()}
    if made.distractors:
        said["distractors"] = [asdict(thing) | {"thing": _named(thing)} for thing in made.distractors]
    return json.loads(json.dumps(said))  # lists for tuples, as it will be read


def recalled(record: Mapping[str, Any]) -> Variation:
    """The variation of a record; what else is in it is left alone. Raises SceneError for a record that no world can be made of."""
    try:
        _check(record)
        told = {name: read(record[name]) for name, read in _READ.items() if name in record}
        return Variation(**told)
    except (TypeError, KeyError, ValueError, AttributeError, RecursionError, ToyError, ObjectError) as error:
        raise SceneError(f"no variation can be made of its record: {type(error).__name__}: {str(error)[:120]}") from None


def _named(distractor: Distractor) -> dict[str, Any]:
    thing = distractor.thing
    if isinstance(thing, Toy):
        return {"toy": asdict(thing)}
    if isinstance(thing, Household):
        return {"household": thing.name}
    raise SceneError(f"distractor {thing.name!r} is neither a toy nor a household object: an episode cannot say what it is")


def _thing(said: Mapping[str, Any]) -> Toy | Household:
    if "household" in said:
        return Household(str(said["household"]))
    toy = _tuples(said["toy"])
    return Toy(**{**toy, "parts": tuple(Part(**part) for part in toy["parts"])})


def _distractors(said: Any) -> tuple[Distractor, ...]:
    if len(said) > MOST:
        raise SceneError(f"{len(said)} distractors; there are at most {MOST}")
    return tuple(_value(Distractor)({**one, "thing": _thing(one["thing"])}) for one in said)


def _texture(said: Any) -> Texture:
    if said["pattern"] not in PATTERNS:
        raise SceneError(f"pattern {str(said['pattern'])[:40]!r} is unknown; known: {', '.join(PATTERNS)}")
    return _value(Texture)(said)


def _value(of: type) -> Callable[[Any], Any]:
    def read(said: Any) -> Any:
        values, hints = _tuples(said), get_type_hints(of)
        for name, value in values.items():
            if not _fits(value, hints[name]):
                raise ValueError(f"{name}={str(value)[:40]!r}")
        if values.get("seed", 0) < 0 or values.get("period", 1) <= 0:
            raise ValueError("a seed is not negative and a period not 0")
        return of(**values)

    return read


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type: numbers, flags, names, tuples of them, and what lies on the table."""
    if hint is Graspable:
        return isinstance(value, Toy | Household)
    if get_origin(hint) is tuple:
        parts = get_args(hint)
        return isinstance(value, tuple) and len(value) == len(parts) and all(map(_fits, value, parts))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is hint


def _tuples(said: Any) -> Any:
    """Lists as tuples, throughout."""
    if isinstance(said, Mapping):
        return {name: _tuples(value) for name, value in said.items()}
    return tuple(_tuples(value) for value in said) if isinstance(said, list) else said


def _check(said: Any, depth: int = 0) -> None:
    """Raises ValueError for numbers that are none, and for what is too much."""
    if depth > 8 or (isinstance(said, list) and len(said) > 64):
        raise ValueError("too deep or too long")
    if isinstance(said, float) and not math.isfinite(said):
        raise ValueError(f"{said} is no number")
    for value in said.values() if isinstance(said, Mapping) else said if isinstance(said, list) else ():
        _check(value, depth + 1)


_READ: Mapping[str, Callable[[Any], Any]] = {
    "light": _value(Light),
    "texture": _texture,
    "views": _value(Views),
    "distractors": _distractors,
    "post": _value(Post),
    "mass": float,
    "friction": float,
    "start": lambda said: tuple(float(v) for v in said),
    "delay": int,
    "action_noise": float,
    "mask": _value(MaskFault),
    "sensor": _value(Sensor),
    "seed": int,
}
