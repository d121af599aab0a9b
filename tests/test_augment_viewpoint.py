"""Other viewpoints: the motion stays, no turn is no change, bad draws are tried again and never pass in silence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from episode_samples import same
from test_augment_world import SIZE, STEPS, TOYS, played

from augment import AugmentError, recorded
from augment.depth import open_estimator
from augment.guard import Guard
from augment.viewpoint import ON_BODY, SAMPLERS, TRIES, Viewpoint, ViewpointConfig, open_viewpoint
from augment.world import World
from episodes import Episode
from sim.camera import SIDE, WRIST, as_camera, described, rotated
from sim.rerender import rerender

DONE = ("qpos", "gripper", "actions", "sent", "labelled", "state")


@pytest.fixture(scope="module")
def episode() -> Episode:
    return played(0)[0]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World(played(0)[1], TOYS) as world:
        yield world


def turned(world: World, episode: Episode, guard: Guard | None = None, **settings: Any) -> Episode:
    viewpoint = open_viewpoint(ViewpointConfig(**settings), world)
    viewpoint.contract(world.info)
    return replace(viewpoint, guard=guard or viewpoint.guard)(episode, np.random.default_rng(0))


@pytest.mark.parametrize("method", ["exact", "depth", "plane"])
@pytest.mark.parametrize("sampler", ["arc", "small"])
def test_the_motion_stays_and_the_camera_is_known(world: World, episode: Episode, sampler: str, method: str) -> None:
    new = turned(world, episode, sampler=sampler, method=method, low=4, high=8)
    assert all(np.array_equal(getattr(new, name), getattr(episode, name)) for name in DONE)
    assert not np.array_equal(new.images["side"], episode.images["side"])
    assert np.array_equal(new.images["wrist"], episode.images["wrist"])
    assert np.array_equal(new.masks["wrist"], episode.masks["wrist"])
    world.info.check(new)
    assert json.loads(json.dumps(new.provenance)) == new.provenance
    was, now = world.cameras(episode), world.cameras(new)
    assert now["side"] != was["side"]
    assert now["wrist"] == was["wrist"]
    assert same(new, turned(world, episode, sampler=sampler, method=method, low=4, high=8))


@pytest.mark.parametrize("method", ["exact", "depth", "plane"])
def test_no_turn_is_no_change(world: World, episode: Episode, method: str) -> None:
    new = turned(world, episode, low=0, high=0, method=method)
    assert np.array_equal(new.images["side"], episode.images["side"])
    assert (new.masks["side"] & episode.masks["side"]).sum() == episode.masks["side"].sum()
    assert method == "depth" or np.array_equal(new.masks["side"], episode.masks["side"])


def test_step_t_shows_state_t_from_the_camera_that_is_named(world: World, episode: Episode) -> None:
    new = turned(world, episode, low=-20, high=20)
    camera = rotated(SIDE, new.provenance["augment"][0]["degrees"])
    named = as_camera("side", world.cameras(new)["side"])
    assert np.allclose(named.pos, camera.pos, atol=1e-4)
    robot = world.robot(new)
    for t in range(STEPS):
        robot.set_state(new.state[t])
        assert np.array_equal(robot.picture("side"), new.images["side"][t])
        assert np.array_equal(robot.mask("side"), new.masks["side"][t])


def test_a_turn_and_back_is_the_episode(world: World, episode: Episode) -> None:
    there = turned(world, episode, low=7, high=7)
    back = turned(world, there, low=-7, high=-7)
    assert np.mean(back.images["side"] != episode.images["side"]) < 1e-3  # the camera comes back to the last digits
    assert [done["degrees"] for done in back.provenance["augment"]] == [7, -7]


def test_an_exact_viewpoint_is_what_a_scene_with_that_camera_draws(world: World, episode: Episode) -> None:
    new = turned(world, episode, low=11, high=11)
    truth = rerender(episode, world.robot(episode), [rotated(SIDE, 11)])
    assert np.array_equal(new.images["side"], truth.images["side"])


@pytest.mark.parametrize("sampler", ["small", "large"])
def test_draws_stay_in_their_ranges_and_turn_the_camera_rigidly(world: World, sampler: str) -> None:
    metres, radians = SAMPLERS[sampler]
    viewpoint, rng = open_viewpoint(ViewpointConfig(sampler=sampler), world), np.random.default_rng(0)
    for camera in (SIDE, WRIST):
        part = 1 if camera is SIDE else ON_BODY
        for _ in range(50):
            new = viewpoint._placed(camera, 0.0, rng.uniform(-1, 1, 6), 1.0)
            assert (np.abs(np.subtract(new.pos, camera.pos)) <= part * np.array(metres) + 1e-12).all()
            assert np.isclose(np.linalg.norm(np.subtract(new.at, new.pos)), np.linalg.norm(np.subtract(camera.at, camera.pos)))
            turn = new.extrinsics()[:3, :3] @ camera.extrinsics()[:3, :3].T
            assert np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)) <= np.sqrt(3) * part * radians + 1e-6


def test_the_wrist_moves_a_little_where_it_is_asked_to(world: World, episode: Episode) -> None:
    for method in ("exact", "depth"):
        new = turned(world, episode, cameras=["wrist"], sampler="small", method=method)
        assert world.cameras(new)["wrist"].body == world.info.cameras["wrist"].body
        assert not np.array_equal(new.images["wrist"], episode.images["wrist"])
        assert np.array_equal(new.images["side"], episode.images["side"])
    for sampler, method in (("arc", "exact"), ("small", "plane")):
        with pytest.raises(AugmentError, match="right_gripper"):
            turned(world, episode, cameras=["wrist"], sampler=sampler, method=method)


def test_a_bad_draw_is_tried_again_smaller(world: World, episode: Episode) -> None:
    strict = Guard(holes=0.25)
    new = turned(world, episode, guard=strict, low=20, high=20, method="depth")
    (done,) = new.provenance["augment"]
    assert 1 < done["tries"] <= TRIES
    assert 0 < done["degrees"] < 20


def test_what_never_comes_out_well_is_refused_or_given_back_and_says_so(world: World, episode: Episode) -> None:
    never = Guard(holes=-1)
    with pytest.raises(AugmentError, match=r"5 tries .* holes"):
        turned(world, episode, guard=never, method="depth", low=5, high=5)
    same_again = turned(world, episode, guard=never, method="depth", low=5, high=5, unchanged=True)
    assert same(replace(same_again, provenance=episode.provenance), episode)
    (done,) = same_again.provenance["augment"]
    assert "holes" in done["unchanged"]
    assert "cameras" not in same_again.provenance


def test_drawing_again_does_not_undo_what_was_painted(world: World, episode: Episode) -> None:
    painted = recorded(episode, "background")
    with pytest.raises(AugmentError, match="undo its background"):
        turned(world, painted)
    assert len(turned(world, painted, method="plane", low=3, high=3).provenance["augment"]) == 2


def test_without_depth_there_is_one_clear_line_or_an_estimate(world: World, episode: Episode) -> None:
    recorded_one = replace(episode, provenance={})
    with pytest.raises(AugmentError, match="nobody measured"):
        turned(world, recorded_one, method="depth")
    with pytest.raises(AugmentError, match="not simulated"):
        turned(world, recorded_one)
    depth = world.depth(episode)
    assert depth is not None
    guess = Viewpoint(ViewpointConfig(low=4, high=4, method="depth"), world, lambda pictures: depth["side"])
    new = guess(recorded_one, np.random.default_rng(0))
    assert np.array_equal(new.images["side"], turned(world, episode, low=4, high=4, method="depth").images["side"])


def test_a_depth_model_that_is_not_there_is_said_at_once(world: World, tmp_path) -> None:
    with pytest.raises(AugmentError, match="holds no model"):
        open_viewpoint(ViewpointConfig(method="depth", depth_model=str(tmp_path)), world)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(AugmentError, match=r"not installed|no depth model"):
        open_estimator(tmp_path)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sampler": "arcs"}, "known: arc, small, large"),
        ({"method": "magic"}, "known: exact, depth, plane"),
        ({"low": 5, "high": -5}, "the low before the high"),
        ({"low": float("nan")}, "degrees"),
        ({"depth_model": "models"}, "method=depth"),
        ({"cameras": ["front"]}, "the data set has side, wrist"),
    ],
)
def test_bad_settings_are_refused(world: World, settings: dict, said: str) -> None:
    with pytest.raises(AugmentError, match=said):
        open_viewpoint(ViewpointConfig(**settings), world).contract(world.info)


def test_a_data_set_without_a_camera_to_move_is_refused(world: World) -> None:
    only = replace(world.info, cameras={"wrist": described(WRIST, SIZE)})
    with pytest.raises(AugmentError, match="none to move"):
        open_viewpoint(ViewpointConfig(), World(only)).contract(only)
