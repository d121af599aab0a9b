"""Object swap: what stays, what changes, what is in front, how the instruction follows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from episode_samples import make_info, same
from swap_samples import BLUE, RED, STEPS, Room, background, disc, library, room, way

from assets.toys import ToySet
from augment import AugmentError
from augment.composite import in_light, lay, paste, stamp
from augment.library import Library, cut_out, grown, renamed
from augment.motion import complete, projected, tracked, watch
from augment.swap import ObjectSwap, SwapConfig, open_swap
from augment.world import World
from episodes import DatasetInfo, Episode
from hardware.api import Action
from sim.camera import SIDE, WRIST, described
from sim.scene import SceneConfig
from sim.simrobot import SimRobot

DONE = ("qpos", "gripper", "actions", "sent", "labelled", "state")


def swap(episode: Episode, robot: np.ndarray, seed: int = 0, crops: Library | None = None, **settings) -> Episode:
    return open_swap(SwapConfig(**settings), Room(robot), crops or library())(episode, np.random.default_rng(seed))


def far(pictures: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(pictures.astype(int) - colour).max(-1)


def test_the_motion_and_the_given_episode_stay() -> None:
    episode, robot = room()
    before = room()[0]
    new = swap(episode, robot)
    assert same(episode, before)
    assert all(np.array_equal(getattr(new, name), getattr(episode, name)) for name in DONE)


def test_the_gripper_stays_in_front_bit_by_bit() -> None:
    episode, robot = room()
    new = swap(episode, robot)
    assert np.array_equal(new.images["side"][robot], episode.images["side"][robot])
    assert not (new.masks["side"] & robot).any()
    covered = grown(episode.masks["side"][12] | new.masks["side"][12], 1) & robot[12]
    assert covered.sum() > 10  # the bar does stand in front of it


def test_nothing_changes_but_the_old_object_and_the_new_one() -> None:
    episode, robot = room()
    new = swap(episode, robot, distractor=False)
    for t in range(STEPS):
        changed = (new.images["side"][t] != episode.images["side"][t]).any(-1)
        seen = new.masks["side"][t]
        near = grown(seen | (robot[t] & grown(seen, 8)), 2)  # some of the soft edge may look out from behind the robot
        assert not (changed & ~grown(episode.masks["side"][t], 2) & ~near).any()


def test_where_the_old_object_was_is_what_other_steps_show() -> None:
    episode, robot = room()
    new = swap(episode, robot, distractor=False)
    for t in range(STEPS):
        bare = episode.masks["side"][t] & ~grown(new.masks["side"][t], 2)
        assert np.array_equal(new.images["side"][t][bare], background()[bare])
    assert far(new.images["side"], RED).min() > 60


def test_the_mask_is_where_the_new_object_is() -> None:
    episode, robot = room()
    new = swap(episode, robot, crops=library(disc(light=(163.0, 6.0))), distractor=False)
    assert new.masks["side"].any((1, 2)).all()
    for picture, mask in zip(new.images["side"], new.masks["side"], strict=True):
        blue = far(picture, BLUE) < 90
        assert (blue != mask).sum() <= 0.25 * mask.sum()  # they part at the soft edge only
        assert not (blue & ~grown(mask, 1)).any()
    at = [np.argwhere(new.masks["side"][t])[:, ::-1].mean(0) for t in range(5)]
    assert np.allclose(at, way()[:5], atol=0.6)


def test_the_old_object_comes_back_and_stays_out_of_the_way() -> None:
    episode, robot = room()
    without, new = swap(episode, robot, distractor=False), swap(episode, robot)
    added = (new.images["side"] != without.images["side"]).any(-1)
    assert added.any((1, 2)).all()
    assert (added == added[0]).all()
    assert not (added & (robot | episode.masks["side"] | new.masks["side"])).any()
    assert far(new.images["side"][:, added[0]], RED).min() < 40
    x, y = new.provenance["augment"][-1]["distractor"]["side"]
    assert added[0][y, x]


def test_the_place_does_not_jump_while_the_gripper_hides_some() -> None:
    episode, robot = room()
    masks = episode.masks["side"]
    assert not complete(masks, robot)[12:20].any()
    found = tracked(masks, robot).centre
    seen = np.array([np.argwhere(mask)[:, ::-1].mean(0) for mask in masks])
    wrong = np.linalg.norm(seen - way(), axis=1).max()
    assert wrong > 1.9  # what following the visible pixels would give
    assert np.linalg.norm(found - way(), axis=1).max() <= 1


def test_the_same_generator_draws_the_same_and_others_do_not() -> None:
    episode, robot = room()
    crops = library(disc(), disc((20, 160, 60), 5, name="ball"))
    first = swap(episode, robot, 1, crops)
    assert same(first, swap(episode, robot, 1, crops))
    assert len({swap(episode, robot, k, crops).provenance["augment"][-1]["object"] for k in range(8)}) == 2


def test_a_library_of_the_same_object_is_refused() -> None:
    episode, robot = room()
    with pytest.raises(AugmentError, match="no other object than 'cube'"):
        swap(episode, robot, crops=library(disc(name="cube")))


def test_an_episode_without_masks_is_refused() -> None:
    episode, robot = room()
    bare = replace(episode, masks={"side": np.zeros_like(episode.masks["side"])})
    with pytest.raises(AugmentError, match="no mask"):
        swap(bare, robot)


def test_a_camera_that_never_sees_the_target_stays_as_it_is() -> None:
    episode, robot = room()
    images = {"side": episode.images["side"], "wrist": episode.images["side"][:, ::-1].copy()}
    masks = {"side": episode.masks["side"], "wrist": np.zeros_like(robot)}
    new = swap(replace(episode, images=images, masks=masks), robot)
    assert np.array_equal(new.images["wrist"], images["wrist"])
    assert new.provenance["augment"][-1]["cameras"] == ["side"]


def test_cameras_on_the_robot_can_be_left_out() -> None:
    episode, robot = room()
    world = Room(robot)
    world.info = replace(world.info, cameras={"side": replace(world.info.cameras["side"], body="hand")})
    crops = library()
    with pytest.raises(AugmentError, match="body_cameras=false"):
        open_swap(SwapConfig(body_cameras=False), world, crops)(episode, np.random.default_rng(0))
    new = open_swap(SwapConfig(), world, crops)(episode, np.random.default_rng(0))
    assert new.masks["side"].any()
    assert new.provenance["augment"][-1]["distractor"] == {}


@pytest.mark.parametrize(
    ("said", "becomes"),
    [
        ("pick up the cube", "pick up the disc"),
        ("Pick up the red cube and put it into the bin", "Pick up the disc and put it into the bin"),
        ("grasp a cube.", "grasp a disc."),
        ("take the cube from the table", "take the disc from the table"),
        ("wipe the table", None),
        ("", None),
    ],
)
def test_the_instruction_names_the_new_object(said: str, becomes: str | None) -> None:
    assert renamed(said, "disc") == becomes


def test_an_instruction_without_a_noun_is_kept_and_that_is_said() -> None:
    episode, robot = room()
    assert swap(episode, robot).instruction == "pick up the blue disc and hold it"
    new = swap(replace(episode, instruction="tidy up"), robot)
    assert new.instruction == "tidy up"
    assert new.provenance["augment"][-1]["instruction"] == "kept: no noun was found in it"


@pytest.mark.parametrize("wrong", [{"size": "huge"}, {"inpaint": "magic"}, {"grow": -1}, {"objects": 1}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(AugmentError, match=next(iter(wrong))):
        SwapConfig(**wrong)


def test_a_callable_of_ones_own_fills_the_holes() -> None:
    episode, robot = room()

    def green(pictures: np.ndarray, holes: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        return np.where(holes[..., None], np.array([0, 255, 0], np.uint8), pictures)

    new = ObjectSwap(SwapConfig(distractor=False), Room(robot), library(disc(radius=3)), green)(episode, np.random.default_rng(0))
    assert (new.images["side"] == (0, 255, 0)).all(-1).any()


# --- composite


def test_a_paste_has_the_size_the_place_and_a_soft_edge() -> None:
    ground = np.full((64, 64, 3), 200, np.uint8)
    for scale in (0.5, 1.0, 2.0):
        new, seen = paste(ground, disc(), (30.0, 33.0), scale, np.zeros((64, 64), bool))
        assert np.sqrt(seen.sum() / disc().area) == pytest.approx(scale, rel=0.08)
        assert np.argwhere(seen).mean(0) == pytest.approx((33, 30), abs=0.3)
        assert (new[~grown(seen, 2)] == 200).all()
        between = (new[..., 0] > 40) & (new[..., 0] < 190)
        assert between.any()
        assert (between & ~grown(seen, 2)).sum() == 0


@pytest.mark.parametrize(("centre", "scale"), [((-50.0, 10.0), 1.0), ((np.nan, 10.0), 1.0), ((10.0, 10.0), 1e6), ((10.0, 10.0), 0.0)])
def test_what_does_not_fall_onto_the_picture_is_not_drawn(centre: tuple[float, float], scale: float) -> None:
    assert stamp(disc(), centre, scale, (64, 64)) is None


def test_a_paste_is_cut_by_the_border_and_by_what_hides_it() -> None:
    ground, hidden = np.full((64, 64, 3), 200, np.uint8), np.zeros((64, 64), bool)
    hidden[:, :5] = True
    of = stamp(disc(), (4.0, 60.0), 1.0, (64, 64))
    assert of is not None
    seen = lay(ground, of, hidden)
    assert seen.any()
    assert (ground[hidden] == 200).all()
    assert not (seen & hidden).any()


def test_lightness_follows_the_surroundings_within_limits() -> None:
    grey = disc((120, 120, 120))
    assert np.array_equal(in_light(grey, grey.light).rgb, grey.rgb)
    darker, dark = (in_light(grey, (mean, 3.0)).rgb.mean() for mean in (140.0, 0.0))
    assert darker < 120
    assert 50 < dark < darker


# --- simulated episodes


@pytest.fixture(scope="module")
def simulated() -> Iterator[SimpleNamespace]:
    """A hand that comes down on a toy and goes up again: an episode, its world and its toys."""
    toys = ToySet.sample(0, 2)
    cameras = (SIDE, WRIST)
    joints = tuple(f"joint{i}" for i in range(1, 8))
    info = DatasetInfo(20.0, "panda", joints, {c.name: described(c, 64) for c in cameras})
    with World(info, toys) as world:
        yield SimpleNamespace(world=world, episodes=[_played(toy, cameras) for toy in toys.toys])


def _played(toy, cameras) -> Episode:
    seen, states = [], []
    with SimRobot(SceneConfig(toy, cameras, 64)) as robot:
        robot.place(np.array([0.02, 0.05]), np.random.default_rng(0), upright=True)
        start = robot.qpos
        for t in range(8):
            states.append(robot.state())
            seen.append(robot.observe())
            down = np.array([0.05, 0.35, 0, -0.05, 0, 0.35, 0]) * min(1, t / 5)
            robot.command(Action(start + down, np.array([1.0])))
        states.append(robot.state())
    rows = np.zeros((8, 8), np.float32)
    stacked = {kind: {c.name: np.stack([getattr(o, kind)[c.name] for o in seen]) for c in cameras} for kind in ("images", "masks")}
    still = {"labelled": np.ones(8, bool), "state": np.stack(states), "instruction": "pick up the object", "dt": 0.05, "success": True}
    return Episode(
        **stacked, qpos=rows[:, :7], gripper=rows[:, 7:], actions=rows, sent=rows, **still, provenance={"toy": 0, "object": toy.name}
    )


def test_simulated_robot_pixels_stay_and_the_distractor_is_at_one_place(simulated: SimpleNamespace) -> None:
    world, (first, second) = simulated.world, simulated.episodes
    crops = Library(cut_out(second, world, "second"))
    assert {crop.camera for crop in crops.crops} >= {"side"}
    new = open_swap(SwapConfig(), world, crops)(first, np.random.default_rng(0))
    robot = world.robot_masks(first)
    for name in first.images:
        assert np.array_equal(new.images[name][robot[name]], first.images[name][robot[name]])
    assert "side" in new.provenance["augment"][-1]["distractor"]
    assert new.provenance["augment"][-1]["object"] == second.provenance["object"]


def test_the_projected_way_is_that_of_the_pictures(simulated: SimpleNamespace) -> None:
    world, episode = simulated.world, simulated.episodes[0]
    robot = world.robot_masks(episode)
    way, sights = watch(world, episode)
    for name, masks in episode.masks.items():
        motion = projected(sights[name], way, masks, robot[name])
        whole = np.flatnonzero(complete(masks, robot[name]))
        assert len(whole)
        for t in whole:
            size = np.sqrt(masks[t].sum())
            assert np.linalg.norm(motion.centre[t] - np.argwhere(masks[t])[:, ::-1].mean(0)) < 0.25 * size + 1
            assert motion.scale[t] == pytest.approx(size / np.sqrt(masks[motion.reference].sum()), rel=0.25)


def test_a_world_without_a_folder_needs_a_library() -> None:
    with pytest.raises(AugmentError, match="library"):
        open_swap(SwapConfig(), World(make_info()))
