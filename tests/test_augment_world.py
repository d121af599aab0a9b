"""What a world knows of an episode: exact where it is simulated, said to be unknown where it is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace

import numpy as np
import pytest

from assets.toys import ToySet
from augment import AugmentError
from augment.world import World, moved
from episodes import DatasetInfo, Episode, StoreError
from hardware.api import Action
from sim.camera import SIDE, WRIST, Camera, as_camera, described, rotated
from sim.rerender import Redrawer, rerender
from sim.scene import SceneConfig
from sim.simrobot import SimRobot

SIZE, STEPS = 48, 6
TOYS = ToySet.sample(9, 2)


def played(number: int) -> tuple[Episode, DatasetInfo]:
    """A few steps of a swinging arm before a toy, as the robot itself saw them."""
    rng = np.random.default_rng(number)
    toy = TOYS.toys[number]
    with SimRobot(SceneConfig(toy, size=SIZE)) as robot:
        robot.place(rng.uniform(-0.05, 0.05, 2), rng)
        seen, states, actions = [], [robot.state()], []
        for _ in range(STEPS):
            seen.append(robot.observe())
            actions.append(np.append(np.add(robot.arm.home, [0, 0.3, 0, 0, 0, 0, 0]) + rng.normal(size=7) * 0.15, rng.random()))
            for _ in range(5):  # far enough to be seen moving
                robot.command(Action(actions[-1][:7], actions[-1][7:]))
            states.append(robot.state())
        info = DatasetInfo(1 / robot.dt, "panda", robot.arm.joints, {camera.name: described(camera, SIZE) for camera in (SIDE, WRIST)})
        dt = robot.dt
    return Episode(
        images={name: np.stack([o.images[name] for o in seen]) for name in info.cameras},
        masks={name: np.stack([o.masks[name] for o in seen]) for name in info.cameras},
        qpos=np.stack([o.qpos for o in seen]).astype(np.float32),
        gripper=np.stack([o.gripper for o in seen]).astype(np.float32),
        actions=np.stack(actions).astype(np.float32),
        sent=np.stack(actions).astype(np.float32),
        labelled=np.ones(STEPS, bool),
        state=np.stack(states),
        instruction="pick up the toy",
        dt=dt,
        success=True,
        provenance={"object": toy.name},
    ), info


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    return [played(number)[0] for number in range(2)]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World(played(0)[1], TOYS) as world:
        yield world


def test_frames_drawn_again_are_the_frames_that_were_seen(world: World, episodes: list[Episode]) -> None:
    for episode in (*episodes, episodes[0]):  # there and back: the scene is another one each time
        new = Redrawer(world.robot(episode))(episode, [as_camera(*item) for item in world.cameras(episode).items()])
        for name in episode.images:
            assert np.array_equal(new.images[name], episode.images[name])
            assert np.array_equal(new.masks[name], episode.masks[name])


def test_a_camera_that_was_moved_draws_as_one_that_was_compiled_there(world: World, episodes: list[Episode]) -> None:
    there = rotated(SIDE, 17)
    moved_camera = Redrawer(world.robot(episodes[0]))(episodes[0], [there])
    compiled = rerender(episodes[0], world.robot(episodes[0]), [there, replace(WRIST, name="other")])
    assert list(moved_camera.images) == ["side"]
    assert np.array_equal(moved_camera.images["side"], compiled.images["side"])
    assert np.array_equal(moved_camera.masks["side"], compiled.masks["side"])
    assert not np.array_equal(moved_camera.images["side"], episodes[0].images["side"])


def test_the_robot_comes_with_the_cameras_of_its_episode(world: World, episodes: list[Episode]) -> None:
    at_home = world.robot_masks(episodes[0])["side"]
    Redrawer(world.robot(episodes[0]))(episodes[0], [rotated(SIDE, 40)])
    assert np.array_equal(world.robot_masks(episodes[0])["side"], at_home)
    turned = replace(episodes[0], provenance={**episodes[0].provenance, "cameras": {"side": asdict(described(rotated(SIDE, 40), SIZE))}})
    assert not np.array_equal(world.robot_masks(turned)["side"], at_home)


def test_robot_and_object_share_no_pixel_and_depth_is_that_of_what_is_seen(world: World, episodes: list[Episode]) -> None:
    robot, depth = world.robot_masks(episodes[0]), world.depth(episodes[0])
    assert depth is not None
    for name, mask in episodes[0].masks.items():
        assert depth[name].shape == mask.shape
        assert depth[name].dtype == np.float32
        assert robot[name].any()
        assert not (robot[name] & mask).any()


def test_depth_is_metric(world: World, episodes: list[Episode]) -> None:
    """Points of the table lie at z = 0 in the base frame."""
    depth = world.depth(episodes[0])
    assert depth is not None
    side, away = world.info.cameras["side"], depth["side"][0].astype(float)
    v, u = np.mgrid[:SIZE, :SIZE] + 0.5
    rays = np.linalg.inv(np.asarray(side.intrinsics)) @ np.stack([u, v, np.ones_like(u)]).reshape(3, -1)
    points = np.asarray(side.extrinsics) @ np.vstack([rays * away.ravel(), np.ones(SIZE**2)])
    table = ~(world.robot_masks(episodes[0])["side"][0] | episodes[0].masks["side"][0]).ravel()
    assert np.median(np.abs(points[2, table])) < 1e-4


@pytest.mark.parametrize("odd", [{"object": "nobody"}, {"object": ["toy"]}, {}, {"embodiment": "ur5e"}])
def test_what_is_not_simulated_is_said_to_be_unknown(world: World, episodes: list[Episode], odd: dict) -> None:
    base = {} if "object" in odd or not odd else episodes[0].provenance
    other = replace(episodes[0], provenance={**base, **odd})
    assert not world.simulated(other)
    assert world.depth(other) is None
    with pytest.raises(AugmentError, match="not simulated"):
        world.robot(other)


def test_states_of_another_scene_are_not_drawn(world: World, episodes: list[Episode]) -> None:
    assert not world.simulated(replace(episodes[0], state=episodes[0].state[:, :-2]))


def test_without_a_scene_the_robot_is_what_moved_but_for_the_target(world: World, episodes: list[Episode]) -> None:
    recorded = replace(episodes[0], provenance={})
    guess, exact = world.robot_masks(recorded), world.robot_masks(episodes[0])["side"]
    assert not guess["wrist"].any()  # all moves before a camera that moves
    assert not (guess["side"] & recorded.masks["side"]).any()
    assert guess["side"].any()
    print((guess["side"] & exact).sum(), guess["side"].sum(), exact.sum())
    assert (guess["side"] & exact).sum() > 0.5 * guess["side"].sum()


def test_nothing_moved_in_a_picture_that_stays() -> None:
    still = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), np.uint8)
    pictures = np.repeat(still, 5, 0)
    assert not moved(pictures).any()
    pictures[2, 3, 4] ^= 255
    assert np.argwhere(moved(pictures))[:, 0].tolist() == [2]


@pytest.mark.parametrize("degrees", [-170, -33, 0, 5, 90])
def test_a_camera_survives_its_description(degrees: float) -> None:
    for camera in (rotated(SIDE, degrees), replace(rotated(SIDE, degrees), body="right_gripper")):
        again = described(as_camera("side", described(camera, SIZE)), SIZE)
        assert again.body == camera.body
        assert np.allclose(again.extrinsics, described(camera, SIZE).extrinsics, atol=1e-12)


def test_known_cameras_come_back_as_they_are() -> None:
    assert as_camera("side", described(SIDE, SIZE)) is SIDE
    assert as_camera("wrist", described(WRIST, 99)) is WRIST


@pytest.mark.parametrize("degrees", [-90, 12.5, 180])
def test_a_turn_about_the_base_is_rigid_and_can_be_undone(degrees: float) -> None:
    new = rotated(SIDE, degrees)
    assert np.isclose(np.linalg.norm(new.pos[:2]), np.linalg.norm(SIDE.pos[:2]))
    assert new.pos[2] == SIDE.pos[2]
    assert rotated(SIDE, 0) is SIDE
    back = rotated(new, -degrees)
    assert np.allclose([back.pos, back.at, back.up], [SIDE.pos, SIDE.at, SIDE.up])
    turn = np.radians(degrees)
    z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    assert np.allclose(new.extrinsics()[:3, :3], z @ SIDE.extrinsics()[:3, :3])


def test_provenance_that_names_another_size_or_nonsense_is_refused(world: World, episodes: list[Episode]) -> None:
    for camera in (asdict(described(SIDE, 2 * SIZE)), {"height": 3}, None, [1]):
        odd = replace(episodes[0], provenance={**episodes[0].provenance, "cameras": {"side": camera}})
        with pytest.raises(StoreError, match="side"):
            world.cameras(odd)


def test_a_camera_of_an_open_scene_can_be_set(world: World, episodes: list[Episode]) -> None:
    robot = world.robot(episodes[0])
    robot.aim(Camera("side", (1, 0, 1), (0.5, 0, 0), (0, 0, 1), 40))
    assert robot.model.camera("side").fovy[0] == 40
    assert world.robot(episodes[0]).model.camera("side").fovy[0] == SIDE.fovy
