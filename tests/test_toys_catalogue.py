"""The verb `toys`."""

import mujoco
import numpy as np
import pytest
import trimesh
from PIL import Image

from assets.errors import AssetError
from assets.toys import ToySet, toy_mesh
from sim.catalogue import Export, ToysConfig, portrait, run


def test_toys_are_written_and_exported(tmp_path) -> None:
    summary = run(ToysConfig(toys=3, seed=5, out=tmp_path, export=Export.STL, pictures=0))
    toys = ToySet.load(tmp_path / "toys.json")
    assert summary["toys"] == len(toys) == 3
    assert toys == ToySet.sample(5, 3)
    printed = trimesh.load_mesh(tmp_path / "stl" / f"{toys[0].name}.stl")
    assert printed.is_watertight
    assert printed.extents == pytest.approx(1000 * toy_mesh(toys[0]).extents, rel=1e-4)  # millimetres
    run(ToysConfig(toys=3, seed=5, out=tmp_path, export=Export.MJCF, pictures=0))
    assert mujoco.MjModel.from_xml_path(str(tmp_path / "mjcf" / f"{toys[1].name}.xml")).nbody == 2


def test_a_sheet_shows_each_toy_large(tmp_path) -> None:
    run(ToysConfig(toys=3, out=tmp_path, pictures=2))
    sheet = np.asarray(Image.open(tmp_path / "toys.png"))
    assert sheet.shape[1] > 2 * 150
    picture, length = portrait(ToySet.sample(0, 1)[0], 96)
    colourful = np.ptp(picture.astype(int), axis=2) > 60
    assert 0.02 <= length <= 0.21
    assert max(np.ptp(np.flatnonzero(colourful.any(axis=axis))) for axis in (0, 1)) > 0.7 * 96
    assert not colourful[[0, -1]].any()
    assert not colourful[:, [0, -1]].any()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"toys": 0}, "toys=0"),
        ({"seed": -1}, "seed"),
        ({"parts": [0, 2]}, "1 to 5"),
        ({"parts": [1]}, "smallest"),
        ({"scale": [-1.0, 1.0]}, "scale"),
        ({"jaw": 9.0}, "jaw"),
        ({"shapes": ["torus"]}, "known: sphere"),
        ({"pictures": -1}, "pictures"),
    ],
)
def test_impossible_values_are_refused(given: dict, said: str) -> None:
    with pytest.raises(AssetError, match=said):
        ToysConfig(**given)


def test_unknown_objects_are_refused(tmp_path) -> None:
    with pytest.raises(AssetError, match="is no folder"):
        run(ToysConfig(objects=str(tmp_path / "nowhere"), out=tmp_path))
