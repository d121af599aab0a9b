"""A part of a batch: of several processes, or of several passes, each takes its samples."""

from __future__ import annotations

from dataclasses import fields, replace

from policies.network import Batch
from policies.patches import Patches

PER_PICTURE = ("camera", "lengths", "silhouette")
"""Fields of `Patches` with a row a picture; the others have one a patch."""


def part(batch: Batch, start: int, stop: int) -> Batch:
    """Samples `start` to `stop` of a batch; its tensors are views."""
    b = len(batch.proprio)
    if (start, stop) == (0, b):
        return batch
    pictures = len(batch.patches.lengths) // b  # of a sample
    of_pictures = slice(start * pictures, stop * pictures)
    of_samples = slice(start, stop)
    made = {f.name: getattr(batch, f.name) for f in fields(batch)}
    for name, value in made.items():
        if value is None:
            continue
        if isinstance(value, Patches):
            made[name] = _patches(value, of_pictures)
        elif name == "jitter":
            made[name] = replace(value, **{f.name: getattr(value, f.name)[of_pictures] for f in fields(value)})
        elif name == "noise":
            made[name] = replace(value, **{f.name: getattr(value, f.name)[of_samples] for f in fields(value)})
        else:
            made[name] = value[of_samples]
    return Batch(**made)


def _patches(patches: Patches, pictures: slice) -> Patches:
    before = int(patches.lengths[: pictures.start].sum())
    rows = slice(before, before + int(patches.lengths[pictures].sum()))
    made = {}
    for f in fields(patches):
        value = getattr(patches, f.name)
        made[f.name] = None if value is None else value[pictures if f.name in PER_PICTURE else rows]
    return Patches(**made)
