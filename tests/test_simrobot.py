"""The simulated robot keeps the contract of hardware.api, and simulates soundly."""

import mujoco
import numpy as np
import pytest

from assets.graspable import CONTACT
from assets.toys import ToySet, sample_toy
from hardware.api import Action, ActionChunk, ActionError, Observation, RobotError
from hardware.rollout import Ending, rollout
from sim.errors import PlacementError, SceneError
from sim.scene import WORKSPACE, SceneConfig
from sim.simrobot import SimRobot
from sim.support import lowest


@pytest.fixture(scope="module")
def robot():
    with SimRobot(SceneConfig(sample_toy(np.random.default_rng(3)))) as connected:
        yield connected


def place(robot: SimRobot, seed: int = 0, xy: tuple[float, float] = (0.02, -0.03), **options) -> None:
    robot.place(np.array(xy), np.random.default_rng(seed), **options)


def test_refuses_to_work_before_it_is_connected():
    with pytest.raises(RobotError, match="not connected"):
        SimRobot(SceneConfig(sample_toy(np.random.default_rng(0)))).observe()


def test_stop_works_before_connecting_and_twice():
    robot = SimRobot(SceneConfig(sample_toy(np.random.default_rng(0))))
    robot.stop()
    robot.stop()


def test_observation_has_the_contracts_shapes(robot):
    place(robot)
    seen = robot.observe()
    for name in ("side", "wrist"):
        assert seen.images[name].shape == (128, 128, 3)
        assert seen.images[name].dtype == np.uint8
        assert seen.masks[name].shape == (128, 128)
        assert seen.masks[name].dtype == bool
    assert seen.qpos.shape == (7,)
    assert seen.gripper.shape == (1,)
    assert seen.gripper[0] == pytest.approx(1, abs=0.02)


def test_both_cameras_see_the_object_all_over_the_workspace(robot):
    for x in (-0.1, 0.1):
        for y in (-0.1, 0.1):
            place(robot, xy=(x, y), upright=True)
            masks = robot.observe().masks
            assert masks["side"].sum() > 12
            assert masks["wrist"].sum() > 6


def test_mask_marks_what_the_object_hides(robot):
    place(robot)
    seen = robot.observe()
    robot.data.qpos[robot.model.joint("object").qposadr[0]] = 50.0  # far behind the camera
    mujoco.mj_forward(robot.model, robot.data)
    without = robot.observe()
    for name, mask in seen.masks.items():
        changed = (seen.images[name] != without.images[name]).any(axis=2)
        assert not changed[~mask].any()
        assert changed[mask].mean() > 0.9
        assert not without.masks[name].any()


def test_pictures_are_the_right_way_up(robot):
    place(robot)
    robot.set_state(robot.state())
    low = _row_of_object(robot)
    pose = robot.data.qpos[robot.model.joint("object").qposadr[0] :][:3]
    pose[2] += 0.08
    mujoco.mj_forward(robot.model, robot.data)
    assert _row_of_object(robot) < low - 5


def _row_of_object(robot: SimRobot) -> float:
    return float(np.nonzero(robot.mask("side"))[0].mean())


def test_placing_is_a_function_of_its_generator(robot):
    place(robot, seed=5)
    first = robot.state()
    place(robot, seed=5)
    assert np.array_equal(first, robot.state())
    place(robot, seed=6)
    assert not np.array_equal(first, robot.state())


def test_placed_object_rests_on_the_table(robot):
    place(robot)
    before = robot.object_pose[0]
    for _ in range(20):
        robot.command(Action(np.array(robot.arm.home), np.ones(1)))
    after = robot.object_pose[0]
    assert np.linalg.norm(after - before) < 0.005
    assert np.abs(after[:2] - WORKSPACE).max() < 0.15


@pytest.mark.parametrize("toy", ToySet.sample(11, 8).toys, ids=lambda toy: toy.name)
def test_objects_start_at_rest_on_the_table(toy):
    with SimRobot(SceneConfig(toy, size=32)) as robot:
        for seed in range(3):
            place(robot, seed=seed)
            before = robot.object_pose[0]
            for _ in range(10):
                robot.command(Action(np.array(robot.arm.home), np.ones(1)))
            assert np.linalg.norm(robot.object_pose[0] - before) < 0.01


def test_lowest_point_touches_the_table_when_brought_to_it(robot):
    place(robot)
    rng = np.random.default_rng(0)
    for _ in range(5):
        pose = robot.data.qpos[robot.model.joint("object").qposadr[0] :][:7]
        pose[2], pose[3:] = 1.0, rng.normal(size=4)
        pose[3:] /= np.linalg.norm(pose[3:])
        mujoco.mj_forward(robot.model, robot.data)
        geoms = [g for g in range(robot.model.ngeom) if robot.model.geom_bodyid[g] == robot.model.body("object").id]
        geoms = [g for g in geoms if robot.model.geom_group[g] == CONTACT]
        low = min(lowest(robot.model, robot.data, g) for g in geoms)
        pose[2] -= low
        mujoco.mj_forward(robot.model, robot.data)
        touching = min(mujoco.mj_geomDistance(robot.model, robot.data, g, robot.model.geom("table").id, 0.1, None) for g in geoms)
        assert touching == pytest.approx(0, abs=5e-4)


def test_tracks_joint_targets_and_holds_against_gravity(robot):
    place(robot)
    goal = np.array(robot.arm.home) + np.array([0.2, 0.1, -0.1, 0.1, 0.1, -0.1, 0.2])
    for _ in range(40):
        robot.command(Action(goal, np.ones(1)))
    assert np.abs(robot.qpos - goal).max() < 0.01


def test_jaw_opens_and_closes_all_the_way(robot):
    place(robot)
    for target in (0.0, 1.0, 0.5):
        for _ in range(20):
            robot.command(Action(np.array(robot.arm.home), np.array([target])))
        assert robot.gripper[0] == pytest.approx(target, abs=0.03)


def test_commands_beyond_the_range_are_brought_to_it(robot):
    place(robot)
    low, high = robot.limits
    sent = robot.command(Action(np.full(7, 99.0), np.array([7.0])))
    assert np.allclose(np.append(sent.qpos, sent.gripper), high)
    sent = robot.command(Action(np.full(7, -99.0), np.array([-7.0])))
    assert np.allclose(np.append(sent.qpos, sent.gripper), low)


def test_refuses_actions_of_another_robot(robot):
    with pytest.raises(RobotError, match="takes 7 joints"):
        robot.command(Action(np.zeros(6), np.ones(1)))


def test_state_can_be_put_back_and_replayed_exactly(robot):
    place(robot)
    start = robot.state()
    rng = np.random.default_rng(0)
    targets = np.array(robot.arm.home) + rng.normal(size=(10, 7)) * 0.05

    def play() -> np.ndarray:
        robot.set_state(start)
        for target in targets:
            robot.command(Action(target, np.ones(1)))
        return robot.state()

    assert np.array_equal(play(), play())


def test_state_of_another_scene_is_refused(robot):
    with pytest.raises(RobotError, match="a state of this scene has"):
        robot.set_state(np.zeros(3))


def test_an_object_off_the_table_is_a_placement_error(robot):
    with pytest.raises(PlacementError, match="rolled away"):
        robot.place(np.array([0.0, 0.9]), np.random.default_rng(0))


@pytest.mark.parametrize(("field", "value"), [("size", 4), ("rate", 33.0)])
def test_impossible_scenes_are_refused(field, value):
    with pytest.raises(SceneError, match=field):
        SceneConfig(sample_toy(np.random.default_rng(0)), **{field: value})


class Constant:
    """A policy that always says the same."""

    def __init__(self, qpos: np.ndarray) -> None:
        self.qpos = qpos

    def reset(self, instruction: str) -> None: ...

    def predict(self, observation: Observation) -> ActionChunk:
        return ActionChunk(np.repeat(self.qpos[None], 4, axis=0), np.ones((4, 1)))


def test_nan_from_a_policy_ends_the_rollout_and_never_reaches_the_simulator(robot):
    place(robot)
    ran = rollout(robot, Constant(np.full(7, np.nan)), steps=10, execute=2)
    assert ran.ending is Ending.REFUSED
    assert ran.steps == 0
    assert np.isfinite(robot.state()).all()
    with pytest.raises(ActionError):
        Action(np.full(7, np.inf), np.ones(1))


def test_rollout_asks_again_after_execute_steps(robot):
    place(robot)
    asked = []
    ran = rollout(robot, Constant(np.array(robot.arm.home)), steps=10, execute=3, watch=lambda t, seen: asked.append(t))
    assert ran.ending is Ending.TIMEOUT
    assert asked == [0, 3, 6, 9]
