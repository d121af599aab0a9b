"""A disturbed robot: late, noisy and with faulty masks for the policy, true for the judge."""

import copy

import mujoco
import numpy as np
import pytest

from assets.toys import sample_toy
from hardware.api import Action
from sim.disturbed import Disturbed, open_robot
from sim.errors import SceneError
from sim.robots import PANDA
from sim.scene import SceneConfig
from sim.simrobot import SimRobot
from sim.variation import PLAIN, Variation, vary
from sim.variation.maskfault import MaskFault
from sim.variation.sensor import Sensor

TOY = sample_toy(np.random.default_rng(3))
HOME = np.array(PANDA.home)
XY = np.array([0.02, -0.03])
SHOULDER, ELBOW = np.eye(7)[[1, 3]]


def opened(variation: Variation, size: int = 32) -> SimRobot | Disturbed:
    return open_robot(SceneConfig(TOY, size=size, variation=variation))


def run(robot: SimRobot | Disturbed, steps: int) -> list:
    """Places, then goes down while it is looked at; the observation before each step."""
    robot.place(XY, np.random.default_rng(1), upright=True)
    seen = []
    for t in range(steps):
        seen.append(robot.observe())
        robot.command(Action(HOME + 0.02 * t * SHOULDER, np.array([1 - 0.05 * t])))
    return [*seen, robot.observe()]


def same(one, two) -> bool:
    images = all(np.array_equal(one.images[k], two.images[k]) and np.array_equal(one.masks[k], two.masks[k]) for k in one.images)
    return images and np.array_equal(one.qpos, two.qpos) and np.array_equal(one.gripper, two.gripper) and one.time == two.time


def test_only_what_disturbs_sensing_or_acting_is_wrapped():
    assert isinstance(opened(PLAIN), SimRobot)
    assert isinstance(opened(vary("light", 1.0, 0)), SimRobot)
    assert all(isinstance(opened(vary(name, 0.5, 0)), Disturbed) for name in ("start", "delay", "action_noise", "noise", "mask_box"))


def test_a_delayed_observation_is_exactly_that_of_so_many_steps_before():
    with opened(PLAIN) as plain, opened(Variation(delay=3)) as late:
        now, then = run(plain, 6), run(late, 6)
    for t in range(7):
        assert same(then[t], now[max(0, t - 3)])
    assert not same(then[6], now[6])


def test_remembering_leaves_the_present_alone():
    with opened(PLAIN) as robot:
        assert isinstance(robot, SimRobot)
        run(robot, 2)
        before, state = robot.observe(), robot.state()
        robot.command(Action(HOME + 0.1, np.zeros(1)))
        after = robot.observe()
        assert same(robot.sensed(state), before)
        assert same(robot.observe(), after)


def test_noise_on_actions_has_its_size_and_comes_back_the_same():
    with opened(Variation(action_noise=0.02, seed=7)) as robot:
        tries = []
        for _ in range(2):
            robot.place(XY, np.random.default_rng(1))
            tries.append(np.array([robot.command(Action(HOME, np.full(1, 0.5))).qpos for _ in range(60)]))
    assert np.array_equal(*tries)
    assert (tries[0] - HOME).std() == pytest.approx(0.02, rel=0.15)


def test_the_arm_starts_elsewhere_and_the_object_does_not():
    made = vary("start", 1.0, 4)
    with opened(PLAIN) as plain, opened(made) as moved:
        for robot in (plain, moved):
            robot.place(XY, np.random.default_rng(1))
        assert moved.qpos - plain.qpos == pytest.approx(np.array(made.start), abs=0.01)
        for one, two in zip(plain.object_pose, moved.object_pose, strict=True):
            assert one == pytest.approx(two, abs=1e-6)


def test_no_start_touches_anything():
    with opened(PLAIN) as robot:
        assert isinstance(robot, SimRobot)
        for seed in range(15):
            robot.place(XY, np.random.default_rng(1), upright=True, start=HOME + vary("start", 1.0, seed).start)
            assert robot.force == 0
            assert robot.grip_pose[0][2] > 0.1


def test_masks_and_pictures_are_disturbed_for_the_policy_alone():
    made = Variation(mask=MaskFault(dilate=0.4), sensor=Sensor(0.3, 0.01, 20.0, 5))
    with opened(PLAIN, 64) as plain, opened(made, 64) as robot:
        for one in (plain, robot):
            one.place(XY, np.random.default_rng(1), upright=True)
        true, seen = plain.observe(), robot.observe()
        assert same(seen, robot.observe())
        for name in ("side", "wrist"):
            assert (seen.masks[name] & true.masks[name]).sum() == true.masks[name].sum()
            assert seen.masks[name].sum() > true.masks[name].sum()
            assert np.abs(seen.images[name].astype(float) - true.images[name]).mean() > 5
            assert np.array_equal(robot.mask(name), true.masks[name])
            assert np.array_equal(robot.picture(name), true.images[name])


def test_everything_else_is_the_robots_own():
    robot = opened(vary("delay", 0.5, 0))
    assert isinstance(robot, Disturbed)
    robot.stop()
    assert isinstance(copy.copy(robot), Disturbed)
    with robot as connected:
        connected.place(XY, np.random.default_rng(1))
        assert connected.dt == connected.robot.dt
        assert connected.held is connected.robot.held
        assert connected.state().shape == connected.robot.state().shape
        assert np.array_equal(connected.limits, connected.robot.limits)
    with pytest.raises(AttributeError):
        _ = robot.nonsense


def test_force_is_that_of_the_contacts_of_the_robot():
    with opened(PLAIN) as robot:
        assert isinstance(robot, SimRobot)
        robot.place(XY, np.random.default_rng(1), upright=True)
        assert robot.force == 0, "the object on the table is none of the robot's"
        model, touched = robot.model, 0
        arm = model.body_rootid[model.jnt_bodyid[model.joint("joint1").id]]
        for t in range(60):
            robot.command(Action(HOME + 0.03 * t * SHOULDER + 0.01 * t * ELBOW, np.zeros(1)))
            total, wrench = 0.0, np.empty(6)
            for k, contact in enumerate(robot.data.contact):
                if (model.body_rootid[model.geom_bodyid[contact.geom]] == arm).sum() == 1:
                    mujoco.mj_contactForce(model, robot.data, k, wrench)
                    total += wrench[0]
            assert robot.force == pytest.approx(total)
            touched += total > 1
        assert touched > 3


def test_a_disturbance_that_cannot_be_is_refused():
    with pytest.raises(SceneError, match="delay"):
        Variation(delay=-1)
    with pytest.raises(SceneError, match="action_noise"):
        Variation(action_noise=float("nan"))
