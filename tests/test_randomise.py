"""Domain randomisation: each demonstration has a world of its own, says which, and can be drawn and played again."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assets.toys import ToySet
from augment.errors import AugmentError
from augment.world import World
from episodes import DatasetInfo, Episode, open_dataset
from hardware.api import Action
from sim.camera import as_camera
from sim.collect import CollectConfig, Collector, run
from sim.disturbed import open_robot
from sim.errors import SceneError
from sim.expert import Expert, ExpertConfig
from sim.randomise import Draw, Randomisation, looked, mixed, randomisation, recall
from sim.rerender import Redrawer, replay
from sim.robots import PANDA
from sim.scene import SceneConfig
from sim.simrobot import SimRobot
from sim.variation import AXES, PLAIN, recalled, recorded, vary

TOY = ToySet.sample(5, 1).toys[0]
SCENE = ("light", "texture", "camera", "distractors", "occlusion", "mass", "friction", "start", "action_noise")
SENSING = ("delay", "noise", "mask_noise")
SMALL: dict[str, Any] = {"toys": 1, "demos": 2, "size": 32, "seed": 5, "workers": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("randomised") / "data"
    axes = [*SCENE, *SENSING]
    run(CollectConfig(out=str(out), randomise=axes, randomise_strength=[0.3, 0.5], **SMALL))
    return out


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("plain") / "data"
    run(CollectConfig(out=str(out), **SMALL))
    return out


def episodes(folder: Path) -> list[Episode]:
    return list(open_dataset(folder))


def same(one: Episode, two: Episode) -> bool:
    arrays = all(np.array_equal(getattr(one, name), getattr(two, name)) for name in ("state", "sent", "actions", "qpos", "gripper"))
    seen = all(np.array_equal(one.images[k], two.images[k]) and np.array_equal(one.masks[k], two.masks[k]) for k in one.images)
    return arrays and seen and one.provenance == two.provenance


@contextmanager
def scene(episode: Episode) -> Iterator[SimRobot]:
    with SimRobot(SceneConfig(TOY, size=32, variation=recall(episode.provenance))) as robot:
        yield robot


@pytest.mark.parametrize("name", AXES)
def test_what_is_recorded_is_recalled(name):
    for seed in range(3):
        made = vary(name, 0.7, seed)
        record = json.loads(json.dumps(recorded(made)))
        assert mixed([made]) == recalled(record)
    assert recorded(PLAIN) == {}
    assert recalled({}) == PLAIN


@pytest.mark.parametrize(
    "record",
    [
        {"light": 3},
        {"light": {"direction": [0, 0, float("nan")], "gain": [1, 1, 1], "shadows": False}},
        {"texture": {**recorded(vary("texture", 1.0, 0))["texture"], "pattern": "../marble"}},
        {"mass": 1e9},
        {"delay": 10**9},
        {"distractors": recorded(vary("distractors", 1.0, 0))["distractors"] * 2},
        {"distractors": [{"thing": {"household": "../../etc"}, "quat": [1, 0, 0, 0], "bearing": 0, "gap": 0}]},
        {"distractors": [{"thing": {"toy": {"parts": []}}, "quat": [1, 0, 0, 0], "bearing": 0, "gap": 0}]},
        {"start": [0.0] * 100_000},
        {"mask": {"erode": "much"}},
        {"sensor": {"fog": 0.1, "blur": 0.0, "grain": 1.0, "seed": -3}},
        {"views": {**recorded(vary("camera", 1.0, 0))["views"], "shift": [0.0, 0.0]}},
    ],
    ids=lambda record: str(record)[:40],
)
def test_a_record_that_makes_no_world_is_refused(record):
    with pytest.raises(SceneError, match=r"no variation|factors are|lie in|distractors|is unknown"):
        recalled(record)


def test_worlds_depend_on_the_generator_alone_and_axes_not_on_each_other():
    def draw(axes, seed: int = 1) -> Draw:
        return Randomisation(tuple(axes)).draw(np.random.default_rng(seed))

    assert draw(SCENE) == draw(SCENE)
    assert draw(SCENE) != draw(SCENE, 2)
    few, many = draw(("light", "mass")), draw(SCENE)
    assert (few.variation.light, few.variation.mass) == (many.variation.light, many.variation.mass)
    assert dict(few.axes).items() <= dict(many.axes).items()


def test_strengths_lie_where_they_should_and_all_axes_come_up():
    drawn = [randomisation(["all"], [0.2, 0.6]).draw(np.random.default_rng(k)) for k in range(60)]
    strengths = [strength for one in drawn for _, strength in one.axes]
    assert min(strengths) >= 0.2
    assert max(strengths) <= 0.6
    assert np.mean(strengths) == pytest.approx(0.4, abs=0.02)
    assert {axis for one in drawn for axis, _ in one.axes} == set(AXES)
    kinds = [[axis for axis, _ in one.axes if axis.startswith("mask_")] for one in drawn]
    assert all(len(faults) == 1 for faults in kinds), "of faults of masks one at a time"


@pytest.mark.parametrize(
    ("said", "strength", "match"),
    [
        (["lights"], [0, 1], "did you mean 'light'"),
        (["light", "light"], [0, 1], "twice"),
        (["light", "all"], [0, 1], "stands alone"),
        (["none"], [0, 1], "stands alone"),
        (["light"], [0.5], "two numbers"),
        (["light"], [0.5, 0.2], "lower first"),
        (["light"], [0, 2], "0 to 1"),
        (["light"], [0, 0], "not 0"),
        (["light"], [float("nan"), 1], "0 to 1"),
    ],
)
def test_what_is_wrong_is_said(said, strength, match):
    with pytest.raises(SceneError, match=match):
        CollectConfig(randomise=said, randomise_strength=strength)


def test_each_demonstration_says_its_world_and_is_played_and_drawn_again(folder):
    worlds = []
    with World.open(folder) as world:
        for episode in episodes(folder):
            worlds.append(recall(episode.provenance))
            assert set(episode.provenance["variation"]["axes"]) == {*SCENE, *SENSING}
            with scene(episode) as robot:
                assert np.array_equal(replay(robot, episode), episode.state)
            robot = world.robot(episode)
            cameras = [as_camera(name, info) for name, info in world.cameras(episode).items()]
            again = Redrawer(robot)(episode, cameras)
            for name in episode.images:
                assert np.abs(again.images[name].astype(int) - episode.images[name]).mean() < 0.5
                assert (again.masks[name] != episode.masks[name]).mean() < 0.01
    assert len(worlds) == 2
    assert worlds[0] != worlds[1]


def test_cameras_that_stand_elsewhere_are_known(folder, plain):
    info = open_dataset(folder).info
    assert info.cameras == open_dataset(plain).info.cameras
    for episode in episodes(folder):
        with scene(episode) as robot:
            side = robot.model.camera("side")
            said = as_camera("side", info.camera("side", episode.provenance))
            assert said.pos == pytest.approx(side.pos)
            assert said.fovy == pytest.approx(float(side.fovy[0]))
            assert abs(np.dot(said.quat, side.quat)) == pytest.approx(1)
            assert said.pos != pytest.approx(info.cameras["side"].extrinsics[0][3], abs=0.01)


def test_what_is_sensed_is_what_evaluation_would_sense(folder):
    """With the same variation, a robot that is disturbed while it is evaluated senses the episode as it is stored."""
    for episode in episodes(folder):
        made = recall(episode.provenance)
        still = type(made)(**{**{field: getattr(made, field) for field in made.__dataclass_fields__}, "action_noise": 0.0})
        with open_robot(SceneConfig(TOY, size=32, variation=still)) as robot:
            robot.place(np.zeros(2), np.random.default_rng(0))
            robot.set_state(episode.state[0])
            for t in range(8):
                seen = robot.observe()
                assert np.array_equal(seen.qpos.astype(np.float32), episode.qpos[t])
                assert all(np.array_equal(seen.images[name], episode.images[name][t]) for name in episode.images)
                assert all(np.array_equal(seen.masks[name], episode.masks[name][t]) for name in episode.masks)
                n = episode.qpos.shape[1]
                robot.command(Action(episode.sent[t, :n].astype(float), episode.sent[t, n:].astype(float)))


def test_what_is_late_is_late_by_so_much():
    assert looked(vary("delay", 1.0, 0), 9).tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 2]
    assert looked(PLAIN, 3).tolist() == [0, 1, 2]


def made_here(randomised: Randomisation, attempt: int = 0) -> Episode | None:
    """What a worker makes, in this process and without a data set."""
    collector = Collector(Path(), open_info(), SMALL["seed"], SMALL["size"], "panda", ExpertConfig(), randomised)
    said = {"seed": SMALL["seed"], "toy": 0, "attempt": attempt}
    return collector.randomly(TOY, np.random.default_rng([SMALL["seed"], 0, attempt]), said)


def open_info() -> DatasetInfo:
    return DatasetInfo(20.0, "panda", PANDA.joints, {})


def test_labels_stay_clean_where_actions_are_shaken():
    episode = next(filter(None, (made_here(Randomisation(("action_noise",), (1, 1)), k) for k in range(6))))
    moved = (episode.sent - episode.actions)[-20:, :-1]  # after the grasp, where the plain expert is not disturbed
    assert moved.std() == pytest.approx(0.03, rel=0.2)
    assert np.abs(np.diff(episode.actions[-20:], axis=0)).max() < 0.15


def test_places_are_those_of_the_plain_world(folder, plain):
    for one, two in zip(episodes(folder), episodes(plain), strict=True):
        if one.provenance["attempt"] == two.provenance["attempt"]:
            assert one.provenance["toy"] == two.provenance["toy"]
            away = np.subtract(one.provenance["grasp"]["pos"][:2], two.provenance["grasp"]["pos"][:2])
            assert np.abs(away).max() < 0.08  # another grasp of the same toy at the same place


def test_a_demonstration_depends_on_its_number_alone(folder):
    for episode in episodes(folder):
        again = made_here(Randomisation((*SCENE, *SENSING), (0.3, 0.5)), episode.provenance["attempt"])
        assert again is not None
        assert same(again, episode)


@pytest.mark.slow
def test_any_number_of_workers_makes_the_same_worlds(folder, tmp_path):
    settings = {**SMALL, "workers": 2, "toys": 3, "demos": 6}
    for workers in (1, 2):
        axes = [*SCENE, *SENSING][:: 1 if workers == 1 else -1]  # their order is nobody's business
        run(CollectConfig(out=str(tmp_path / f"{workers}"), randomise=axes, **{**settings, "workers": workers}))
    assert all(same(one, two) for one, two in zip(episodes(tmp_path / "1"), episodes(tmp_path / "2"), strict=True))


def test_without_axes_the_data_set_is_what_it_was(plain):
    fingerprint = open_dataset(plain).info.fingerprint
    assert "randomise" not in fingerprint["settings"]
    assert not any("variation" in episode.provenance for episode in episodes(plain))
    with SimRobot(SceneConfig(TOY, size=32)) as robot:
        attempt = episodes(plain)[0].provenance["attempt"]
        made = Expert(robot).demonstrate(np.random.default_rng([5, 0, attempt]))
    assert made is not None
    assert hashlib.sha256(made.state.tobytes()).digest() == hashlib.sha256(episodes(plain)[0].state.tobytes()).digest()


def test_other_worlds_are_other_settings(folder):
    with pytest.raises(SceneError, match=r"randomise was .* and is None"):
        run(CollectConfig(out=str(folder), **SMALL))


def test_an_episode_with_a_broken_record_is_not_drawn_again(folder):
    episode = episodes(folder)[0]
    episode.provenance["variation"]["mass"] = -1.0
    with World.open(folder) as world, pytest.raises(AugmentError, match="world"):
        world.simulated(episode)
