"""Models of the `transformers` package: where they come from, and what to do where they cannot."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from socket import create_connection
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from hardware.api import SegmenterError


def transformers(what: str) -> Any:
    """The package. Raises SegmenterError: `what` needs it, and it is not installed."""
    try:
        return import_module("transformers")
    except ImportError as error:
        raise SegmenterError(f"{what} needs transformers: pip install transformers==5.23.0 ({error})") from error


def pretrained(maker: Any, model: str, what: str) -> Any:
    """What `maker.from_pretrained` reads from a folder, the hub's cache on this machine, or else the hub. Raises SegmenterError."""
    try:
        try:
            return maker.from_pretrained(model, local_files_only=True)
        except OSError:
            if Path(model).is_dir() or not _hub_answers():
                raise
            return maker.from_pretrained(model)
    except (OSError, ValueError, KeyError) as error:
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise SegmenterError(
            f"{what}: no model {model!r} in a folder of that name or in the hub's cache, and the hub did not give it: on a machine with a "
            f"network, `hf download {model} --local-dir FOLDER` (config.json, model.safetensors, *processor*.json, for words also the "
            f"tokenizer's files), bring FOLDER here and name it as the model ({said[:200]})"
        ) from error


def _hub_answers() -> bool:
    """Whether the hub takes a connection; its own client tries for minutes, several times for each file."""
    if getproxies():
        return True  # a direct connection would say nothing
    host = urlsplit(import_module("huggingface_hub.constants").ENDPOINT).hostname
    try:
        create_connection((host, 443), timeout=5).close()
    except OSError:
        return False
    return True
