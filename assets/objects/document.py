"""JSON files beside objects. People copy and edit them, so they are read with care and replaced as a whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from assets.errors import ObjectError

MOST_BYTES = 16 << 20


def read_document(path: Path) -> dict[str, Any]:
    """What a file says; empty where there is none. Raises ObjectError where it is no JSON object of plausible size."""
    try:
        if not path.is_file():
            return {}
        if path.stat().st_size > MOST_BYTES:
            raise ObjectError(f"{path} holds more than {MOST_BYTES >> 20} MB")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ObjectError(f"{path} cannot be read: {' '.join(str(error).split())[:120]}") from error
    if not isinstance(found, dict):
        raise ObjectError(f"{path} holds no JSON object")
    return found


def write_document(path: Path, content: dict[str, Any]) -> None:
    """Replaces the file: a reader sees all of the old or all of the new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
