"""What tables and densities say of the weight of objects."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets.objects import ObjectError
from assets.objects.making.weight import Weight, find_weight


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("masses.csv", "name,mass_kg\nmug,0.31\n", Weight(0.31)),
        ("masses.csv", "\ufeffname, mass_kg, density\nother,1,\nmug.stl, ,1200\n", Weight(density=1200.0)),
        ("masses.csv", "name,unit\n*,mm\n", Weight(unit="mm")),
        ("masses.json", '{"mug": 0.31}', Weight(0.31)),
        ("masses.json", '[{"name": "mug", "density": 900, "unit": "in"}]', Weight(None, 900.0, "in")),
        ("masses.csv", "name,mass_kg\nother,0.31\n", Weight()),
    ],
)
def test_a_table_says_what_a_mesh_weighs(name: str, text: str, said: Weight, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert find_weight(tmp_path / "mug.stl") == said


def test_a_mesh_in_a_folder_of_its_own_is_known_by_that_folder(tmp_path: Path) -> None:
    (tmp_path / "masses.csv").write_text("name,mass_kg\n025_mug,0.118\n*,1\n")
    assert find_weight(tmp_path / "025_mug" / "google_16k" / "textured.obj") == Weight(0.118)
    assert find_weight(tmp_path / "024_bowl" / "textured.obj") == Weight()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("masses.csv", "name,mass_kg\nmug,heavy\n", "mass_kg 'heavy' of mug"),
        ("masses.csv", "name,mass_kg\nmug,nan\n", "mass_kg 'nan' of mug"),
        ("masses.csv", "name,mass_kg\nmug,250\n", "0.0005 to 10"),
        ("masses.csv", "name,density\nmug,-1\n", "density '-1'"),
        ("masses.csv", "name,unit\nmug,miles\n", "m, cm, mm, in"),
        ("masses.csv", "mug;0.3\n", "name and one of mass_kg, density, unit"),
        ("masses.json", "[" * 100_000, "masses.json cannot be read"),
        ("masses.json", '{"mug": true}', "mass_kg 'True'"),
        ("masses.json", "3", "neither a table"),
    ],
)
def test_a_table_that_says_nonsense_is_refused(name: str, text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ObjectError, match=said):
        find_weight(tmp_path / "mug.stl")


def test_weights() -> None:
    assert Weight(0.3, 900).of(1.0) == 0.3
    assert Weight(density=1000).of(1e-4) == pytest.approx(0.1)
    assert Weight().of(1e-4) == pytest.approx(0.04)
    assert Weight().of(1.0) == 0.5
