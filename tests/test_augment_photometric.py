"""The photometric sets on whole episodes, and in training."""

from __future__ import annotations

import numpy as np
import pytest
from policy_world import CAMERAS, SIZE, tiny_episode, tiny_policy

from augment.errors import AugmentError
from augment.online import Draws, apply, draw
from augment.photometric import SETS, Photometric, PhotometricConfig
from episodes import CameraInfo, DatasetInfo
from policies.config import EncoderConfig, Pooling, Recolouring
from policies.errors import PolicyError
from policies.patches import Keep, cut
from policies.recolour import Recolour

torch = pytest.importorskip("torch")
EYE = np.eye(4)
INFO = DatasetInfo(
    10.0, "tiny", ("a", "b", "c"), {c: CameraInfo(SIZE, SIZE, 45.0, np.eye(3), EYE, "hand" if c == "wrist" else "world") for c in CAMERAS}
)
NAMES = [name for name in SETS if name != "none"]


def opened(name: str, consistent: str = "episode") -> Photometric:
    return Photometric(PhotometricConfig(name, consistent), INFO)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("consistent", ["episode", "frame"])
def test_only_what_is_seen_changes_and_draws_repeat(name: str, consistent: str) -> None:
    episode = tiny_episode(0, 0)
    first, again, other = (opened(name, consistent)(episode, np.random.default_rng(seed)) for seed in (0, 0, 1))
    for camera in CAMERAS:
        assert np.array_equal(first.images[camera], again.images[camera])
        assert not np.array_equal(first.images[camera], other.images[camera])
    assert all(getattr(first, field) is getattr(episode, field) for field in ("qpos", "gripper", "actions", "sent", "labelled", "state"))
    assert first.provenance["augment"][-1]["set"] == name


@pytest.mark.parametrize("name", NAMES)
def test_an_episode_is_of_one_piece_unless_frames_are_asked_for(name: str) -> None:
    episode = tiny_episode(0, 0)  # all its pictures but the last are the same
    whole, single = (opened(name, consistent)(episode, np.random.default_rng(3)).images["side"] for consistent in ("episode", "frame"))
    assert (whole[:-1] == whole[0]).all()
    assert len({picture.tobytes() for picture in single[:-1]}) == len(episode) - 1


def test_more_pictures_than_are_worked_on_together_make_no_difference() -> None:
    few, many = (opened("openvla")(tiny_episode(0, 0, steps=n), np.random.default_rng(0)) for n in (10, 70))
    assert np.array_equal(few.images["side"][0], many.images["side"][68])


def test_none_leaves_everything() -> None:
    episode = tiny_episode(0, 0)
    new = opened("none")(episode, np.random.default_rng(0))
    assert all(np.array_equal(new.images[c], episode.images[c]) for c in CAMERAS)


@pytest.mark.parametrize("settings", [{"set": "rt1"}, {"consistent": "batch"}])
def test_what_is_not_known_is_refused(settings: dict) -> None:
    with pytest.raises(AugmentError, match="known"):
        PhotometricConfig(**settings)


def test_training_knows_every_set() -> None:
    assert [known.value for known in Recolouring] == list(SETS)


def test_in_training_patches_become_whole_pictures_and_patches_again() -> None:
    rng = np.random.default_rng(0)
    history, batch = 2, 3
    images = torch.from_numpy(rng.integers(0, 256, (batch * history * 2, 3, 24, 32), np.uint8))
    masks = torch.from_numpy(rng.random((batch * history * 2, 24, 32)) < 0.2)
    camera = torch.arange(len(images)) % 2
    patches = cut(images, masks, camera, 8, Keep.ALL)
    new = Recolour("octo", (False, True), (24, 32), 8)(patches, history, np.random.default_rng(5), batch, slice(0, batch))
    generator = torch.Generator().manual_seed(int(np.random.default_rng(5).integers(2**62)))
    drawn = draw(SETS["octo"], torch.tensor([False, True] * batch), 32 / 24, generator)
    order = torch.tensor([2 * b + v for b in range(batch) for _ in range(history) for v in range(2)])
    wanted = cut(*apply(SETS["octo"], images, masks, Draws(drawn.amounts[order], drawn.matrices[order])), camera, 8, Keep.ALL)
    assert torch.equal(new.pixels, wanted.pixels)
    assert torch.equal(new.mask, wanted.mask)
    assert torch.equal(new.silhouette, wanted.silhouette)


def test_training_takes_a_set_where_pictures_are_whole_and_says_so_where_not(tmp_path) -> None:
    from policy_world import tiny_train, write_dataset

    from episodes import open_dataset
    from policies.train import open_sampler

    data = open_dataset(write_dataset(tmp_path / "data"))
    encoder = EncoderConfig(Pooling.mean, patch=8, dim=16, layers=1, heads=2)
    cfg = tiny_train(tmp_path / "data", tmp_path / "out", policy=tiny_policy(encoder=encoder), photometric=Recolouring.pi0)
    sampler, _ = open_sampler(cfg, data)
    first, again, other = (sampler.draw(0, step, 4).patches for step in (0, 0, 1))
    assert torch.equal(first.pixels, again.pixels)
    assert not torch.equal(first.pixels, other.pixels)
    with pytest.raises(PolicyError, match="needs whole pictures"):
        open_sampler(tiny_train(tmp_path / "data", tmp_path / "other", photometric=Recolouring.pi0), data)
