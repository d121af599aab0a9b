"""What a result depends on, so that results of different origin are not compared silently."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from assets.graspable import Graspable

_DECISIVE = ("bench", "robosuite_suite", "suite", "trial")
"""Modules of this room that decide how a trial goes."""
_ASIDE = {
    "sim": "arm_file backends backlog catalogue collect devices dispatch doctor easel executor executor_local executor_ray packed puppet "
    "randomise rerender sentinel variation/sheet watchdog workers",
    "policies": "guard/folder guard/sums guard/table guard/tensors peers/exported peers/samples peers/train blend cache jitter recolour "
    "remix runlog sampler selection table train trainer units views",
}
"""Modules of `sim` and `policies` that do not: they share out work, make data and train, and what is trained is in the checkpoint."""
_ACTS = {"weights.safetensors", "config.json", "contract.json", "stats.json"}
_ACTS |= {"peer.json", "model.safetensors", "policy_preprocessor_step_3_normalizer_processor.safetensors"}
"""Files of a checkpoint that decide what it does; the second line is LeRobot's."""


def fingerprint(assets: str, config: object, checkpoint: str) -> dict[str, str]:
    """Versions, objects (their `assets_digest`), settings and checkpoint of a result, each as a short text."""
    return {
        "mujoco": _version("mujoco"),
        "gl": os.environ.get("MUJOCO_GL", "default"),
        "assets": assets,
        "config": digest(config),
        "checkpoint": checkpoint,
        "commit": commit(),
        "code": code(),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "robosuite": _version("robosuite"),
        "numpy": _version("numpy"),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def assets_digest(objects: Iterable[Graspable]) -> str:
    """A short hash of objects: of what they say, and of the files they name."""
    return digest([digest(item) for item in objects])


def origin(prints: Mapping[str, str]) -> str:
    """A short name for everything that decides how a trial goes: the commit does not, the code does."""
    return digest({key: value for key, value in prints.items() if key != "commit"})


@cache
def code() -> str:
    """A short hash of the modules that decide how a trial goes, whatever else a commit changes."""
    root = Path(__file__).resolve().parents[1]
    files = [path for room in ("assets", "hardware", "policies", "sim") for path in (root / room).rglob("*.py")]
    aside = {f"{room}/{name}" for room, names in _ASIDE.items() for name in names.split()}
    files = [path for path in files if path.relative_to(root).with_suffix("").as_posix() not in aside]
    files += [*(root / "eval/references").glob("*.py"), *(root / f"eval/{name}.py" for name in _DECISIVE)]
    told = hashlib.sha256()
    for path in sorted(files):
        told.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return told.hexdigest()[:16]


def digest(value: Any) -> str:
    """A short hash of a value: of what it says, and of the files it names."""
    told = hashlib.sha256()
    _tell(value, told)
    return told.hexdigest()[:16]


def checkpoint_digest(path: Path) -> str:
    """A short hash of what a checkpoint does; the state for resuming training is no part of it."""
    told = hashlib.sha256()
    for file in sorted(path.iterdir()):
        if file.name in _ACTS:
            told.update(file.name.encode() + file.read_bytes())
    return told.hexdigest()[:16]


@cache
def commit() -> str:
    """The project's git commit, with a plus where files have changed; "unknown" outside a repository."""
    root = Path(__file__).resolve().parents[1]
    try:
        if not (root / ".git").exists():
            return "unknown"
        head = subprocess.run(
            ["git", "-C", root, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        )
        changed = subprocess.run(
            ["git", "-C", root, "status", "--porcelain", "-uno"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _tell(value: Any, told: Any) -> None:
    if isinstance(value, Path):
        files = sorted(file for file in value.rglob("*") if file.is_file()) if value.is_dir() else [value]
        for file in files:
            told.update(file.name.encode())
            told.update(file.read_bytes() if file.is_file() else b"missing")
    elif is_dataclass(value) and not isinstance(value, type):
        told.update(type(value).__name__.encode())
        for field in fields(value):
            told.update(field.name.encode())
            _tell(getattr(value, field.name), told)
    elif isinstance(value, list | tuple):
        told.update(f"[{len(value)}".encode())
        for item in value:
            _tell(item, told)
    elif isinstance(value, dict):
        for key in sorted(value):
            told.update(str(key).encode())
            _tell(value[key], told)
    else:
        told.update(json.dumps(value, default=str).encode())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
