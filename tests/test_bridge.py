"""The bridge to robosuite: our objects keep their physics there, their tasks keep our contract."""

import subprocess
import sys
from dataclasses import replace
from types import ModuleType
from typing import Any

import mujoco
import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from assets.graspable import CONTACT
from assets.objects.household import Household
from assets.toys import ToySet
from eval.errors import EvalError
from eval.evaluate import Cell, Crew, EvalConfig, evaluate
from eval.references import Reference
from eval.references.heuristic import Heuristic
from eval.replay import replay
from eval.robosuite_suite import TASKS, Lab, lab_for, moved
from eval.sources import open_source, open_suite
from eval.trial import Rules, run_trial
from hardware.api import Action, RobotError
from policies.contract import Contract
from policies.errors import PolicyError
from sim.camera import SIDE, WRIST, described, rotated
from sim.errors import SceneError
from sim.robots import PANDA
from sim.scene import WORKSPACE, SceneConfig
from sim.simrobot import SimRobot

TOY = ToySet.sample(0, 3).toys[2]
HOME = np.array(PANDA.home)
XY = (0.04, -0.05)


@pytest.fixture(scope="module")
def bridge():
    import sim.bridge

    return sim.bridge


@pytest.fixture(scope="module")
def lift(bridge):
    with bridge.RobosuiteRobot("Lift") as robot:
        yield robot


@pytest.fixture(scope="module")
def grasp(bridge):
    """CezanneGrasp, small and without cameras."""
    env = bridge.wheel.robosuite.make("CezanneGrasp", robots="Panda", objects=(TOY,), seed=5, reward_shaping=True, **BARE)
    yield env
    env.close()


BARE = {"use_camera_obs": False, "has_offscreen_renderer": False}


def place(robot, seed: int = 1, xy: tuple[float, float] = XY) -> None:
    robot.place(np.array(xy), np.random.default_rng(seed))


# --- objects


@pytest.mark.parametrize("item", [*ToySet.sample(4, 3).toys, Household("can"), Household("milk")], ids=lambda item: item.name)
def test_an_object_keeps_its_mass_inertia_shape_and_contacts(bridge, item) -> None:
    from robosuite.models.world import MujocoWorldBase

    thing, world = bridge.Thing(item), MujocoWorldBase()
    world.worldbody.append(thing.get_obj())
    world.merge_assets(thing)
    theirs, ours = world.get_model(), item.spec().compile()
    a, b = theirs.body(thing.root_body), ours.body("object")
    assert a.mass == pytest.approx(b.mass, rel=1e-5)
    assert a.inertia == pytest.approx(b.inertia, rel=1e-4)
    assert a.ipos == pytest.approx(b.ipos, abs=1e-6)
    touched = [theirs.geom(name).id for name in thing.contact_geoms]
    known = [g for g in range(ours.ngeom) if ours.geom_group[g] == CONTACT]
    assert len(touched) == len(known)
    assert {int(theirs.geom_group[g]) for g in touched} == {0}
    for field in ("geom_friction", "geom_condim", "geom_solref", "geom_solimp", "geom_aabb"):
        np.testing.assert_allclose(getattr(theirs, field)[touched], getattr(ours, field)[known], rtol=1e-5, atol=1e-6)


def test_what_is_no_object_of_ours_is_refused(bridge) -> None:
    class Odd:
        name, upright = "odd", True

        def spec(self) -> mujoco.MjSpec:
            spec = mujoco.MjSpec()
            body = spec.worldbody.add_body(name="object")
            body.add_freejoint().name = "object"
            body.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.02, 0, 0], group=1)
            return spec

    with pytest.raises(SceneError, match="'odd': a geom is in group 1"):
        bridge.Thing(Odd())


# --- their tasks as robots of ours


def test_an_observation_has_the_contracts_shapes(lift) -> None:
    place(lift)
    seen = lift.observe()
    for name in ("side", "wrist"):
        assert seen.images[name].shape == (128, 128, 3)
        assert seen.images[name].dtype == np.uint8
        assert seen.masks[name].shape == (128, 128)
        assert seen.masks[name].dtype == bool
    np.testing.assert_allclose(seen.qpos, HOME, atol=1e-3)
    assert seen.gripper == pytest.approx([1], abs=0.02)
    assert seen.time == 0


def test_the_object_lies_where_a_trial_wants_it(lift) -> None:
    for xy in ((-0.075, -0.075), (0.075, 0.025)):
        place(lift, xy=xy)
        pos, _ = lift.object_pose
        np.testing.assert_allclose(pos[:2], np.add(WORKSPACE, xy), atol=2e-3)
        assert 0.019 < pos[2] < 0.023  # half a cube above the height of the base


def test_cameras_see_what_ours_see(lift) -> None:
    """The same cube at the same pose in our scene: the masks agree, in both cameras, though a renderer of ours draws in between."""
    with SimRobot(SceneConfig(TASKS[0])) as ours:
        for seed, xy in enumerate(((-0.07, 0.06), XY)):
            place(lift, seed, xy)
            place(ours, seed, xy)
            before, seen, after = lift.observe(), ours.observe(), lift.observe()
            for name, mask in before.masks.items():
                shared = (mask & seen.masks[name]).sum() / (mask | seen.masks[name]).sum()
                assert shared > 0.85, (name, shared)
                np.testing.assert_array_equal(before.images[name], after.images[name])


def test_a_mask_marks_what_the_object_hides(lift) -> None:
    place(lift)
    seen = lift.observe()
    lift.data.qpos[lift.model.joint("cube_joint0").qposadr[0]] = 50.0
    mujoco.mj_forward(lift.model, lift.data)
    without = lift.observe()
    for name, mask in seen.masks.items():
        changed = (seen.images[name] != without.images[name]).any(axis=2)
        assert mask.any()
        assert not changed[~binary_dilation(mask)].any()  # their edges are smoothed
        assert changed[mask].mean() > 0.9
        assert not without.masks[name].any()


def test_higher_is_higher_in_the_picture(lift) -> None:
    place(lift)
    low = np.argwhere(lift.mask("side")).mean(axis=0)[0]
    lift.data.qpos[lift.model.joint("cube_joint0").qposadr[0] + 2] += 0.08
    mujoco.mj_forward(lift.model, lift.data)
    assert np.argwhere(lift.mask("side")).mean(axis=0)[0] < low - 5


def test_joints_follow_absolute_targets(lift) -> None:
    place(lift)
    target = np.add(HOME, [0.2, 0.1, -0.2, 0.15, 0.1, -0.1, 0.3])
    for _ in range(20):
        lift.command(Action(target, np.ones(1)))
    np.testing.assert_allclose(lift.qpos, target, atol=0.01)
    lift.stop()
    beyond = lift.command(Action(np.full(7, 9.0), np.full(1, 3.0)))
    assert (beyond.qpos < 4).all()
    assert beyond.gripper == 1


@pytest.mark.parametrize("opening", [0.0, 0.5, 1.0])
def test_the_jaw_opens_as_far_as_it_is_told(lift, opening) -> None:
    place(lift)
    for _ in range(30):
        lift.command(Action(HOME, np.full(1, opening)))
    assert lift.gripper[0] == pytest.approx(opening, abs=0.06)


def test_seeds_repeat(lift) -> None:
    told = []
    for _ in range(2):
        place(lift, seed=7)
        for k in range(6):
            lift.command(Action(HOME + 0.02 * k, np.full(1, 0.5)))
        told.append((lift.qpos, *lift.object_pose, lift.picture("wrist")))
    for one, two in zip(*told, strict=True):
        np.testing.assert_array_equal(one, two)


def test_their_rule_counts_beside_ours(lift) -> None:
    place(lift)
    lift.command(Action(HOME, np.ones(1)))
    assert not lift.theirs
    lift.data.qpos[lift.model.joint("cube_joint0").qposadr[0] + 2] += 0.1
    lift.command(Action(HOME, np.ones(1)))
    assert lift.theirs  # more than 4 cm up, at one moment
    assert not lift.held
    place(lift)
    assert not lift.theirs


def test_what_cannot_be_is_refused(bridge, lift) -> None:
    with pytest.raises(SceneError, match="known: Lift, PickPlaceCan"):
        bridge.RobosuiteRobot("Lyft")
    with pytest.raises(SceneError, match="on 'link5'"):
        bridge.RobosuiteRobot("Lift", (SIDE, replace(WRIST, body="link5")))
    with pytest.raises(RobotError, match="not connected"):
        bridge.RobosuiteRobot("Lift").observe()
    with pytest.raises(RobotError, match="7 joints and 1 gripper value"):
        lift.command(Action(np.zeros(6), np.zeros(1)))


# --- our task in robosuite


def test_the_task_repeats_with_its_seed(bridge) -> None:
    make = bridge.wheel.robosuite.make
    told = []
    for seed in (3, 3, 4):
        env = make("CezanneGrasp", robots="Panda", toys=(2, 5), seed=seed, initialization_noise="default", **BARE)
        seen = env.reset()
        told.append((env.item.name, *seen["object_pos"], *seen["object_quat"], *seen["robot0_joint_pos"]))
        env.close()
    assert told[0] == told[1]
    assert told[0] != told[2]


def test_an_object_lies_at_rest_in_the_workspace(grasp) -> None:
    seen = grasp.reset()
    middle = grasp.sim.data.get_body_xpos("robot0_base")[:2] + WORKSPACE
    assert np.abs(seen["object_pos"][:2] - middle).max() < 0.1 + 0.05
    for _ in range(4):
        after, reward, done, info = grasp.step(np.zeros(7))
        assert 0 < reward < 1
        assert not done
        assert not info["success"]
    np.testing.assert_allclose(after["object_pos"], seen["object_pos"], atol=2e-3)


def test_success_is_height_and_grip_for_half_a_second(grasp, monkeypatch) -> None:
    monkeypatch.setattr(type(grasp), "_held", lambda self: True)
    grasp.reset()
    grasp.sim.model.opt.gravity[:] = 0
    grasp.sim.data.qpos[grasp.sim.model.get_joint_qpos_addr("object_joint0")[0] + 2] += 0.12
    told = [grasp.step(np.zeros(7))[1:] for _ in range(12)]
    assert [info["success"] for _, _, info in told] == [False] * 10 + [True] * 2
    assert told[-1][0] == pytest.approx(1.0)
    monkeypatch.setattr(type(grasp), "_held", lambda self: False)
    assert not grasp.step(np.zeros(7))[3]["success"]


def test_it_works_with_their_wrapper_and_another_arm(bridge, monkeypatch) -> None:
    if "h5py" not in sys.modules:
        monkeypatch.setitem(sys.modules, "h5py", ModuleType("h5py"))  # robosuite.wrappers imports it for recordings; its wheel forgets it
    from robosuite.wrappers import GymWrapper, VisualizationWrapper

    env = bridge.wheel.robosuite.make("CezanneGrasp", robots="UR5e", objects=(Household("can"),), **BARE)
    wrapped = GymWrapper(VisualizationWrapper(env))
    told: list[Any] = [wrapped.reset(seed=seed)[0] for seed in (1, 1, 2)]
    first, again, other = told
    np.testing.assert_array_equal(first, again)
    assert (other != first).any()
    seen: Any
    seen, _, terminated, truncated, _ = wrapped.step(wrapped.action_space.sample())
    assert seen.shape == wrapped.observation_space.shape
    assert not terminated
    assert not truncated
    env.close()


def test_their_controllers_work_absolute_joints_too(bridge) -> None:
    env = bridge.wheel.robosuite.make("CezanneGrasp", robots="Panda", controller_configs=bridge.joint_control(), **BARE)
    target = env.reset()["robot0_joint_pos"] + 0.1
    for _ in range(20):
        seen = env.step(np.append(target, -1.0))[0]
    np.testing.assert_allclose(seen["robot0_joint_pos"], target, atol=0.01)
    env.close()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"area": 0.4}, "area=0.4 m"),
        ({"lift": 0}, "lift=0 m"),
        ({"toys": (0, 0)}, "toys="),
        ({"objects": ()}, "objects is empty"),
        ({"robots": ["Panda", "UR5e"]}, "one robot, got 2"),
    ],
)
def test_a_task_that_makes_no_sense_is_refused(bridge, given, said) -> None:
    with pytest.raises(SceneError, match=said):
        bridge.wheel.robosuite.make("CezanneGrasp", **{"robots": "Panda", **BARE, **given})


def test_importing_is_lazy_and_quiet() -> None:
    code = "import sys, sim, eval.evaluate; assert 'robosuite' not in sys.modules; import sim.bridge; assert 'robosuite' in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- as a suite


def test_the_suite_and_its_twins_are_tried_on_the_same_poses() -> None:
    there, here = open_suite("robosuite", trials=4), open_suite("robosuite_twins", trials=4)
    assert there.trials == here.trials
    assert {item.name for item in there.objects} == {"Lift", "PickPlaceCan"}
    assert isinstance(Cell("heuristic", there).open().robot, Lab)
    assert not isinstance(Cell("heuristic", here).open().robot, Lab)


def test_a_suite_of_ours_keeps_its_trials_in_their_loop() -> None:
    ours = open_suite("toys", trials=2, limit=3)
    theirs = moved(ours)
    assert theirs.trials == ours.trials
    assert theirs.name != ours.name
    assert open_source(theirs.source) == ours.objects  # replay finds them
    assert isinstance(Cell("nothing", theirs).open().robot, Lab)
    with pytest.raises(EvalError, match="robosuite's own"):
        moved(open_suite("robosuite", trials=1))


def test_what_needs_our_scene_is_refused_by_name() -> None:
    suite = open_suite("robosuite", trials=1)
    with pytest.raises(EvalError, match=r"scripted expert.*reference=heuristic"):
        Cell("expert", suite).open()
    with pytest.raises(EvalError, match="axis=light"):
        Cell(Reference("heuristic"), suite.under("light", 0.5)).open()
    with pytest.raises(EvalError, match="unknown loop 'theirs'; known: ours, robosuite"):
        EvalConfig(reference="heuristic", loop="theirs")


def test_cameras_stand_where_the_contract_says() -> None:
    turned = rotated(SIDE, 30)
    contract = Contract(("wrist", "side"), (96, 96), PANDA.joints, 1, "panda", 0.05, views={"side": described(turned, 96)})
    lab = lab_for(contract)
    assert [camera.name for camera in lab.cameras] == ["wrist", "side"]
    assert lab.size == 96
    np.testing.assert_allclose(lab.cameras[1].extrinsics(), turned.extrinsics(), atol=1e-9)
    with pytest.raises(PolicyError, match="control period"):
        lab_for(Contract(("side",), (96, 96), PANDA.joints, 1, "panda", 0.1))
    with pytest.raises(PolicyError, match="trained with robot"):
        lab_for(Contract(("side",), (96, 96), PANDA.joints, 1, "ur5e", 0.05))


@pytest.mark.slow
@pytest.mark.parametrize("item", [*TASKS, TOY], ids=lambda item: item.name)
def test_a_policy_that_only_looks_grasps_in_their_loop(item) -> None:
    suite = open_suite("robosuite", trials=1)
    with Lab()(item) as robot:
        row = run_trial(robot, Heuristic(), suite.trials[0], Rules(), suite="robosuite", execute=Heuristic.execute)
    assert row.success
    assert row.theirs is (item.name != "PickPlaceCan")  # theirs: in the other bin


@pytest.mark.slow
def test_a_trial_in_their_loop_is_replayed_from_its_row(tmp_path) -> None:
    report = evaluate("nothing", open_suite("robosuite", trials=1), Rules(horizon=1.0), crew=Crew(1))
    assert [row.reason for row in report.rows] == ["never_closed"] * 2
    assert report.summary()["theirs"] == [0, 2]
    again, clip = replay(report, report.rows[0], tmp_path)
    assert again.key == report.rows[0].key
    assert clip.video.stat().st_size > 0
