"""Perturbation axes: the same arguments give the same world, more strength gives more of it, and the plain world is untouched."""

import pickle
from dataclasses import replace
from itertools import pairwise

import mujoco
import numpy as np
import pytest

from assets.toys import Part, Toy, sample_toy
from hardware.api import Action
from sim.camera import SIDE, WRIST
from sim.disturbed import open_robot
from sim.errors import SceneError
from sim.scene import SceneConfig
from sim.simrobot import SimRobot
from sim.table import HALF, MIDDLE
from sim.variation import AXES, PLAIN, STRENGTHS, Variation, vary
from sim.variation.maskfault import PERIOD, MaskFault

TOY = sample_toy(np.random.default_rng(3))
CUBE = Toy((Part("cuboid", (0.025, 0.025, 0.025)),), name="cube")
XY = np.array([0.02, -0.03])


def model_bytes(config: SceneConfig) -> bytes:
    model = config.build().compile()
    buffer = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return buffer.tobytes()


def placed(robot: SimRobot, xy: np.ndarray = XY, seed: int = 1) -> None:
    robot.place(xy, np.random.default_rng(seed), upright=True)


def test_the_plain_variation_changes_neither_model_nor_pictures():
    assert vary("none", 0.7, 5) is PLAIN
    assert model_bytes(SceneConfig(TOY)) == model_bytes(SceneConfig(TOY, variation=PLAIN))
    with SimRobot(SceneConfig(TOY, size=32)) as one, open_robot(SceneConfig(TOY, size=32, variation=PLAIN)) as two:
        assert isinstance(two, SimRobot)
        for robot in (one, two):
            placed(robot)
        assert np.array_equal(one.state(), two.state())
        assert all(np.array_equal(one.observe().images[k], two.observe().images[k]) for k in ("side", "wrist"))


@pytest.mark.parametrize("name", AXES)
def test_the_same_arguments_give_the_same_variation_and_others_another(name):
    made = vary(name, 1.0, 3)
    assert made == vary(name, 1.0, 3) == pickle.loads(pickle.dumps(made))
    assert (made.axis, made.strength) == (name, 1.0)
    assert made != replace(PLAIN, axis=name, strength=1.0)
    assert made != vary(name, 0.5, 3)


@pytest.mark.parametrize("name", sorted(set(AXES) - {"delay", "mask_erode", "mask_dilate", "mask_box"}))
def test_what_is_drawn_depends_on_the_seed(name):
    assert len({repr(vary(name, 1.0, seed)) for seed in range(6)}) > 1


def test_what_is_wrong_is_said():
    with pytest.raises(SceneError, match="did you mean 'light'"):
        vary("lights", 0.5, 0)
    for strength in (0.0, -0.1, 1.01, float("nan")):
        with pytest.raises(SceneError, match="more than 0 and at most 1"):
            vary("mass", strength, 0)
    with pytest.raises(SceneError, match="seed=-1"):
        vary("mass", 0.5, -1)
    with pytest.raises(SceneError, match="joints"):
        SceneConfig(TOY, variation=Variation(start=(0.1, 0.2)))


def test_every_axis_says_what_it_does_and_who_else_has_it():
    for name, axis in AXES.items():
        assert axis.name == name
        assert axis.says
        assert axis.peer
    assert STRENGTHS["mild"] < STRENGTHS["medium"] < STRENGTHS["strong"] == 1.0


def amount(made: Variation) -> float:
    """How far a variation is from the plain world, by the numbers that it is made of."""
    fault = made.mask or MaskFault()
    light = (
        np.abs(np.log(made.light.gain)).sum() + np.arccos(np.dot(made.light.direction, [0, 0.35, -1]) / np.hypot(0.35, 1))
        if made.light
        else 0.0
    )
    moved = sum(np.linalg.norm(np.subtract(made.seen_by(c).pos, c.pos)) for c in (SIDE, WRIST))
    near = sum(1 / (0.05 + thing.gap) for thing in made.distractors)
    post = made.post.share + made.post.width if made.post else 0.0
    physical = abs(np.log(made.mass)) + abs(np.log(made.friction)) + np.abs(made.start).sum() + made.delay + made.action_noise
    masks = fault.erode + fault.dilate + fault.box + np.hypot(*fault.shift) + fault.jitter + fault.drop + fault.wrong
    seen = made.sensor.fog + made.sensor.blur + made.sensor.grain if made.sensor else 0.0
    return float(light + (made.texture.mix if made.texture else 0.0) + moved + near + post + physical + masks + seen)


@pytest.mark.parametrize("name", AXES)
def test_a_greater_strength_gives_more_of_the_same_for_every_seed(name):
    for seed in range(5):
        amounts = [amount(vary(name, strength, seed)) for strength in (0.2, 0.4, 0.6, 0.8, 1.0)]
        assert all(less < more for less, more in pairwise(amounts)), amounts


@pytest.mark.parametrize("name", ["light", "texture", "camera", "distractors", "occlusion"])
def test_pictures_differ_more_from_the_plain_one_the_greater_the_strength(name):
    def picture(variation: Variation) -> np.ndarray:
        with SimRobot(SceneConfig(CUBE, cameras=(SIDE,), size=48, variation=variation)) as robot:
            placed(robot)
            return robot.picture("side").astype(float)

    plain = picture(PLAIN)
    mild, strong = (np.abs(picture(vary(name, s, 1)) - plain).mean() for s in (0.2, 1.0))
    assert 0 < mild < 0.6 * strong


def test_clutter_lies_on_the_table_at_rest_beside_the_object_and_each_other():
    for seed, xy in enumerate([(-0.1, 0.1), (0.1, 0.0)]):
        with SimRobot(SceneConfig(TOY, size=32, variation=vary("distractors", 1.0, seed))) as robot:
            placed(robot, np.array(xy))
            assert len(robot.config.variation.distractors) == 8
            names = ["object", *(f"distractor{k}" for k in range(8))]
            before = np.array([robot.data.body(name).xpos.copy() for name in names])
            robot.command(Action(np.array(robot.arm.home), np.ones(1)))
            bodies = robot.model.geom_bodyid[robot.data.contact.geom]
            things = [robot.model.body(name).id for name in names]
            assert not np.isin(bodies, things).all(axis=1).any(), "two things touch"
            for _ in range(9):
                robot.command(Action(np.array(robot.arm.home), np.ones(1)))
            after = np.array([robot.data.body(name).xpos.copy() for name in names])
            assert np.abs(after - before).max() < 0.01
            on_table = (np.abs(after[:, :2] - MIDDLE) < HALF).all(axis=1) & (after[:, 2] > 0)
            assert on_table.sum() >= 7  # a table may be too full for one


def test_clutter_leaves_the_objects_place_and_its_mask_alone():
    with SimRobot(SceneConfig(TOY, size=64)) as plain, SimRobot(SceneConfig(TOY, size=64, variation=vary("distractors", 0.5, 2))) as full:
        for robot in (plain, full):
            placed(robot)
        for ours, theirs in zip(plain.object_pose, full.object_pose, strict=True):
            assert ours == pytest.approx(theirs, abs=1e-6)
        assert not (full.mask("side") & ~plain.mask("side")).any()
        state = full.state()
        for _ in range(3):
            full.command(Action(np.array(full.arm.home) + 0.1, np.zeros(1)))
        full.set_state(state)
        assert np.array_equal(full.state(), state)


def test_placing_among_clutter_is_a_function_of_its_generator():
    with SimRobot(SceneConfig(TOY, size=32, variation=vary("distractors", 0.5, 2))) as robot:
        placed(robot)
        first = robot.state()
        placed(robot, xy=-XY, seed=4)
        placed(robot)
        assert np.array_equal(first, robot.state())


@pytest.mark.parametrize("strength", [0.2, 1.0])
def test_the_post_hides_its_share_from_the_side_and_stands_clear_of_the_hand(strength):
    for seed, xy in enumerate([(-0.1, -0.1), (0.1, 0.1)]):
        made = vary("occlusion", strength, seed)
        assert made.post is not None
        with SimRobot(SceneConfig(CUBE, size=128)) as plain, SimRobot(SceneConfig(CUBE, size=128, variation=made)) as hidden:
            for robot in (plain, hidden):
                placed(robot, np.array(xy))
            whole, seen = plain.mask("side"), hidden.mask("side")
            assert not (seen & ~whole).any()
            assert 1 - seen.sum() / whole.sum() == pytest.approx(made.post.share, abs=0.15)
            assert np.array_equal(plain.mask("wrist"), hidden.mask("wrist"))
            assert np.linalg.norm(hidden.data.body("post").xpos[:2] - hidden.object_pose[0][:2]) > 0.15
            for _ in range(4):
                hidden.command(Action(np.array(hidden.arm.home), np.ones(1)))
            assert hidden.data.body("post").xmat.reshape(3, 3)[2, 2] > 0.999


@pytest.mark.parametrize("thing", [TOY, replace(CUBE, density=900.0)], ids=["toy", "cube"])
def test_mass_and_friction_scale_as_they_say(thing):
    plain, heavy, slippery = (
        SceneConfig(thing, variation=v).build().compile() for v in (PLAIN, Variation(mass=3.0), Variation(friction=0.25))
    )
    body = plain.body("object").id
    assert heavy.body_mass[body] == pytest.approx(3 * plain.body_mass[body])
    assert heavy.body_inertia[body] == pytest.approx(3 * plain.body_inertia[body])
    others = np.arange(plain.nbody) != body
    assert np.array_equal(heavy.body_mass[others], plain.body_mass[others])
    assert slippery.body_mass == pytest.approx(plain.body_mass)
    with SimRobot(SceneConfig(CUBE, size=32, variation=Variation(friction=0.25))) as robot:
        placed(robot)
        robot.command(Action(np.array(robot.arm.home), np.ones(1)))
        touched = (robot.model.geom_bodyid[robot.data.contact.geom] == robot.model.body("object").id).any(axis=1)
        assert touched.any()
        assert robot.data.contact.friction[touched, 0] == pytest.approx(0.25 * 1.5)


def test_mass_of_an_object_whose_geoms_carry_it():
    class Block:
        name, upright = "block", True

        def spec(self) -> mujoco.MjSpec:
            spec = mujoco.MjSpec()
            body = spec.worldbody.add_body(name="object")
            body.add_freejoint().name = "object"
            body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.02] * 3, group=3, mass=0.2)
            body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.02] * 3, pos=[0, 0, 0.04], group=3)
            return spec

    plain, heavy = (SceneConfig(Block(), variation=v).build().compile() for v in (PLAIN, Variation(mass=2.5)))
    body = plain.body("object").id
    assert heavy.body_mass[body] == pytest.approx(2.5 * plain.body_mass[body])
    assert heavy.body_inertia[body] == pytest.approx(2.5 * plain.body_inertia[body])


def test_the_whole_workspace_stays_in_sight_of_a_moved_camera():
    for seed in range(40):
        camera = vary("camera", 1.0, seed).seen_by(SIDE)
        pose = camera.extrinsics()
        for corner in [(x, y, 0.02) for x in (0.4, 0.6) for y in (-0.1, 0.1)]:
            x, y, z = pose[:3, :3].T @ (np.array(corner) - pose[:3, 3])
            u, v, _ = camera.intrinsics(128) @ [x / z, y / z, 1]
            assert z > 0
            assert -6 < u < 134
            assert -6 < v < 134


MASK = np.zeros((64, 64), bool)
MASK[20:40, 24:36] = True


def test_eroded_masks_shrink_and_dilated_ones_grow_by_what_they_say():
    side = np.sqrt(MASK.sum())
    inner, outer = MaskFault(erode=0.2).apply(MASK, 0, 0), MaskFault(dilate=0.4).apply(MASK, 0, 0)
    assert not (inner & ~MASK).any()
    assert not (MASK & ~outer).any()
    assert inner.any(0).sum() == 12 - 2 * int(0.2 * side)
    assert outer.any(0).sum() == 12 + 2 * int(0.4 * side)


def test_boxes_and_shifts():
    odd = MASK.copy()
    odd[20:25, 24:28] = False
    assert np.array_equal(MaskFault(box=1.0).apply(odd, 0, 0), MASK)
    half = MaskFault(box=0.5).apply(odd, 0, 0)
    assert odd.sum() < half.sum() < MASK.sum()
    moved = MaskFault(shift=(0.5, -0.25)).apply(MASK, 0, 0)
    by = np.argwhere(moved).mean(0) - np.argwhere(MASK).mean(0)
    assert by == pytest.approx([-0.25 * np.sqrt(240), 0.5 * np.sqrt(240)], abs=0.51)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_masks_are_lost_or_wrong_for_their_share_of_the_time(share):
    steps = range(10 * PERIOD)
    lost = [not MaskFault(drop=share, seed=3).apply(MASK, t, 0).any() for t in steps]
    assert np.mean(lost) == pytest.approx(share, abs=0.02)
    wrong = [MaskFault(wrong=share, seed=3).apply(MASK, t, 0) for t in steps]
    assert np.mean([not np.array_equal(mask, MASK) for mask in wrong]) == pytest.approx(share, abs=0.02)
    assert all((mask & MASK).sum() < 0.5 * MASK.sum() for mask in wrong if not np.array_equal(mask, MASK))


def test_a_mask_of_nothing_stays_empty_and_one_at_the_rim_stays_inside():
    for name in [name for name in AXES if name.startswith("mask_")]:
        fault = vary(name, 1.0, 0).mask
        assert fault is not None
        assert not fault.apply(np.zeros((32, 32), bool), 3, 1).any()
        assert fault.apply(np.ones((32, 32), bool), 3, 1).shape == (32, 32)
