"""The Inspire hand: its couplings, arcs and forces are those of its model, and what it closes on stays in it."""

import mujoco
import numpy as np
import pytest

from assets.toys import Part, Toy
from eval.trial import told_to_close
from hardware.api import Action
from sim.expert import Expert, ExpertConfig
from sim.grasp import closing, propose_grasps
from sim.path import HOVER
from sim.robots import ROBOTS
from sim.robots.inspire import INSPIRE, add_inspire
from sim.robots.inspire_arc import ALONG, CENTRE, COUPLED, DOWN, DRIVEN, FINGERS, RANGE, TIPS
from sim.scene import SceneConfig
from sim.simrobot import SimRobot

HANDS = [arm.name for arm in ROBOTS.values() if arm.hand is INSPIRE]
LYING = {
    "cube": Toy((Part("cuboid", (0.022, 0.022, 0.022)),), name="cube"),
    "ball": Toy((Part("sphere", (0.025,)),), name="ball"),
    "rod": Toy((Part("cuboid", (0.008, 0.06, 0.008)),), name="rod"),
    "plate": Toy((Part("cuboid", (0.035, 0.035, 0.008)),), name="plate"),
    "tall": Toy((Part("cylinder", (0.02, 0.06)),), name="tall"),
}


@pytest.fixture(scope="module")
def hand() -> mujoco.MjModel:
    """The hand alone, held at its wrist."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    spec.option.timestep, spec.option.integrator = 0.002, mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.gravity = [0, 0, 0]
    spec.worldbody.add_body(name="wrist")
    add_inspire(spec, "wrist", (1, 0, 0, 0))
    return spec.compile()


def moved(model: mujoco.MjModel, values: np.ndarray, seconds: float, start: np.ndarray | None = None) -> mujoco.MjData:
    """The hand after it was told `values` for some time, from `start` or from there."""
    data = mujoco.MjData(model)
    data.qpos[:] = INSPIRE.positions(values if start is None else start)[np.argsort(addresses(model))]
    data.ctrl[:] = INSPIRE.commands(values)
    mujoco.mj_step(model, data, nstep=round(seconds / model.opt.timestep))
    return data


def addresses(model: mujoco.MjModel) -> np.ndarray:
    return np.array([model.joint(name).qposadr[0] for name in INSPIRE.joints])


def drawn(rng: np.random.Generator) -> np.ndarray:
    """Values that let no two links touch: the thumb aside where the fingers bend."""
    return np.append(rng.uniform(0.7, 1, 2), rng.uniform(0, 1, 4))


def test_hands_are_there():
    assert HANDS == ["panda_inspire", "gr1_inspire"]


def test_positions_are_sensed_as_the_values_they_stand_for():
    rng = np.random.default_rng(0)
    for values in (np.zeros(6), np.ones(6), *rng.uniform(0, 1, (9, 6))):
        assert np.allclose(INSPIRE.sense(INSPIRE.positions(values)), values)
        assert np.allclose(INSPIRE.commands(values) + values * RANGE, RANGE)


def test_links_follow_and_what_is_sensed_is_what_was_told(hand):
    rng = np.random.default_rng(1)
    for _ in range(6):
        values = drawn(rng)
        data = moved(hand, values, 1.5, start=drawn(rng))
        position = data.qpos[addresses(hand)]
        assert np.abs(INSPIRE.sense(position) - values).max() < 0.03  # the friction of the screws over the stiffness of the motors
        driven = dict(zip(DRIVEN, position, strict=False))
        for name, (k, ratio) in COUPLED.items():
            assert data.joint(name).qpos[0] == pytest.approx(ratio * driven[DRIVEN[k]], abs=5e-3)


@pytest.mark.parametrize("preshape", range(len(INSPIRE.preshapes)))
def test_tips_meet_level_and_about_the_grip_site(hand, preshape):
    fingers = 1 if preshape == len(INSPIRE.preshapes) - 1 else 2
    steps = INSPIRE.closing(preshape, 0.01)
    assert 0 <= steps.values.min() <= steps.values.max() <= 1
    assert len(steps.values) == len(steps.lower)
    heights = []
    for values, lower in list(zip(steps.values, steps.lower, strict=True))[:9]:
        data = mujoco.MjData(hand)
        data.qpos[addresses(hand)] = INSPIRE.positions(values)
        mujoco.mj_kinematics(hand, data)
        there = {
            name: data.body(f"r_{name}_distal").xpos + data.body(f"r_{name}_distal").xmat.reshape(3, 3) @ TIPS[name][0] for name in TIPS
        }
        ends = {name: where @ DOWN + TIPS[name][1] for name, where in there.items()}
        assert abs(ends["thumb"] - ends["index"]) < 0.004
        heights.append(lower + max(ends[name] for name in ("thumb", *FINGERS[:fingers])))
        faces = [there["thumb"] @ ALONG + TIPS["thumb"][1], np.mean([there[name] @ ALONG - TIPS[name][1] for name in FINGERS[:fingers]])]
        assert np.mean(faces) == pytest.approx(CENTRE[0], abs=1e-3)
    assert faces[1] - faces[0] == pytest.approx(0.01, abs=1e-3)
    assert np.ptp(heights) < 1e-3  # with the arm, the lowest tip stays where it is


@pytest.mark.parametrize(("name", "force"), [("thumb", 15.0), *((finger, 10.0) for finger in FINGERS)])
def test_a_tip_presses_with_the_force_of_the_data_sheet(hand, name, force):
    inwards = ALONG if name == "thumb" else -ALONG
    bent = np.array([0.0, 0.8, 0.72, 0.72, 0.72, 0.72])
    shut = np.where(np.arange(6) == (1 if name == "thumb" else 2 + FINGERS.index(name)), 0.0, bent)

    def bend(told: np.ndarray, pushed: float) -> float:
        """How far the tip goes inwards in 0.2 s against a force [m]."""
        data = moved(hand, bent, 0.3)
        link = data.body(f"r_{name}_distal")
        before = link.xpos.copy()
        data.ctrl[:] = INSPIRE.commands(told)
        for _ in range(100):
            where = link.xpos + link.xmat.reshape(3, 3) @ TIPS[name][0]
            data.qfrc_applied[:] = 0
            mujoco.mj_applyFT(hand, data, -pushed * inwards, np.zeros(3), where, hand.body(f"r_{name}_distal").id, data.qfrc_applied)
            mujoco.mj_step(hand, data)
        return float((link.xpos - before) @ inwards)

    assert bend(shut, 0.5 * force) > 0.005  # it goes on against somewhat less
    assert abs(bend(shut, 1.15 * force)) < 0.003  # and stands against somewhat more
    if name == "thumb":
        assert bend(bent, 2 * force) > -0.006  # whose screw holds against three fingers


def test_a_hand_is_told_to_close_only_when_it_closes():
    for k, shape in enumerate(INSPIRE.preshapes):
        assert not told_to_close(np.array(shape.ready))
        for width in (0.005, 0.03, shape.room.opening - 0.01):
            assert told_to_close(INSPIRE.closing(k, width).values[-1])
    assert told_to_close(np.array([0.49]))
    assert not told_to_close(np.array([0.51]))


def test_grasps_of_a_hand_with_two_unlike_sides():
    with SimRobot(SceneConfig(LYING["rod"], size=32, cameras=(), robot="panda_inspire")) as robot:
        expert = Expert(robot)
        robot.place(np.zeros(2), np.random.default_rng(2), upright=True)
        first, second = expert.grasps(), expert.grasps()
        assert [(tuple(g.pos), g.yaw, g.preshape) for g in first] == [(tuple(g.pos), g.yaw, g.preshape) for g in second]
        assert {g.preshape for g in first} > {0, len(INSPIRE.preshapes) - 1}
        assert all(0 < g.width < INSPIRE.preshapes[g.preshape].room.opening for g in first)
        assert all(np.linalg.norm(g.pos[:2] - robot.object_pose[0][:2]) < 0.07 for g in first)


def test_half_a_turn_is_another_grasp():
    half = Toy((Part("cuboid", (0.02, 0.02, 0.02)), Part("cuboid", (0.04, 0.01, 0.01), (0.0, 0.01, 0.015))), name="step")
    with SimRobot(SceneConfig(half, size=32, cameras=(), robot="panda_inspire")) as robot:
        expert = Expert(robot)
        robot.place(np.zeros(2), np.random.default_rng(5), upright=True)
        turned = expert.grasps()
        assert any(abs(g.yaw) > np.pi / 2 for g in propose_grasps(expert._surface, INSPIRE.room, most=400))
        assert all(-np.pi <= g.yaw <= np.pi for g in turned)


@pytest.mark.parametrize("name", HANDS)
@pytest.mark.parametrize("toy", LYING.values(), ids=LYING)
def test_things_are_held_by_thumb_and_fingers(name, toy):
    with SimRobot(SceneConfig(toy, size=32, cameras=(), robot=name)) as robot:
        robot.place(np.array([0.02, -0.03]), np.random.default_rng(3), upright=True)
        expert = Expert(robot)
        found = expert.choose()
        assert found is not None
        grasp, path = found
        for target in path.targets:
            robot.command(Action(target[:7], target[7:]))
        assert robot.held
        touching = {
            robot.model.body(b).name
            for pair in robot.model.geom_bodyid[robot.data.contact.geom]
            if robot._object_body in pair
            for b in pair
        }
        assert "r_thumb_distal" in touching
        assert touching & {f"r_{finger}_distal" for finger in FINGERS}
        rise = robot.object_pose[0][2]
        for _ in range(40):  # 2 s more
            robot.command(Action(path.targets[-1, :7], path.targets[-1, 7:]))
        assert robot.held
        assert robot.object_pose[0][2] == pytest.approx(rise, abs=0.003)
        assert np.isclose(abs(robot.grip_pose[1][:, 1] @ closing(grasp.yaw)), 1, atol=1e-3)


@pytest.mark.parametrize("name", HANDS)
def test_the_way_down_is_straight_and_the_arm_follows_the_tips(name):
    with SimRobot(SceneConfig(LYING["rod"], size=32, cameras=(), robot=name)) as robot:
        robot.place(np.zeros(2), np.random.default_rng(4), upright=True)
        expert = Expert(robot, ExpertConfig(candidates=16))
        grasp, path = next(filter(None, ((g, p) if (p := expert.path(g, robot.qpos)) else None for g in expert.grasps())))
        solver = expert._router._ik
        steps = INSPIRE.closing(grasp.preshape, grasp.width)
        assert np.allclose(path.targets[path.close : path.lift, 7:], steps.values)
        assert np.allclose(path.targets[: path.close, 7:], INSPIRE.preshapes[grasp.preshape].ready)
        way = np.array([solver.forward(q)[0] for q in path.targets[path.descent - 1 : path.lift, :7]])
        assert np.abs(way[:, :2] - grasp.pos[:2]).max() < 2e-3
        assert way[0, 2] == pytest.approx(grasp.pos[2] - steps.lower[0] + HOVER, abs=2e-3)
        assert np.allclose(way[-len(steps.lower) :, 2], grasp.pos[2] - steps.lower, atol=2e-3)
