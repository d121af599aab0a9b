"""Finding the target in pictures: a table of the segmenters, each opened by its name."""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module
from typing import Any

from hardware.api import SegmenterError
from hardware.segmenter import Segmenter

SEGMENTERS: dict[str, str] = {
    "truth": "policies.segmenters.truth:Truth",
    "tabletop": "policies.segmenters.tabletop:Tabletop",
    "sam2": "policies.segmenters.sam2:Sam2",
}
"""module:Class by name. Each class is a frozen dataclass: making one loads nothing, `start` does."""


def open_segmenter(name: str, **settings: Any) -> Segmenter:
    """The segmenter of this name; settings are the fields of its class. Raises SegmenterError for a name or a setting that is not there."""
    if name not in SEGMENTERS:
        raise SegmenterError(f"no segmenter {name!r}; known: {', '.join(SEGMENTERS)}")
    module, _, noun = SEGMENTERS[name].partition(":")
    made = getattr(import_module(module), noun)
    known = [field.name for field in fields(made)]
    if strange := [key for key in settings if key not in known]:
        raise SegmenterError(f"segmenter {name!r} has no setting {strange[0]!r}; it has: {', '.join(known) or 'none'}")
    return made(**settings)
