"""`report.html` of a deployment: every trial with what the policy saw, the timing, the limits that were in force."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deploy.trial import Attempt
from eval.pages.template import write_page

SHOWN = 6
"""Pictures of a trial."""
_WIDE = 256
"""Least width of a picture on the page [px]."""


def write_deployment(path: Path, robot: str, summary: Mapping[str, Any], about: Mapping[str, Any], rows: Sequence[Attempt]) -> Path:
    """Writes the page, whole or not at all."""
    trials = [{"row": row, "pictures": _strip(row)} for row in rows]
    fingerprint = {key: str(value) for key, value in about["policy"].items()}
    return write_page(
        path,
        "report.html.j2",
        folder=Path(__file__).parent,
        robot=robot,
        summary=summary,
        about=about,
        trials=trials,
        fingerprint=fingerprint,
    )


def _strip(row: Attempt) -> list[dict[str, Any]]:
    """Pictures spread over the trial, the first and the last among them."""
    if not row.pictures:
        return []
    chosen = np.unique(np.linspace(0, len(row.pictures) - 1, min(SHOWN, len(row.pictures))).round().astype(int))
    return [{"jpeg": _jpeg(row.pictures[k]), "at": f"{row.times[k]:.1f} s"} for k in chosen]


def _jpeg(picture: np.ndarray) -> bytes:
    image = Image.fromarray(picture)
    times = max(1, -(-_WIDE // image.width))
    buffer = io.BytesIO()
    image.resize((image.width * times, image.height * times), Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
