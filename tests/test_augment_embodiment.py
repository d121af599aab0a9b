"""Laws of the change of embodiment: the grip goes where it went, and the steps stay what they were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from episode_samples import make_episode, make_info, same

from assets.toys import ToySet
from augment.embodiment import ARMS, Embodiment, EmbodimentConfig, erase, open_embodiment
from augment.errors import AugmentError
from augment.world import World
from episodes import Episode
from sim.camera import described
from sim.expert import Expert, ExpertConfig
from sim.ik import InverseKinematics
from sim.puppet import Puppet
from sim.robots import PANDA
from sim.scene import SceneConfig
from sim.simrobot import SimRobot

SIZE = 64
TOYS = ToySet.sample(0, 1)
STEADY = ["ur5e_robotiq", "iiwa_jaw"]
"""Arms that are as fast as the Panda."""


def cut(episode: Episode, begin: int, end: int) -> Episode:
    """Some of its steps."""
    return replace(
        episode,
        **{key: getattr(episode, key)[begin:end] for key in ("qpos", "gripper", "actions", "sent", "labelled")},
        state=episode.state[begin : end + 1],
        images={name: pictures[begin:end] for name, pictures in episode.images.items()},
        masks={name: masks[begin:end] for name, masks in episode.masks.items()},
    )


@pytest.fixture(scope="module")
def episode() -> Episode:
    with SimRobot(SceneConfig(TOYS.toys[0], size=SIZE)) as robot:
        expert = Expert(robot, ExpertConfig(retries=0))
        for attempt in range(8):
            made = expert.demonstrate(np.random.default_rng(attempt), {"toy": 0}, at=(0.02, -0.03))
            if made is not None:
                return cut(made, 22, 46)
    raise AssertionError("no demonstration")


@pytest.fixture(scope="module")
def world():
    config = SceneConfig(TOYS.toys[0], size=SIZE)
    info = make_info(cameras={camera.name: described(camera, SIZE) for camera in config.cameras})
    with World(info, TOYS) as opened:
        yield opened


@pytest.fixture(scope="module")
def made(episode: Episode, world: World) -> dict[str, tuple[Embodiment, Episode]]:
    """By arm, redrawn."""
    opened = {arm: open_embodiment(EmbodimentConfig(arm, "redraw", speed=3.0), world) for arm in ARMS}
    return {arm: (link, link(episode, np.random.default_rng(0))) for arm, link in opened.items()}


@pytest.mark.parametrize("arm", ARMS)
def test_the_grip_goes_where_the_pandas_went(arm: str, made, episode: Episode, world: World) -> None:
    after = made[arm][1]
    panda = InverseKinematics(world.robot(episode).model, PANDA.joints, PANDA.home)
    puppet = Puppet(world.robot(episode), ARMS[arm], EmbodimentConfig(arm).stand)
    solver = InverseKinematics(puppet.model, ARMS[arm].joints, ARMS[arm].home)
    low, high = np.array([puppet.model.joint(name).range for name in ARMS[arm].joints]).T
    n = len(ARMS[arm].joints)
    for theirs, ours in (
        (episode.qpos, after.qpos),
        (episode.actions[:, :7], after.actions[:, :n]),
        (episode.sent[:, :7], after.sent[:, :n]),
    ):
        assert ((low <= ours) & (ours <= high)).all()
        for before, now in zip(theirs, ours, strict=True):
            (pos, quat), (there, way) = panda.forward(before.astype(float)), solver.forward(now.astype(float))
            assert np.linalg.norm(pos - there) < 1e-3
            assert 2 * np.arccos(min(1.0, abs(quat @ way))) < np.radians(0.5)
    puppet.close()


@pytest.mark.parametrize("arm", ARMS)
def test_steps_labels_and_state_stay(arm: str, made, episode: Episode, world: World) -> None:
    link, after = made[arm]
    assert len(after) == len(episode)
    for kept in ("labelled", "state"):
        assert np.array_equal(getattr(after, kept), getattr(episode, kept))
    assert (after.instruction, after.dt, after.success) == (episode.instruction, episode.dt, episode.success)
    info = link.contract(world.info)
    info.check(after)
    assert (info.robot, info.joints) == (ARMS[arm].name, ARMS[arm].joints)
    assert after.provenance["embodiment"] == ARMS[arm].name
    assert after.provenance["augment"][-1]["error_mm"] < 1
    assert not world.simulated(after)  # the state is the Panda's: nobody may take it for the arm's


@pytest.mark.parametrize("arm", ARMS)
def test_the_jaw_is_as_wide_as_the_pandas(arm: str, made, episode: Episode) -> None:
    after = made[arm][1]
    wide = ARMS[arm].hand.room.opening / PANDA.hand.room.opening
    assert after.gripper * wide == pytest.approx(episode.gripper, abs=1e-6)
    assert after.actions[:, -1] * wide == pytest.approx(episode.actions[:, -1], abs=1e-6)
    assert after.sent[:, -1] * wide == pytest.approx(episode.sent[:, -1], abs=1e-6)


@pytest.mark.parametrize("arm", STEADY)
def test_no_joint_jumps(arm: str, made, episode: Episode) -> None:
    after = made[arm][1]
    assert (np.abs(np.diff(after.qpos, axis=0)) / after.dt <= np.array(ARMS[arm].speed)).all()


def test_the_same_again_and_the_given_one_is_left_alone(made, episode: Episode, world: World) -> None:
    kept = {name: pictures.copy() for name, pictures in episode.images.items()}
    again = open_embodiment(EmbodimentConfig("ur5e_robotiq", "redraw", speed=3.0), world)(episode, np.random.default_rng(5))
    assert same(again, made["ur5e_robotiq"][1])
    assert all(np.array_equal(kept[name], episode.images[name]) for name in kept)


def test_a_composite_looks_as_if_drawn_anew(made, episode: Episode, world: World) -> None:
    pasted = open_embodiment(EmbodimentConfig("ur5e_robotiq"), world)(episode, np.random.default_rng(0))
    drawn = made["ur5e_robotiq"][1]
    error = np.mean((pasted.images["side"].astype(float) - drawn.images["side"]) ** 2)
    both, any_ = (of(pasted.masks["side"], drawn.masks["side"]).sum() for of in (np.logical_and, np.logical_or))
    assert 10 * np.log10(255**2 / error) > 28
    assert both / any_ > 0.85
    assert np.array_equal(pasted.images["wrist"], drawn.images["wrist"])  # of the hand's camera nothing can be kept
    assert not np.array_equal(pasted.images["side"], episode.images["side"])


def test_what_no_arm_can_do_is_refused_in_one_line(episode: Episode, world: World) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(AugmentError, match=r"does not reach: .* mm"):
        open_embodiment(EmbodimentConfig("ur5e_robotiq", base=[-1.0, 0.0, 0.0]), world)(episode, rng)
    with pytest.raises(AugmentError, match="times the greatest speed"):
        open_embodiment(EmbodimentConfig("ur5e_robotiq", speed=0.01), world)(episode, rng)
    with pytest.raises(AugmentError, match="cannot be drawn again"):
        open_embodiment(EmbodimentConfig(), world)(make_episode(), rng)
    with pytest.raises(AugmentError, match="'xarm7'"):
        open_embodiment(EmbodimentConfig(), World(make_info(robot="xarm7")))


@pytest.mark.parametrize(
    "wrong", [{"arm": "puma"}, {"mode": "paint"}, {"base": [1.0]}, {"base": [5, 0, 0]}, {"base": [np.nan] * 3}, {"speed": 0}]
)
def test_a_wrong_setting_says_what_would_do(wrong: dict) -> None:
    with pytest.raises(AugmentError, match=next(iter(wrong))):
        EmbodimentConfig(**wrong)


def test_a_robot_that_passes_by_is_erased_without_a_trace() -> None:
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, (12, 12, 3), np.uint8)
    target = np.zeros((8, 12, 12), bool)
    target[:, 4:7, 4:7] = True
    robot = np.zeros_like(target)
    for t in range(8):
        robot[t, :, t : t + 4] = True
    pictures = np.where(robot[..., None], 0, scene).astype(np.uint8)
    bare, mask = erase(pictures, target & ~robot, robot, np.ones(8, bool))
    assert (bare == scene).all()
    assert np.array_equal(mask, target)


def test_what_no_step_shows_is_filled_from_around() -> None:
    pictures = np.full((3, 16, 16, 3), 90, np.uint8)
    robot = np.zeros((3, 16, 16), bool)
    robot[:, 6:9, 6:9] = True
    pictures[robot] = 255
    bare, mask = erase(pictures, np.zeros_like(robot), robot, np.ones(3, bool))
    assert np.abs(bare.astype(int) - 90).max() <= 2
    assert not mask.any()


def test_an_episode_of_one_step(episode: Episode, world: World) -> None:
    assert len(open_embodiment(EmbodimentConfig(), world)(cut(episode, 0, 1), np.random.default_rng(0))) == 1
