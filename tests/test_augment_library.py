"""The library of crops: what is cut, what is kept, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from episode_samples import make_info
from swap_samples import RED, SIZES, Room, disc, room

from augment import AugmentError
from augment.library import BYTES, Library, build_library, complete, cut, cut_out, noun_of, object_name
from augment.world import World
from episodes import DatasetWriter, open_dataset


def test_the_best_view_shows_all_of_the_object() -> None:
    episode, robot = room()
    (crop,) = cut_out(replace(episode, provenance={"object": "cube"}), Whole(robot), "here")
    assert (crop.name, crop.noun, crop.camera, crop.source) == ("cube", "red cube", "side", "here")
    assert crop.area == 100
    assert (crop.rgb == RED).all()  # also beyond the mask: no halo of the table


class Whole(Room):
    """Knows the robot's pixels of a thinned episode, too."""

    def robot_masks(self, episode):
        first = {tuple(row): k for k, row in enumerate(room()[0].state[:-1].tolist())}
        return {name: self._pixels[[first[tuple(row)] for row in episode.state[:-1].tolist()]] for name in episode.images}


def test_a_mask_at_the_border_or_at_the_robot_does_not_show_all() -> None:
    masks, robot = np.zeros((2, 3, 32, 32), bool)
    masks[0, 10:20, 10:20] = masks[1, 0:10, 10:20] = masks[2, 10:20, 10:20] = True
    robot[2, 0:10, 10:20] = True
    assert complete(masks, robot).tolist() == [True, False, False]


def test_the_light_is_that_of_the_surroundings() -> None:
    mask = np.zeros((32, 32), bool)
    mask[10:20, 10:20] = True
    means = []
    for level in (60, 200):
        picture = np.full((32, 32, 3), level, np.uint8)
        picture[mask] = (200, 0, 0)
        means.append(cut(picture, mask, np.zeros_like(mask), "a", "", "side", "").light[0])
    assert means[1] - means[0] > 100


def test_what_is_saved_is_read_again(tmp_path: Path) -> None:
    made = Library([disc(), disc((5, 6, 7), 9, name="ball", noun="", light=(80.5, 2.0))])
    made.save(tmp_path / "crops.npz")
    again = Library.load(tmp_path / "crops.npz")
    for a, b in zip(made.crops, again.crops, strict=True):
        assert np.array_equal(a.rgb, b.rgb)
        assert np.array_equal(a.mask, b.mask)
        assert (a.name, a.noun, a.camera, a.source, a.light) == (b.name, b.noun, b.camera, b.source, b.light)
    assert [file.name for file in tmp_path.iterdir()] == ["crops.npz"]


def test_duplicates_are_left_out() -> None:
    near = disc()
    near.rgb[3, 3] += 9
    crops = [disc(), near, disc(source="elsewhere"), disc(name="other"), disc((30, 200, 30)), disc(radius=9)]
    assert [crop.name for crop in Library(crops).crops] == ["disc", "other", "disc", "disc"]


def test_the_sheet_shows_every_crop() -> None:
    crops = [disc((20 * k, 100, 200), name=f"object {k}") for k in range(11)]
    drawn = Library(crops).sheet(64)
    for crop in crops:
        assert (drawn == crop.rgb[0, 0]).all(-1).any()
    with pytest.raises(AugmentError, match="without crops"):
        Library([]).sheet()


def good() -> dict:
    return {"name": "a", "noun": "", "camera": "side", "source": "", "light": [1.0, 2.0], "shape": [2, 2]}


@pytest.mark.parametrize(
    ("about", "pixels"),
    [
        ({"not": "a list"}, np.full((4, 4), 255, np.uint8)),
        ([good()], np.full((3, 4), 255, np.uint8)),
        ([good()], np.full((4, 4), 255.0)),
        ([good()], np.zeros((4, 4), np.uint8)),
        ([good() | {"shape": [1 << 40, 1]}], np.full((4, 4), 255, np.uint8)),
        ([good() | {"shape": [-2, -2]}], np.full((4, 4), 255, np.uint8)),
        ([good() | {"light": [float("nan"), 1]}], np.full((4, 4), 255, np.uint8)),
        ([good() | {"name": 3}], np.full((4, 4), 255, np.uint8)),
        ([{}], np.full((4, 4), 255, np.uint8)),
        ([good()] * 5000, np.full((20000, 4), 255, np.uint8)),
    ],
)
def test_files_of_something_else_are_refused(tmp_path: Path, about, pixels: np.ndarray) -> None:
    file = tmp_path / "crops.npz"
    np.savez(file, about=np.frombuffer(json.dumps(about).encode(), np.uint8), pixels=pixels)
    with pytest.raises(AugmentError, match=r"no library of crops|a crop is"):
        Library.load(file)


def test_pickles_bombs_and_missing_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "pickle.npz", about=np.array([{}], object), pixels=np.zeros((0, 4), np.uint8))
    np.savez_compressed(tmp_path / "bomb.npz", about=np.zeros(2, np.uint8), pixels=np.zeros(BYTES + 8, np.uint8))
    (tmp_path / "text.npz").write_text("hello")
    for name, says in (("pickle", "no library"), ("bomb", "at most 256"), ("text", "no library"), ("none", "cannot read")):
        with pytest.raises(AugmentError, match=says):
            Library.load(tmp_path / f"{name}.npz")


def test_it_is_built_from_a_data_set(tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path, make_info(SIZES))
    episodes = [room(provenance={"object": name})[0] for name in ("cube", "cube", "die")]
    writer.write("000000", episodes)
    with World.open(tmp_path) as world:
        assert build_library(open_dataset(tmp_path), world).names() == ["cube", "die"]


def test_a_data_set_of_one_object_is_refused(tmp_path: Path) -> None:
    DatasetWriter(tmp_path, make_info(SIZES)).write("000000", [room()[0]])
    with World.open(tmp_path) as world, pytest.raises(AugmentError, match="shows 1 object"):
        build_library(open_dataset(tmp_path), world)


def test_names_and_nouns() -> None:
    episode, _ = room()
    assert object_name(episode) == "cube"
    assert object_name(replace(episode, provenance={"toy": 3})) == "3"
    assert object_name(replace(episode, provenance={})) == "red cube"
    assert noun_of("please pick up the tall green can from the shelf") == "tall green can"
    assert noun_of("dance") is None
