"""Meshes that are only drawn are made light once, or come along so."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import trimesh

from sim import library


def test_a_light_mesh_that_comes_along_needs_no_original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = tmp_path / "models"
    models.mkdir()
    mesh = models / "ball.obj"
    trimesh.creation.icosphere(3).export(mesh)
    monkeypatch.setattr(library, "models_folder", lambda: models)

    def light(cache: str) -> tuple[np.ndarray, np.ndarray]:
        monkeypatch.setenv("CEZANNE_CACHE", str(tmp_path / cache))
        library._light_mesh.cache_clear()
        return library._light_mesh((mesh,), 0.2, 10)

    vertices, faces = light("first")
    assert 10 <= len(faces) < 0.3 * len(trimesh.load_mesh(mesh).faces)
    shutil.copytree(tmp_path / "first/robots", models / library.LIGHT)
    mesh.with_name("ball.obj.sha256").write_text(hashlib.sha256(mesh.read_bytes()).hexdigest())
    mesh.unlink()
    again = light("second")
    np.testing.assert_array_equal(again[0], vertices)
    np.testing.assert_array_equal(again[1], faces)
    assert not (tmp_path / "second/robots").exists()
