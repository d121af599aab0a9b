"""The table of rooms in docs/architecture.md: who may import whom."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {
    "assets": set(),
    "hardware": set(),
    "episodes": {"hardware"},
    "sim": {"assets", "hardware", "episodes"},
    "augment": {"assets", "hardware", "episodes", "sim"},
    "policies": {"assets", "hardware", "episodes", "augment", "conf"},
    "eval": {"assets", "hardware", "episodes", "sim", "augment", "policies", "conf"},
    "deploy": {"assets", "hardware", "episodes", "sim", "augment", "policies", "eval", "conf"},
    "lerobot_robot_cezanne": {"assets", "hardware", "sim"},
    "lerobot_policy_cezanne": {"assets", "hardware", "episodes", "sim", "augment", "policies", "eval"},
    "conf": set(),
}
"""The rooms that each room may import besides itself."""
OUTSIDE: dict[str, set[str] | None] = dict.fromkeys(("episodes", "sim", "augment", "policies", "eval", "deploy", "lerobot_robot_cezanne"))
OUTSIDE["lerobot_policy_cezanne"] = None
OUTSIDE |= {"hardware": {"numpy", "ruckig"}, "conf": {"hydra", "omegaconf"}}
"""The packages that a room may import besides the standard library; None: any."""
OUTSIDE["assets"] = {"numpy", "mujoco", "trimesh", "manifold3d", "coacd", "fast_simplification", "scipy", "PIL", "robosuite"}
TORCH = {"policies", "eval", "benchmarks", "lerobot_policy_cezanne"}
TORCH_FILES = {"augment/online.py", "augment/diagnose/features.py"}
"""Files of other rooms that may import torch."""
FORBIDDEN_NAMES = {"types", "random", "logging", "io", "utils", "common", "helpers"}


def imports(path: Path) -> Iterator[str]:
    """The top-level names of everything that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relative to itself"
            yield (node.module or "").split(".")[0]


def files() -> list[Path]:
    return [path for room in [*ROOMS, "benchmarks"] for path in sorted((ROOT / room).rglob("*.py"))]


def label(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", [p for p in files() if p.relative_to(ROOT).parts[0] in ROOMS], ids=label)
def test_a_file_imports_only_what_its_room_may(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    mine = set(imports(path)) - set(sys.stdlib_module_names) - {room}
    others = mine & (set(ROOMS) | {"cezanne", "tests", "benchmarks"})
    assert others <= ROOMS[room], f"{room}/ must not import {sorted(others - ROOMS[room])}"
    allowed = OUTSIDE[room]
    assert allowed is None or mine - others <= allowed, f"{room}/ must not import {sorted(mine - others - allowed)}"


@pytest.mark.parametrize("path", files(), ids=label)
def test_torch_stays_in_its_rooms(path: Path) -> None:
    allowed = path.relative_to(ROOT).parts[0] in TORCH or label(path) in TORCH_FILES
    assert allowed or not {"torch", "torchvision"} & set(imports(path))


@pytest.mark.parametrize("path", files(), ids=label)
def test_a_module_is_named_for_its_noun(path: Path) -> None:
    assert path.stem not in FORBIDDEN_NAMES
