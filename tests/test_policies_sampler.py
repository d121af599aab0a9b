"""What training is given: the right labels for the right pictures, as a pure function of seed and step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from policy_world import JOINTS, tiny_policy, write_dataset

from episodes import DatasetWriter, open_dataset
from policies.cache import Kept, open_cache
from policies.config import Actions
from policies.network import Batch
from policies.patches import Keep, cut
from policies.sampler import Sampler, measure_stats
from policies.table import grasps_of, held_out_episodes


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "toys")


def kept(stride: int = 1, holdout: float = 0.0) -> Kept:
    return Kept(patch=8, keep=Keep.OBJECT, stride=stride, holdout=holdout, seed=0)


def sampler(data: Path, folder: Path, stride: int = 1, holdout: float = 0.0, history: int = 1) -> Sampler:
    cache = open_cache(folder, open_dataset(data), kept(stride, holdout))
    policy = tiny_policy()
    return Sampler(cache, policy.chunk, policy.execute, history, JOINTS, cap=0)


def test_a_sample_is_the_pictures_and_labels_of_its_step(data: Path, tmp_path: Path) -> None:
    made = sampler(data, tmp_path)
    dataset = open_dataset(data)
    frame = 0
    for episode in dataset:
        for t in range(len(episode.qpos)):
            batch = made.gather(np.array([frame]))
            steps = np.minimum(t + np.arange(4), len(episode.qpos) - 1)
            np.testing.assert_array_equal(batch.targets[0], episode.actions[steps])
            np.testing.assert_array_equal(batch.proprio[0, 0], np.concatenate([episode.qpos[t], episode.gripper[t]]))
            np.testing.assert_array_equal(batch.weight[0], np.cumprod(episode.labelled[steps]))
            images = torch.from_numpy(np.stack([episode.images[c][t] for c in dataset.info.cameras])).permute(0, 3, 1, 2)
            masks = torch.from_numpy(np.stack([episode.masks[c][t] for c in dataset.info.cameras]))
            want = cut(images, masks, torch.arange(2), 8, Keep.OBJECT)
            assert all(a is b or torch.equal(a, b) for a, b in zip(vars(batch.patches).values(), vars(want).values(), strict=True))
            frame += 1


def test_what_follows_a_sabotage_is_no_answer_to_what_was_seen_before(data: Path, tmp_path: Path) -> None:
    made = sampler(data, tmp_path)
    second = 10  # first step of the second episode, whose steps 3 and 4 are sabotaged
    assert made.gather(np.array([second + 1])).weight[0].tolist() == [1, 1, 0, 0]
    assert made.gather(np.array([second + 5])).weight[0].tolist() == [1, 1, 1, 1]
    assert not {second + 3, second + 4} & set(made.train_frames.tolist())


def test_history_is_the_moments_at_which_the_policy_was_asked(data: Path, tmp_path: Path) -> None:
    made = sampler(data, tmp_path, history=3)
    proprio = made.gather(np.array([7, 2, 0])).proprio[..., 0]
    rows = made.cache.table.proprio[:, 0]
    assert proprio.tolist() == [[rows[3], rows[5], rows[7]], [rows[0], rows[0], rows[2]], [rows[0]] * 3]


def test_batches_are_a_function_of_seed_and_step(data: Path, tmp_path: Path) -> None:
    made = replace(sampler(data, tmp_path), colour=True, proprio_noise=0.01, before_closing=0.5, cap=2)

    def numbers(batch: Batch) -> list[float]:
        assert batch.jitter is not None
        return [
            x.double().sum().item() for x in (batch.patches.pixels, batch.patches.index, batch.proprio, batch.targets, batch.jitter.gain)
        ]

    assert numbers(made.draw(0, 5, 16)) == numbers(made.draw(0, 5, 16))
    assert numbers(made.draw(0, 5, 16)) != numbers(made.draw(0, 6, 16)) != numbers(made.draw(1, 6, 16))
    assert int(made.draw(0, 5, 16).patches.lengths.max()) == 2


def test_noise_on_joints_does_not_move_the_targets(data: Path, tmp_path: Path) -> None:
    made = sampler(data, tmp_path)
    noisy = replace(made, proprio_noise=0.1)
    plain, moved = made.gather(np.arange(10)), noisy.gather(np.arange(10), np.random.default_rng(0))
    assert torch.equal(plain.targets, moved.targets)
    assert not torch.equal(plain.proprio, moved.proprio)


def test_more_samples_from_before_closing(data: Path, tmp_path: Path) -> None:
    made = replace(sampler(data, tmp_path), before_closing=1.0)
    assert (made.draw(0, 0, 64).targets[:, 0, JOINTS] > 0.5).all()


def test_frames_alternate_by_episode_and_whole_toys_are_held_out(data: Path, tmp_path: Path) -> None:
    table = sampler(data, tmp_path, stride=2, holdout=0.3).cache.table
    assert (table.frame - table.first[table.frame])[:7].tolist() == [0, 2, 4, 6, 8, 1, 3]
    episode = table.frame // 10
    by_toy = [set(table.held_out[episode // 3 == toy].tolist()) for toy in range(4)]
    assert sorted(map(str, by_toy)) == ["{False}", "{False}", "{False}", "{True}"]
    assert not held_out_episodes(["one", "one"], 0.5, 0).any()


def test_a_cache_is_made_once_and_follows_the_data(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "toys", toys=2)
    (tmp_path / "run").mkdir()
    first = open_cache(tmp_path / "run", open_dataset(data), kept())
    (path,) = (tmp_path / "run").glob("cache-*")
    made = path.stat().st_mtime_ns
    assert open_cache(tmp_path / "run", open_dataset(data), kept()).fingerprint == first.fingerprint
    assert path.stat().st_mtime_ns == made
    DatasetWriter(data, open_dataset(data).info).write("extra", [open_dataset(data)[0]])
    assert open_cache(tmp_path / "run", open_dataset(data), kept()).fingerprint != first.fingerprint
    assert len(list((tmp_path / "run").iterdir())) == 1


def test_one_grasp_is_that_of_the_last_try() -> None:
    labelled = np.array([1, 0, 1, 1], bool)
    grasp = {"pos": [0.1, 0.2, 0.3], "yaw": 0.0}
    assert np.isfinite(grasps_of({"grasp": grasp}, labelled)).all(1).tolist() == [False, False, True, True]
    listed = grasps_of({"grasp": [[0, grasp], [2, grasp | {"yaw": np.pi / 4}]]}, labelled)
    np.testing.assert_allclose(listed[:, 4], [0, 0, 1, 1], atol=1e-6)
    assert np.isnan(grasps_of({}, labelled)).all()


def test_statistics_normalise_what_the_network_predicts(data: Path, tmp_path: Path) -> None:
    made = sampler(data, tmp_path)
    batch = made.gather(made.train_frames)
    relative = batch.targets[..., :JOINTS] - batch.proprio[:, :, :JOINTS]
    stats = measure_stats(made, Actions.relative)
    valid = batch.weight[:, 0] > 0
    np.testing.assert_allclose(stats.action_mean[0, :JOINTS], relative[valid, 0].mean(0), atol=1e-6)
    assert stats.action_mean[0, JOINTS] == 0.5
