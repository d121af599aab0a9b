"""The same laws for every embodiment: limits, gravity, contacts, repeats, and that what is held is held."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
import pytest

from assets.toys import ToySet
from episodes import Episode
from hardware.api import Action, RobotError
from sim.errors import SceneError
from sim.expert import Expert, ExpertConfig
from sim.rerender import replay
from sim.robots import ROBOTS, find_robot
from sim.scene import SceneConfig
from sim.simrobot import SimRobot

TOYS = ToySet.sample(7, 2).toys
STATE = mujoco.mjtState.mjSTATE_FULLPHYSICS
CLEAN = ExpertConfig(start_noise=0, path_noise=0, retries=0)
"""Of a grasp as the expert means it; its demonstrations are disturbed on purpose."""
DEEP = 0.003
"""Nothing is pressed deeper than this into anything [m]."""


@dataclass(frozen=True)
class Played:
    """One robot, what it demonstrated, disturbed, and what it grasped, undisturbed."""

    name: str
    robots: list[SimRobot]
    demonstrations: list[Episode]
    grasps: list[Episode]


def first(robot: SimRobot, config: ExpertConfig | None = None) -> Episode:
    """The first demonstration that succeeds."""
    expert = Expert(robot, config)
    made = (expert.demonstrate(np.random.default_rng(seed)) for seed in range(8))
    return next(episode for episode in made if episode is not None)


@pytest.fixture(scope="module", params=ROBOTS)
def played(request):
    robots = [SimRobot(SceneConfig(toy, size=32, cameras=(), robot=request.param)) for toy in TOYS]
    for robot in robots:
        robot.connect()
    yield Played(request.param, robots, [first(robot) for robot in robots[:1]], [first(robot, CLEAN) for robot in robots])
    for robot in robots:
        robot.close()


def test_joints_stay_within_their_ranges_and_speeds(played: Played) -> None:
    for robot, episode in zip(played.robots, played.demonstrations, strict=False):
        model, data, arm = robot.model, mujoco.MjData(robot.model), robot.arm
        low, high = (limit[: len(arm.joints)] for limit in robot.limits)
        dofs = [model.joint(name).dofadr[0] for name in arm.joints]
        for state in episode.state:
            mujoco.mj_setState(model, data, state, STATE)
            q = np.array([data.joint(name).qpos[0] for name in arm.joints])
            assert ((low <= q) & (q <= high)).all()
            assert (np.abs(data.qvel[dofs]) <= arm.speed).all()
        assert (np.abs(np.diff(episode.qpos, axis=0)) <= np.array(arm.speed) * episode.dt).all()


def test_the_hand_stays_within_its_range(played: Played) -> None:
    for robot, episode in zip(played.robots, played.demonstrations, strict=False):
        model, data = robot.model, mujoco.MjData(robot.model)
        ranges = np.array([model.joint(name).range for name in robot.arm.hand.joints])
        unit = [0.01 if model.joint(name).type[0] == mujoco.mjtJoint.mjJNT_HINGE else 0.001 for name in robot.arm.hand.joints]
        for state in episode.state:
            mujoco.mj_setState(model, data, state, STATE)
            q = np.array([data.joint(name).qpos[0] for name in robot.arm.hand.joints])
            assert (q >= ranges[:, 0] - unit).all()  # stops give a little
            assert (q <= ranges[:, 1] + unit).all()


def test_what_is_sent_is_within_the_limits_and_what_is_far_is_brought_to_them(played: Played) -> None:
    robot = played.robots[0]
    low, high = robot.limits
    for episode in played.demonstrations:
        assert ((low - 1e-6 <= episode.sent) & (episode.sent <= high + 1e-6)).all()
        assert ((episode.gripper >= 0) & (episode.gripper <= 1)).all()
    robot.home()
    n = len(robot.arm.joints)
    sent = robot.command(Action(high[:n] + 1, high[n:] + 1))
    assert np.array_equal(np.append(sent.qpos, sent.gripper), high)


def test_gravity_is_held(played: Played) -> None:
    robot = played.robots[0]
    robot.home()
    places = [robot.model.joint(name).qposadr[0] for name in (*robot.arm.joints, *robot.arm.hand.joints)]
    before = robot.data.qpos[places].copy()
    for _ in range(20):
        robot.command(Action(np.array(robot.arm.home), robot.arm.hand.ready))
    assert np.abs(robot.data.qpos[places] - before).max() < 1e-3


def test_nothing_is_pressed_deep_into_anything(played: Played) -> None:
    for robot, episode in zip(played.robots, played.grasps, strict=True):
        depth, where = _pressing(robot, episode)
        assert depth < DEEP, f"{1e3 * depth:.1f} mm: {where}"


def test_the_robot_touches_neither_the_table_nor_itself_on_the_way(played: Played) -> None:
    for robot, episode in zip(played.robots, played.grasps, strict=True):
        model, data = robot.model, mujoco.MjData(robot.model)
        base = model.body_rootid[model.jnt_bodyid[model.joint(robot.arm.joints[0]).id]]
        for state in episode.state[:-1]:
            mujoco.mj_setState(model, data, state, STATE)
            mujoco.mj_fwdPosition(model, data)
            for contact in data.contact:
                bodies = model.geom_bodyid[contact.geom]
                ours = model.body_rootid[bodies] == base
                if model.body_weldid[bodies].any() and model.body("object").id not in bodies and contact.dist < -1e-4:
                    assert ours.all(), f"{model.body(bodies[ours][0]).name} touches the table"
                    hand = [_of_the_hand(robot, int(body)) for body in bodies]
                    assert all(hand), f"{' and '.join(model.body(body).name for body in bodies)} touch"  # fingers may meet


def test_seeds_repeat(played: Played) -> None:
    with SimRobot(played.robots[0].config) as robot:
        again = first(robot)
    for name in ("state", "qpos", "gripper", "actions", "sent", "labelled"):
        assert np.array_equal(getattr(again, name), getattr(played.demonstrations[0], name)), name


def test_what_was_sent_replays_to_the_same_states(played: Played) -> None:
    for robot, episode in zip(played.robots, played.demonstrations, strict=False):
        assert np.array_equal(replay(robot, episode), episode.state)


def test_what_is_sensed_is_what_was_commanded(played: Played) -> None:
    robot = played.robots[0]
    hand, rng = robot.arm.hand, np.random.default_rng(0)
    free = [np.array(preshape.ready) for preshape in hand.preshapes]
    free += [(values + hand.closing(k, 0.04).values[-1]) / 2 for k, values in enumerate(free)]
    robot.home()
    for values in free:
        qpos = np.array(robot.arm.home) + rng.uniform(-0.1, 0.1, len(robot.arm.home))
        for _ in range(40):
            robot.command(Action(qpos, values))
        seen = robot.observe()
        assert seen.qpos == pytest.approx(qpos, abs=2e-3)
        assert seen.gripper == pytest.approx(values, abs=0.02)


def test_values_of_the_hand_come_back_from_where_its_joints_are(played: Played) -> None:
    hand, rng = played.robots[0].arm.hand, np.random.default_rng(0)
    for values in rng.random((20, len(hand.values))):
        assert hand.sense(hand.positions(values)) == pytest.approx(values, abs=1e-6)


def test_what_is_held_is_held_from_both_sides_and_stays(played: Played) -> None:
    for robot, episode in zip(played.robots, played.grasps, strict=True):
        robot.set_state(episode.state[-1])
        n, sent = len(robot.arm.joints), episode.sent[-1].astype(float)
        before = _in_the_grip(robot)
        for _ in range(20):
            robot.command(Action(sent[:n], sent[n:]))
            assert robot.held
        assert np.linalg.norm(_in_the_grip(robot) - before) < 0.004
        assert min(_pressed(robot)) > 0.5


def test_without_fingers_around_it_nothing_is_held(played: Played) -> None:
    robot = played.robots[0]
    robot.place(np.zeros(2), np.random.default_rng(0))
    assert not robot.held
    assert robot.force == 0


def test_the_wrist_camera_sees_what_is_about_to_be_grasped(played: Played) -> None:
    episode = played.grasps[0]
    ready = np.isclose(episode.sent[:, len(find_robot(played.name).joints) :], episode.sent[0, -episode.gripper.shape[1] :]).all(axis=1)
    before = int(np.argmin(ready)) - 1  # the last step before it closes
    with SimRobot(SceneConfig(TOYS[0], size=64, robot=played.name)) as robot:
        robot.set_state(episode.state[before])
        seen = robot.observe()
    assert seen.masks["wrist"].mean() > 0.02
    assert seen.masks["side"].any()


def test_another_robots_command_is_refused(played: Played) -> None:
    robot = played.robots[0]
    n, m = len(robot.arm.joints), len(robot.arm.hand.values)
    with pytest.raises(RobotError, match=f"{played.name} takes {n} joints and {m} gripper value"):
        robot.command(Action(np.zeros(n + 1), np.zeros(m)))


def test_an_unknown_robot_is_refused_by_name() -> None:
    with pytest.raises(SceneError, match="'pandas' is unknown; known: panda, "):
        find_robot("pandas")
    with pytest.raises(SceneError, match="'pandas' is unknown"):
        SceneConfig(TOYS[0], robot="pandas")


@pytest.mark.slow
@pytest.mark.parametrize("name", ROBOTS)
def test_most_toys_are_solved_and_hardly_any_grasp_presses_deep(name: str) -> None:
    hand = len(find_robot(name).hand.values) > 1
    depths = []
    for k, toy in enumerate(ToySet.sample(1, 40).toys):
        with SimRobot(SceneConfig(toy, size=32, cameras=(), robot=name)) as robot:
            expert = Expert(robot, CLEAN)
            made = (expert.demonstrate(np.random.default_rng([k, attempt])) for attempt in range(3))
            episode = next((episode for episode in made if episode is not None), None)
            if episode is not None:
                depths.append(_pressing(robot, episode)[0])
    assert len(depths) >= (32 if hand else 38)
    assert np.mean(np.array(depths) < DEEP) >= 0.9  # a wedge under a pad is pressed into the table


def _pressing(robot: SimRobot, episode: Episode) -> tuple[float, str]:
    """Greatest depth of anything that moves in anything else, at any control step [m], and where."""
    model, data = robot.model, mujoco.MjData(robot.model)
    deepest, where = 0.0, ""
    for t, state in enumerate(episode.state[:-1]):
        mujoco.mj_setState(model, data, state, STATE)
        mujoco.mj_fwdPosition(model, data)
        for contact in data.contact:
            bodies = model.geom_bodyid[contact.geom]
            if model.body_weldid[bodies].any() and -contact.dist > deepest:  # the table and the arm's foot stand where they stand
                deepest, where = -contact.dist, f"step {t}, {' and '.join(model.body(body).name for body in bodies)}"
    return deepest, where


def _of_the_hand(robot: SimRobot, body: int) -> bool:
    """Whether joints of the hand move a body."""
    model = robot.model
    moved = {int(model.jnt_bodyid[model.joint(name).id]) for name in robot.arm.hand.joints}
    while body and body not in moved:
        body = int(model.body_parentid[body])
    return body in moved


def _in_the_grip(robot: SimRobot) -> np.ndarray:
    """Where the object is in the frame of the grip, (3,) [m]."""
    pos, rotation = robot.grip_pose
    return rotation.T @ (robot.object_pose[0] - pos)


def _pressed(robot: SimRobot) -> list[float]:
    """Sum of the normal forces on the object by either side of the hand [N]."""
    model, data = robot.model, robot.data
    total = [0.0, 0.0]
    for k, contact in enumerate(data.contact):
        bodies = [int(body) for body in model.geom_bodyid[contact.geom]]
        for side, names in enumerate(robot.arm.hand.sides):
            carried = {model.body(name).id for name in names}
            if model.body("object").id in bodies and any(_carried(model, body, carried) for body in bodies):
                wrench = np.empty(6)
                mujoco.mj_contactForce(model, data, k, wrench)
                total[side] += wrench[0]
    return total


def _carried(model: mujoco.MjModel, body: int, by: set[int]) -> bool:
    while body and body not in by:
        body = int(model.body_parentid[body])
    return body in by
