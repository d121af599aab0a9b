"""Replay of a black box: the same policy does the same, another one is found out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from policy_world import CAMERAS, JOINTS, SIZE, tiny_observation, tiny_policy, tiny_train, write_dataset

from deploy.blackbox.replay import replay_blackbox
from deploy.errors import DeployError
from hardware.api import ActionChunk, Observation, Policy
from hardware.blackbox import BlackBox, BoxPlan
from hardware.blackbox_file import dump
from policies import load_policy
from policies.train import run

PLAN = BoxPlan(tuple(f"joint{k}" for k in range(JOINTS)), dict.fromkeys(CAMERAS, (SIZE, SIZE)), servo_hz=50, calls_hz=4, chunk=4, seconds=4)


@dataclass
class Summing:
    """Its answer depends on all pictures since the reset, and on the instruction."""

    history: int = 1
    bias: float = 0.0
    """On the second joint."""
    after: float = np.inf
    """Only for pictures from this moment on [s]."""
    seen: list[float] = field(default_factory=list)
    words: int = 0

    def reset(self, instruction: str) -> None:
        self.seen, self.words = [], len(instruction)

    def predict(self, observation: Observation) -> ActionChunk:
        self.seen.append(float(sum(image.astype(float).mean() for image in observation.images.values())))
        qpos = observation.qpos + np.mean(self.seen[-self.history :]) + self.words + np.arange(4)[:, None] * 0.01
        qpos[:, 1] += self.bias * (observation.time >= self.after)
        return ActionChunk(qpos, np.full((4, 1), 0.5))


def recorded(policy: Policy, folder: Path, calls: int = 6, trials: int = 1) -> Path:
    box, rng, now = BlackBox(PLAN), np.random.default_rng(0), 50.0
    for trial in range(trials):
        words = f"pick up {'x' * trial}"
        policy.reset(words)
        box.reset(words, now)
        for k in range(calls):
            seen = tiny_observation(rng)
            seen = Observation(seen.images, seen.masks, seen.qpos, seen.gripper, now)
            box.asked(k + 1, seen, now)
            box.answered(k + 1, policy.predict(seen), now + 0.05)
            now += 0.25
    assert not box.faults
    return dump(box, folder, None, {})


@pytest.mark.parametrize("history", [1, 3])
def test_the_same_policy_does_the_same(tmp_path: Path, history: int) -> None:
    path = recorded(Summing(history), tmp_path, trials=2)
    found = replay_blackbox(path, Summing(history), history=history, out=tmp_path)
    assert (found["compared"], found["first"]) == (12, None)
    assert set(found["max_rad"].values()) == {0.0}
    assert Path(found["picture"]).stat().st_size > 10_000


def test_another_policy_is_found_out_where_it_begins_to_differ(tmp_path: Path) -> None:
    path = recorded(Summing(), tmp_path)
    found = replay_blackbox(path, Summing(bias=0.2, after=50.75), out=tmp_path)
    assert found["first"] == {"number": 4, "time": 50.75, "joint": "joint1", "rad": pytest.approx(0.2)}
    assert found["max_rad"] == {"joint0": 0.0, "joint1": pytest.approx(0.2), "joint2": 0.0}
    assert found["median_rad"]["joint1"] == pytest.approx(0.1, abs=0.1)  # half of the calls
    assert replay_blackbox(path, Summing(bias=0.2, after=50.75), tolerance=0.3)["first"] is None
    worse = replay_blackbox(path, Summing(bias=np.nan, after=50.5))
    assert worse["first"]["number"] == 1  # NaN times False is NaN: a policy that answers no number differs from the start


def test_what_rests_on_lost_pictures_is_not_compared(tmp_path: Path) -> None:
    path = recorded(Summing(3), tmp_path, calls=40)  # the first of them are gone
    found = replay_blackbox(path, Summing(3), history=3)
    assert found["calls"] == found["compared"] + 2
    assert found["first"] is None
    assert replay_blackbox(path, Summing(3))["first"]["number"] == 25


def test_another_robots_policy_and_an_empty_box_are_refused(tmp_path: Path) -> None:
    class Short(Summing):
        def predict(self, observation: Observation) -> ActionChunk:
            return ActionChunk(np.zeros((4, 2)), np.zeros((4, 1)))

    with pytest.raises(DeployError, match=r"is \(4, 4\), the policy's \(4, 3\)"):
        replay_blackbox(recorded(Summing(), tmp_path), Short())
    with pytest.raises(DeployError, match="nothing to replay"):
        replay_blackbox(dump(BlackBox(PLAN), tmp_path, None, {}), Summing())


def test_a_checkpoint_that_is_loaded_again_answers_bit_by_bit(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "toys", toys=2, per_toy=2)
    summary = run(tiny_train(data, tmp_path / "run", steps=2, policy=tiny_policy(history=2)))
    path = recorded(load_policy(summary["checkpoint"]), tmp_path / "boxes", trials=2)
    again = load_policy(summary["checkpoint"])
    found = replay_blackbox(path, again, history=again.contract.history)
    assert (found["compared"], found["first"], found["gripper_max"]) == (12, None, 0.0)
    assert set(found["max_rad"].values()) == {0.0}
    more = run(tiny_train(data, tmp_path / "more", steps=2, lr=5e-2, policy=tiny_policy(history=2)))
    other = replay_blackbox(path, load_policy(more["checkpoint"]), history=2)
    assert other["first"] is not None
    assert other["first"]["number"] == 1
