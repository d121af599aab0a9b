"""The expert grasps what it is given, the same way each time, and its episodes replay."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from assets.objects import open_objects
from assets.toys import ToySet
from hardware.api import Action
from sim.errors import SceneError
from sim.expert import Expert, ExpertConfig
from sim.grasp import closing, propose_grasps
from sim.ik import InverseKinematics, down
from sim.rerender import replay, rerender
from sim.robots import PANDA
from sim.scene import SceneConfig
from sim.simrobot import SimRobot

TOYS = ToySet.sample(7, 6).toys


@pytest.fixture(scope="module")
def robot():
    with SimRobot(SceneConfig(TOYS[0], size=32)) as connected:
        yield connected


@pytest.fixture(scope="module")
def episode(robot):
    made = (Expert(robot).demonstrate(np.random.default_rng(k)) for k in range(9))
    return next(e for e in made if e is not None)


def test_inverse_kinematics_inverts(robot):
    solver = InverseKinematics(robot.model, robot.arm.joints, robot.arm.home)
    rng = np.random.default_rng(0)
    for _ in range(20):
        goal, yaw = np.array([0.5, 0, 0.2]) + rng.uniform(-0.1, 0.1, 3), rng.uniform(-1.5, 1.5)
        q, reached = solver.solve(goal, yaw, np.array(robot.arm.home))
        assert reached
        robot.home(q)
        pos, rotation = robot.grip_pose
        assert np.linalg.norm(pos - goal) < 2e-3
        assert abs(rotation[:, 1] @ closing(yaw)) == pytest.approx(1, abs=1e-3)


def test_home_points_down(robot):
    robot.home()
    assert np.allclose(robot.grip_pose[1][:, 2], [0, 0, -1], atol=1e-3)
    assert np.linalg.norm(down(0.3)) == pytest.approx(1)


def test_grasps_are_a_function_of_the_pose(robot):
    expert = Expert(robot)
    robot.place(np.zeros(2), np.random.default_rng(1))
    first, second = expert.grasps(), expert.grasps()
    assert first
    assert [(tuple(g.pos), g.yaw) for g in first] == [(tuple(g.pos), g.yaw) for g in second]
    assert all(a.score >= b.score for a, b in pairwise(first))
    assert all(0 < g.width < PANDA.hand.room.opening for g in first)


def test_grasps_move_with_the_object(robot):
    expert = Expert(robot)
    robot.place(np.zeros(2), np.random.default_rng(1))
    pos, quat = robot.object_pose
    here = expert.grasps()[0]
    expert._surface.move(pos + np.array([0.006, -0.012, 0]), quat)
    there = propose_grasps(expert._surface)[0]
    assert np.linalg.norm(there.pos - here.pos - [0.006, -0.012, 0]) < 0.007


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)
def test_every_toy_is_lifted_by_the_grasp_it_chose(toy):
    with SimRobot(SceneConfig(toy, size=32)) as robot:
        expert = Expert(robot)
        for seed in range(4):
            robot.place(np.zeros(2), np.random.default_rng(seed))
            chosen = expert.choose()
            if chosen is not None:
                break
        assert chosen is not None
        rest = robot.object_pose[0][2]
        for target in chosen[1].targets:
            robot.command(Action(target[:-1], target[-1:]))
        assert robot.held
        assert robot.object_pose[0][2] > rest + 0.1


def test_meshes_are_grasped_too():
    can = next(o for o in open_objects("household").objects if "can" in o.name)
    with SimRobot(SceneConfig(can, size=32)) as robot:
        robot.place(np.zeros(2), np.random.default_rng(0))
        assert Expert(robot).choose() is not None


def test_an_episode_replays_to_the_same_state(robot, episode):
    assert episode.success
    assert np.array_equal(replay(robot, episode), episode.state)


def test_labels_lead_back_to_the_path(episode):
    error = np.abs(episode.sent - episode.actions)[episode.labelled]
    assert error[: len(error) // 3].max() > 0.005  # disturbed on the way
    assert error[-20:].max() < 1e-5  # undisturbed at the end


def test_no_noise_no_retries_is_the_nominal_path(robot):
    config = ExpertConfig(start_noise=0, path_noise=0, retries=0)
    episode = Expert(robot, config).demonstrate(np.random.default_rng(1))
    assert episode is not None
    assert np.allclose(episode.sent, episode.actions, atol=1e-5)
    assert episode.labelled.all()


def test_a_retry_opens_again_and_hides_the_sabotage(robot):
    expert = Expert(robot, ExpertConfig(retries=1.0))
    episode = next(e for e in (expert.demonstrate(np.random.default_rng(k)) for k in range(20)) if e is not None)
    jaw = episode.sent[:, -1] > 0.5
    assert (np.diff(jaw.astype(int)) == 1).sum() == 1  # closed, opened, closed
    assert not episode.labelled.all()
    shut = np.flatnonzero(~jaw)[0]
    assert not episode.labelled[shut]
    assert episode.labelled[-30:].all()
    assert episode.provenance["attempts"] == 2


def test_rendering_again_gives_the_same_pictures(robot, episode):
    again = rerender(episode, robot, robot.config.cameras)
    for name in episode.images:
        assert np.array_equal(again.images[name], episode.images[name])
        assert np.array_equal(again.masks[name], episode.masks[name])


def test_rendering_from_elsewhere_leaves_all_else_alone(robot, episode):
    side = robot.config.cameras[0]
    moved = replace(side, name="moved", pos=(1.0, -0.36, 0.5))
    again = rerender(episode, robot, (moved,))
    assert list(again.images) == ["moved"]
    assert again.images["moved"].shape == episode.images["side"].shape
    assert np.array_equal(again.actions, episode.actions)
    assert not np.array_equal(again.images["moved"], episode.images["side"])


def test_impossible_settings_are_refused():
    with pytest.raises(SceneError, match="retries"):
        ExpertConfig(retries=2)
    with pytest.raises(SceneError, match="area"):
        ExpertConfig(area=-1)
    with pytest.raises(SceneError, match=r"within 0\.15 m"):
        ExpertConfig(area=0.4)
