"""A distribution of ours that lies beside this repository, as if it were installed and nothing of it imported yet."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest


def pretend_installed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is that of the pyproject.toml in `folder`."""
    name = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["name"]
    info = tmp_path / f"{name}-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for module in [key for key in sys.modules if key.startswith(name)]:
        monkeypatch.delitem(sys.modules, module)
