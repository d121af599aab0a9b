"""What all tests share: a way to render, and the real objects where they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sim import gl

ROOT = Path(__file__).resolve().parents[1]

gl.setup()


@pytest.fixture(scope="session")
def shared_objects() -> Path:
    """A folder of real objects as `object.xml` packs: CEZANNE_OBJECTS, or beside this repository."""
    named = os.environ.get("CEZANNE_OBJECTS")
    folder = Path(named) if named else ROOT.parent / "shared" / "objects" / "ycb"
    if not any(folder.glob("*/object.xml")):
        pytest.skip(f"no real objects in {folder}; CEZANNE_OBJECTS names a folder of them")
    return folder


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Networks of a few numbers: torch's threads would only wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
