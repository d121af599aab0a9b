"""The Gymnasium environment keeps Gymnasium's contract, one by one and in vectors, for every robot."""

import multiprocessing
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import sim.env
from assets.toys import ToySet
from hardware.api import ActionError
from sim.env import GraspEnv
from sim.errors import SceneError
from sim.expert import Expert
from sim.robots import ROBOTS

ROOT = Path(__file__).parents[1]
NAME = "sim:cezanne/Grasp-v0"
TOYS = ToySet.sample(5, 3).toys
SMALL: dict[str, Any] = {"objects": TOYS, "size": 32}


@pytest.fixture(scope="module")
def env():
    made = GraspEnv(TOYS, size=32, render_mode="rgb_array", normalised=False)
    yield made
    made.close()


def home(env: GraspEnv) -> np.ndarray:
    return np.append(env._robot.arm.home, env._robot.arm.hand.ready).astype(np.float32)


def same(one: Any, two: Any) -> bool:
    return set(one) == set(two) and all(np.array_equal(one[key], two[key]) for key in one)


def vector(**more: Any) -> Any:
    settings = {"shared_memory": True, **more}
    return gymnasium.make_vec(NAME, num_envs=2, vectorization_mode="async", vector_kwargs=settings, normalised=False, size=32)


def test_a_name_is_enough_to_make_it():
    ask = "import gymnasium; print(gymnasium.make('sim:cezanne/Grasp-v0', size=32).spec.id)"
    said = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert said.stdout.strip() == "cezanne/Grasp-v0", said.stderr


@pytest.mark.parametrize("robot", [name if name == "panda" else pytest.param(name, marks=pytest.mark.slow) for name in ROBOTS])
def test_passes_gymnasiums_own_check_without_a_warning(robot):
    made = gymnasium.make(NAME, robot=robot, render_mode="rgb_array", **SMALL)
    arm = ROBOTS[robot]
    assert made.action_space.shape == (len(arm.joints) + len(arm.hand.values),)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(made.unwrapped)
        seen, _ = made.reset(seed=0)
        assert made.observation_space.contains(seen)
    made.close()
    made.close()


def test_whatever_is_done_to_it_stays_in_its_space(env):
    env.action_space.seed(0)
    env.reset(seed=2)
    for _ in range(40):
        seen, *_ = env.step(env.action_space.sample())
        assert env.observation_space.contains(seen)


def test_a_seed_gives_the_same_episode_whatever_happened_before(env):
    def episode(made: GraspEnv) -> list:
        seen, told = made.reset(seed=4)
        steps = [made.step(home(made) + np.float32(0.02 * k)) for k in range(5)]
        return [(seen, told), *[(step[0], step[4]) for step in steps]]

    first = episode(env)
    for seed in range(4):
        env.reset(seed=seed)
        env.step(env.action_space.sample())
    fresh = GraspEnv(TOYS, size=32, normalised=False)
    for again in (episode(env), episode(fresh)):
        assert all(same(a[0], b[0]) and a[1] == b[1] for a, b in zip(first, again, strict=True))
    fresh.close()


@pytest.mark.parametrize("robot", ["panda", "ur5e_robotiq"])
def test_normalised_actions_span_the_range_of_each_joint(robot):
    one, two = (GraspEnv(TOYS, size=16, robot=robot, normalised=how) for how in (True, False))
    low, high = two._robot.limits
    rng, n = np.random.default_rng(0), len(two._robot.arm.joints)
    assert (one.action_space.low[:n] == -1).all()
    assert (one.action_space.high == 1).all()
    assert two.action_space.low == pytest.approx(low, abs=1e-6)
    share = np.append(rng.uniform(-0.2, 0.2, n), rng.uniform(0, 1, len(low) - n))
    target = np.append((low + (high - low) * (share + 1) / 2)[:n], share[n:])
    for env, action in ((one, share), (two, target)):
        env.reset(seed=0)
        env.step(action)
    assert one._robot.state() == pytest.approx(two._robot.state(), abs=1e-9)
    for env in (one, two):
        env.close()


def test_objects_may_be_named_by_their_source():
    made = GraspEnv("household", size=16)
    assert made.reset(seed=0)[1]["object"] in {"bottle", "bread", "can", "cereal", "lemon", "milk"}
    made.close()


def test_scenes_are_kept_but_not_without_end(env, monkeypatch):
    monkeypatch.setattr(sim.env, "_KEPT", 2)
    made = GraspEnv(TOYS, size=32)
    for number in (0, 1, 0, 2, 0, 1):
        made.reset(options={"object": number})
        assert len(made._kept) <= 2
        assert made._robot.config.object is TOYS[number]
    made.close()


def test_the_expert_is_rewarded_once_and_idleness_never(env):
    env.reset(seed=1, options={"object": 0, "xy": (0.0, 0.0)})
    chosen = Expert(env._robot).choose()
    assert chosen is not None
    steps = [env.step(target.astype(np.float32)) for target in chosen[1].targets]
    done = [k for k, (_, _, terminated, _, _) in enumerate(steps) if terminated]
    assert done
    assert steps[done[0]][1] == 1.0
    assert sum(reward for _, reward, *_ in steps[: done[0]]) == 0
    env.reset(seed=1)
    assert not any(env.step(home(env))[2] for _ in range(15))


def test_rendering_and_bad_input(env):
    env.reset(seed=0)
    picture = env.render()
    assert picture.shape == (480, 480, 3)
    assert picture.std() > 20
    with pytest.raises(ActionError):
        env.step(np.full(8, np.nan, np.float32))
    with pytest.raises(ActionError, match=r"\(7,\).*\(8,\)"):
        env.step(np.zeros(7, np.float32))
    with pytest.raises(SceneError, match="object=9"):
        env.reset(options={"object": 9})
    with pytest.raises(SceneError, match="known: object, xy"):
        env.reset(options={"toy": 1})
    with pytest.raises(SceneError, match="two numbers"):
        env.reset(options={"xy": (0.0, np.nan)})
    with pytest.raises(SceneError, match="render_mode"):
        GraspEnv(TOYS, render_mode="human")
    with pytest.raises(SceneError, match="empty"):
        GraspEnv(())
    with pytest.raises(SceneError, match="known: panda"):
        GraspEnv(TOYS, robot="pandas")
    with pytest.raises(SceneError, match="area"):
        GraspEnv(TOYS, area=1.0)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_a_vector_of_processes_sees_what_one_environment_sees(context):
    if context not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {context} here")
    env = GraspEnv(size=32, normalised=False)
    env.reset(seed=0)  # this process has drawn: a fork must not draw with what is ours
    many = vector(context=context)
    seen, told = many.reset(seed=[4, 7])
    actions = np.stack([home(env)] * 2)
    after, *_ = many.step(actions)
    for k, seed in enumerate((4, 7)):
        alone, said = env.reset(seed=seed)
        assert same({key: value[k] for key, value in seen.items()}, alone)
        assert told["object"][k] == said["object"]
        assert same({key: value[k] for key, value in after.items()}, env.step(actions[k])[0])
    for made in (many, many, env):
        made.close()


@pytest.mark.parametrize("mode", AutoresetMode)
def test_episodes_of_a_vector_begin_anew(mode):
    many = gymnasium.make_vec(
        NAME, num_envs=2, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, max_episode_steps=3, **SMALL
    )
    first, _ = many.reset(seed=1)
    hold = np.concatenate([first["qpos"], np.ones((2, 1), np.float32)], axis=1)
    for _ in range(3):
        seen, _, _, truncated, told = many.step(hold)
    assert truncated.all()
    if mode == AutoresetMode.SAME_STEP:
        assert not same(told["final_obs"][0], {key: value[0] for key, value in seen.items()})
    elif mode == AutoresetMode.DISABLED:
        many.reset(options={"reset_mask": np.array([True, True])})
    _, _, _, truncated, _ = many.step(hold)
    assert not truncated.any()
    many.close()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_an_error_in_a_process_is_raised_here_and_leaves_none_behind():
    many = vector()
    workers = [process.pid for process in many.processes]
    many.reset(seed=0)
    with pytest.raises(ActionError):
        many.step(np.full(many.action_space.shape, np.nan, np.float32))
    many.close(terminate=True)
    assert not any(os.path.exists(f"/proc/{pid}") for pid in workers)
