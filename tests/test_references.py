"""The floor does nothing, the ceiling plans without a trace, the heuristic grasps what the masks show and nothing else."""

import json
import pickle
from dataclasses import replace
from importlib import resources

import mujoco
import numpy as np
import pytest

from assets.objects import open_objects, open_ycb
from assets.toys import ToySet
from eval.errors import EvalError
from eval.outcome import Reason
from eval.references import REFERENCES, Reference
from eval.references.course import CHUNK, Course
from eval.references.expert import ExpertPolicy, unchanged
from eval.references.heuristic import LIFT, Heuristic, narrowest
from eval.references.hull import carve
from eval.references.nothing import Nothing
from eval.references.rig import Rig
from eval.suite import Trial
from eval.trial import Rules, run_trial
from hardware.api import Observation
from sim.camera import SIDE
from sim.grasp import propose_grasps
from sim.robots import PANDA
from sim.scene import SceneConfig
from sim.simrobot import SimRobot

TOY = ToySet.sample(1_000_777, 2).toys[0]
WEIGHED = ("qpos", "qvel", "ctrl", "act", "qacc", "qacc_warmstart", "xpos", "xquat", "site_xpos", "cam_xpos", "cam_xmat", "time")


@pytest.fixture(scope="module")
def robot():
    with SimRobot(SceneConfig(TOY)) as connected:
        yield connected


@pytest.fixture(scope="module")
def rig():
    return Rig(lift=LIFT)


def attempt(robot, policy, pose=5, seed=3):
    if hasattr(policy, "attach"):
        policy.attach(robot)
    return run_trial(robot, policy, Trial(0, robot.config.object.name, pose, seed), Rules(), suite="test", execute=policy.execute)


def test_references_are_named_and_travel_to_workers():
    assert set(REFERENCES) == {"expert", "heuristic", "nothing"}
    for name in REFERENCES:
        reference = pickle.loads(pickle.dumps(Reference(name)))
        assert reference == Reference(name)
        assert reference().execute >= 1


def test_an_unknown_reference_is_one_line_with_the_known_ones():
    with pytest.raises(EvalError, match=r"'oracle'.*expert, heuristic, nothing"):
        Reference("oracle")


def test_a_course_is_the_same_whatever_share_of_a_chunk_is_carried_out():
    course = Course(np.arange(23.0)[:, None] * [1, 1], start=4.0, dt=0.05, joints=1)
    for execute in (1, 3, CHUNK):
        sent = []
        while len(sent) < 23:
            chunk = course.chunk(4.0 + 0.05 * len(sent))
            sent += chunk.qpos[:execute, 0].tolist()
        assert sent[:23] == list(range(23))
    assert not course.over(4.0 + 0.05 * 22)
    assert course.over(4.0 + 0.05 * 23)


def test_nothing_does_nothing(robot):
    robot.place(np.zeros(2), np.random.default_rng(0))
    before = robot.qpos
    outcome = attempt(robot, Nothing())
    assert outcome.reason is Reason.NEVER_CLOSED
    assert np.abs(robot.qpos - before).max() < 1e-3


def test_planning_leaves_the_simulation_as_it_was(robot):
    policy = ExpertPolicy()
    policy.attach(robot)
    start = np.array(robot.arm.home) + 0.05
    robot.place(np.array([0.03, -0.02]), np.random.default_rng(2), start=start)
    observation = robot.observe()
    before = {name: np.copy(getattr(robot.data, name)) for name in WEIGHED}
    chunk = policy.predict(observation)
    assert all(np.array_equal(before[name], getattr(robot.data, name)) for name in WEIGHED)
    assert len(chunk) == CHUNK
    assert np.abs(chunk.qpos - robot.qpos).max() > 1e-3


def test_what_runs_in_an_unchanged_block_leaves_no_trace_in_what_follows(robot):
    robot.place(np.zeros(2), np.random.default_rng(4))
    ends = []
    for disturb in (False, True):
        with unchanged(robot):
            if disturb:
                with unchanged(robot):
                    robot.home()
                    mujoco.mj_step(robot.model, robot.data, nstep=200)
            mujoco.mj_step(robot.model, robot.data, nstep=200)
            ends.append(robot.state())
    assert np.array_equal(*ends)


@pytest.mark.parametrize("start", [0.0, 0.1])
def test_the_expert_lifts_a_toy_from_varied_starts(robot, start):
    policy = ExpertPolicy()
    policy.attach(robot)
    place = robot.place
    try:
        robot.place = lambda xy, rng: place(xy, rng, start=np.array(robot.arm.home) + start)
        assert attempt(robot, policy).success
    finally:
        del robot.place


def test_the_expert_tries_again_when_it_lost_the_object(robot):
    policy = ExpertPolicy()
    policy.attach(robot)
    robot.place(np.zeros(2), np.random.default_rng(2))
    policy.predict(robot.observe())
    first = policy._course
    assert first is not None
    robot.data.time += robot.dt * (len(first.targets) + 1)  # the plan was carried out by a ghost: nothing is in the hand
    policy.predict(robot.observe())
    assert policy._course is not first


def test_the_expert_needs_a_simulation(rig):
    with pytest.raises(EvalError, match="simulation"):
        ExpertPolicy().attach(rig)
    with pytest.raises(EvalError, match="attach"):
        ExpertPolicy().predict(Observation({}, {}, np.zeros(7), np.ones(1), 0.0))


def test_a_rig_knows_where_the_cameras_are_and_knows_no_object(robot, rig):
    robot.place(np.zeros(2), np.random.default_rng(1), start=np.array(robot.arm.home) + 0.07)
    for camera in robot.config.cameras:
        k = robot.model.camera(camera.name).id
        view = rig.view(camera.name, np.ones((128, 128), bool), robot.qpos)
        assert np.allclose(view.pos, robot.data.cam_xpos[k], atol=1e-9)
        assert np.allclose(view.axes @ np.diag([1, -1, -1]), robot.data.cam_xmat[k].reshape(3, 3), atol=1e-9)
    assert np.allclose(rig.grip_pose(robot.qpos)[0], robot.grip_pose[0], atol=1e-9)
    names = {rig._model.body(k).name for k in range(rig._model.nbody)} | {rig._model.joint(k).name for k in range(rig._model.njnt)}
    assert "object" not in names


def test_a_view_projects_as_the_renderer_draws(robot, rig):
    robot.place(np.zeros(2), np.random.default_rng(1))
    seen = robot.observe()
    for name, mask in seen.masks.items():
        view = rig.view(name, mask, seen.qpos)
        pixel, shown = view.project(robot.object_pose[0][None])
        rows, columns = np.nonzero(mask)
        assert shown.all()
        assert abs(pixel[0] // 128 - rows.mean()) < 8
        assert abs(pixel[0] % 128 - columns.mean()) < 8


def box_views(low, high, rig):
    """Masks of an axis-aligned box from the side and, with the hand at two places, from above."""
    grid = np.stack(np.meshgrid(*(np.linspace(a, b, 90) for a, b in zip(low, high, strict=True)), indexing="ij"), axis=-1).reshape(-1, 3)
    middle = (low + high) / 2
    homes = [rig.home, rig.router.tour(rig.home, [(np.array([*middle[:2] - 0.05, 0.25]), -1.0)])[-1]]
    views = []
    for name, qpos in (("side", homes[0]), ("wrist", homes[0]), ("wrist", homes[1])):
        blank = rig.view(name, np.zeros((128, 128), bool), qpos)
        pixel, shown = blank.project(grid)
        mask = np.zeros((128, 128), bool)
        mask.ravel()[pixel[shown]] = True
        views.append(replace(blank, mask=mask))
    return views


def test_carving_encloses_a_box_closely(rig):
    low, high = np.array([0.47, -0.02, 0.0]), np.array([0.53, 0.02, 0.05])
    views = box_views(low, high, rig)
    hull = carve(views, np.array([0.38, -0.12, 0.0]), np.array([0.62, 0.12, 0.15]), 0.003)
    assert hull is not None
    found_low, found_high = hull.bounds()
    assert (found_low < low + 0.004).all()
    assert (found_high > high - 0.004).all()
    assert found_high[2] == pytest.approx(high[2], abs=0.008)  # no roof
    assert (high - low + 0.03 > found_high - found_low).all()
    assert hull.heights(np.array([0.5, 0.7]), np.array([0.0]))[:, 0] == pytest.approx([found_high[2], 0], abs=0.004)
    distance, normal = hull.cast(np.array([0.5, 0.06, 0.025]), np.array([0.0, -1.0, 0.0]))
    assert distance == pytest.approx(0.04, abs=0.008)
    assert normal @ [0, 1, 0] > 0.9
    assert hull.cast(np.array([0.5, 0.09, 0.14]), np.array([0.0, -1.0, 0.0]))[0] == np.inf
    best = propose_grasps(hull)[0]
    assert abs(np.sin(best.yaw)) < 0.3  # across the narrow side
    assert narrowest(hull).width < PANDA.hand.room.opening


def test_a_mask_that_contradicts_leaves_nothing_unless_it_may_be_wrong(rig):
    views = box_views(np.array([0.47, -0.02, 0.0]), np.array([0.53, 0.02, 0.05]), rig)
    wrong = replace(views[2], mask=~views[2].mask, known=np.ones_like(views[2].known))
    corner, opposite = np.array([0.38, -0.12, 0.0]), np.array([0.62, 0.12, 0.15])
    strict, lenient = (carve([*views, wrong], corner, opposite, 0.004, doubt=doubt) for doubt in (0, 0.25))
    middle = np.array([0.5]), np.array([0.0])
    assert strict is None or strict.heights(*middle)[0, 0] == 0
    assert lenient is not None
    assert lenient.heights(*middle)[0, 0] > 0.03


def test_the_heuristic_sees_only_observations(robot):
    seen, given = [], []

    class Recorded(Heuristic):
        def predict(self, observation):
            seen.append(observation)
            given.append(super().predict(observation))
            return given[-1]

    assert not hasattr(Heuristic, "attach")
    outcome = attempt(robot, Recorded())
    assert outcome.success
    blindfolded = Heuristic()  # no simulation anywhere near
    for observation, chunk in zip(seen, given, strict=True):
        again = blindfolded.predict(Observation({}, observation.masks, observation.qpos, observation.gripper, observation.time))
        assert np.array_equal(again.qpos, chunk.qpos)
        assert np.array_equal(again.gripper, chunk.gripper)


def test_the_heuristic_looks_again_when_the_jaw_closed_on_nothing(robot):
    policy = Heuristic()
    robot.place(np.zeros(2), np.random.default_rng(6))
    seen = robot.observe()
    time = 0.0
    while policy._path is None:
        policy.predict(Observation({}, seen.masks, seen.qpos, seen.gripper, time))
        time += 0.2
    assert policy._course is not None
    time = policy._course.start + policy._path.lift * 0.05
    chunk = policy.predict(Observation({}, seen.masks, seen.qpos, np.zeros(1), time))
    assert policy._path is None
    assert (chunk.gripper == 1).all()


def test_the_heuristic_waits_where_it_sees_nothing_and_names_a_camera_it_lacks(rig):
    policy = Heuristic(rig)
    blank = {name: np.zeros((128, 128), bool) for name in rig.cameras}
    for step in range(40):
        chunk = policy.predict(Observation({}, blank, rig.home, np.ones(1), 0.2 * step))
        assert (chunk.gripper == 1).all()
        assert np.isfinite(chunk.qpos).all()
    with pytest.raises(EvalError, match="'wrist'"):
        Heuristic(rig).predict(Observation({}, {"side": blank["side"]}, rig.home, np.ones(1), 0.0))
    assert SIDE.name in rig.cameras


@pytest.mark.slow
@pytest.mark.parametrize("item", open_objects("household").objects, ids=lambda item: item.name)
def test_the_heuristic_lifts_most_household_objects(item):
    with SimRobot(SceneConfig(item)) as robot:
        assert sum(bool(attempt(robot, Heuristic(), pose, 100 + pose).success) for pose in (1, 4, 11, 14)) >= 3


def test_ycb65_leaves_out_nine_with_reasons(shared_objects):
    described = json.loads((resources.files("eval") / "suites" / "ycb65.json").read_text())
    names = {item.name for item in open_ycb(shared_objects).objects}
    assert described["source"] == "ycb"
    assert set(described["left_out"]) <= names
    assert len(names) - len(described["left_out"]) == 65
    assert all(len(reason) > 10 for reason in described["left_out"].values())
