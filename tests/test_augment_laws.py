"""What holds for every augmentation: the motion stays, draws repeat, the given episode is left alone, the contract tells the truth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from episode_samples import same

import sim.collect
from augment.catalogue import KINDS, open_chain
from augment.config import AugmentConfig
from augment.world import World
from episodes import Episode, open_dataset
from sim.collect import CollectConfig
from sim.workers import share

DONE = ("qpos", "gripper", "actions", "sent", "labelled", "state")
"""What an episode says of the motion."""
ALONE = ("viewpoint", "background", "table")
"""Augmentations that look at one step at a time."""


def cut(episode: Episode, first: int, last: int) -> Episode:
    """Steps from `first` to before `last`."""
    rows = {name: getattr(episode, name)[first : last + (name == "state")] for name in DONE}
    pictures = {name: {camera: a[first:last] for camera, a in getattr(episode, name).items()} for name in ("images", "masks")}
    return replace(episode, **rows, **pictures)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Demonstrations of the expert on two toys, made in this process."""
    out = tmp_path_factory.mktemp("laws") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sim.collect, "share", lambda start, items, workers, **how: share(start, items, 0))
        sim.collect.run(CollectConfig(out=str(out), toys=2, demos=2, size=64, seed=3))
    return out


@pytest.fixture(scope="module")
def world(data: Path) -> Iterator[World]:
    with World.open(data) as world:
        yield world


@pytest.fixture(scope="module")
def episode(data: Path) -> Episode:
    """Some steps about the grasp; nothing may write to them."""
    whole = open_dataset(data)[0]
    close = int(np.flatnonzero(whole.actions[:, -1] < 0.5)[0])
    episode = cut(whole, max(0, close - 6), close + 6)
    for array in (*(getattr(episode, name) for name in DONE), *episode.images.values(), *episode.masks.values()):
        array.flags.writeable = False
    return episode


@pytest.fixture(scope="module")
def augmented(world: World, episode: Episode):
    """The augmented episode, by name and seed; the second time from memory."""
    opened, made = {}, {}

    def make(name: str, seed: int = 0, again: bool = False) -> Episode:
        if name not in opened:
            opened[name] = open_chain([name], AugmentConfig(chain=[name], keep=False).settings, world)
        if (name, seed) not in made or again:
            made[name, seed] = opened[name](episode, np.random.default_rng(seed))
        return made[name, seed]

    make.opened = opened
    return make


every = partial(pytest.mark.parametrize, "name")(list(KINDS))


@every
def test_the_motion_stays(name: str, episode: Episode, augmented) -> None:
    new = augmented(name)
    assert len(new) == len(episode)
    assert new.dt == episode.dt
    assert np.array_equal(new.labelled, episode.labelled)
    for field in DONE:
        before, after = getattr(episode, field), getattr(new, field)
        assert len(after) == len(before)
        assert name == "embodiment" or (after.dtype == before.dtype and np.array_equal(before, after)), field


@every
def test_it_changes_what_is_seen(name: str, episode: Episode, augmented) -> None:
    new = augmented(name)
    assert any(not np.array_equal(new.images[camera], episode.images[camera]) for camera in episode.images)
    assert any(mask.any() for mask in new.masks.values())


@every
def test_the_same_seed_draws_the_same_and_another_seed_another(name: str, augmented) -> None:
    first, other = augmented(name, 0), augmented(name, 1)
    assert same(first, augmented(name, 0, again=True))
    drawn = [new.provenance["augment"][-1] for new in (first, other)]
    assert drawn[0] != drawn[1] or name == "embodiment"  # there may be one other arm only


@every
def test_provenance_names_it_and_what_was_drawn(name: str, episode: Episode, augmented) -> None:
    new = augmented(name)
    *before, last = new.provenance["augment"]
    assert (before, last["name"]) == ([], name)
    assert json.loads(json.dumps(last)) == last
    assert "augment" not in episode.provenance


@every
def test_the_contract_accepts_what_comes_out(name: str, world: World, augmented) -> None:
    new = augmented(name)
    augmented.opened[name].contract(world.info).check(new)


@pytest.mark.parametrize("name", ALONE)
def test_a_step_looks_alone_as_it_does_in_its_episode(name: str, episode: Episode, augmented) -> None:
    whole = augmented(name)
    for t in (0, len(episode) - 1):
        alone = augmented.opened[name](cut(episode, t, t + 1), np.random.default_rng(0))
        for camera in episode.images:
            assert np.array_equal(alone.images[camera][0], whole.images[camera][t])
            assert np.array_equal(alone.masks[camera][0], whole.masks[camera][t])


@pytest.mark.parametrize("name", ["background", "table"])
def test_the_object_is_not_painted_over(name: str, episode: Episode, augmented) -> None:
    new = augmented(name)
    for camera, mask in episode.masks.items():
        assert np.array_equal(new.masks[camera], mask)
        inside = mask & np.roll(mask, 1, 1) & np.roll(mask, -1, 1) & np.roll(mask, 1, 2) & np.roll(mask, -1, 2)  # edges may be blended
        assert np.array_equal(new.images[camera][inside], episode.images[camera][inside])


def test_photometric_moves_masks_with_the_pixels(episode: Episode, augmented) -> None:
    white = {camera: np.repeat(np.uint8(255) * mask[..., None], 3, -1) for camera, mask in episode.masks.items()}
    shown = replace(episode, images=white)
    augmented("photometric")
    new = augmented.opened["photometric"](shown, np.random.default_rng(0))
    for camera, mask in new.masks.items():
        pixels = new.images[camera].mean(-1)
        bright = pixels > (int(pixels.max()) + int(pixels.min())) / 2
        assert (bright & mask).sum() >= 0.9 * (bright | mask).sum()
