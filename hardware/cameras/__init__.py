"""Physical cameras, and recordings played like them: a table of kinds, and a camera from a line of text."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_type_hints

from hardware.api import RobotError
from hardware.camera import Camera

KINDS = {
    "opencv": "hardware.cameras.opencv:OpenCV",
    "realsense": "hardware.cameras.realsense:RealSense",
    "recorded": "hardware.cameras.recorded:Recorded",
}
"""Classes by kind: frozen dataclasses whose first fields are `address`, `name` and `size`."""

FORM = "KIND:ADDRESS?key=value&key=value"


def open_camera(name: str, spec: str, size: tuple[int, int]) -> Camera:
    """The camera of a line such as "opencv:/dev/video0?rotate=180&capture=1280x720"; opens nothing.

    Args:
        name: as the policy's contract calls it.
        spec: kind, address, and settings: further fields of the kind's class.
        size: width and height of its frames [px].

    Raises:
        RobotError: no such kind or setting, or a value of another sort.
    """
    kind, colon, rest = spec.partition(":")
    if not colon or kind not in KINDS:
        raise RobotError(f"camera {name!r}: cannot read {spec!r}; write {FORM} with a kind of: {', '.join(KINDS)}")
    address, _, tail = rest.partition("?")
    module, _, noun = KINDS[kind].partition(":")
    made = getattr(importlib.import_module(module), noun)
    hints = get_type_hints(made)
    own = [field.name for field in fields(made)][3:]
    settings = {}
    for pair in filter(None, tail.split("&")):
        key, equal, value = pair.partition("=")
        if not equal or key not in own:
            raise RobotError(f"camera {name!r}: {kind} has no setting {pair!r}; it has: {', '.join(f'{key}=' for key in own)}")
        settings[key] = _value(f"camera {name!r}: {key}={value}", value, hints[key])
    return made(address, name, size, **settings)


def check(camera: Camera, ranges: Mapping[str, tuple[float, float]]) -> None:
    """What all kinds refuse when they are made. Raises RobotError."""
    width, height = camera.size
    if not (1 <= width <= 8192 and 1 <= height <= 8192):
        raise RobotError(f"camera {camera.name!r}: frames of {width} x {height} px; 1 to 8192 px a side")
    for key, (least, most) in ranges.items():
        if not least <= getattr(camera, key) <= most:
            raise RobotError(f"camera {camera.name!r}: {key} is {getattr(camera, key)}; it may be {least:g} to {most:g}")


def _value(given: str, text: str, hint: Any) -> Any:
    try:
        if hint is bool:
            return {"true": True, "false": False}[text.lower()]
        if hint in (int, float, str):
            return hint(text)
        width, height = (int(part) for part in text.split("x"))
    except (ValueError, KeyError):
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}.get(hint, "WIDTHxHEIGHT")
        raise RobotError(f"{given} should be {wanted}") from None
    return width, height
