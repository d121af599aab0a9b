"""The Gymnasium environment keeps Gymnasium's contract."""

import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from assets.toys import ToySet
from hardware.api import ActionError
from sim.env import GraspEnv
from sim.errors import SceneError
from sim.expert import Expert

ROOT = Path(__file__).parents[1]
TOYS = ToySet.sample(5, 2).toys


@pytest.fixture(scope="module")
def env():
    made = GraspEnv(TOYS, size=32, render_mode="rgb_array")
    yield made
    made.close()


def test_a_name_is_enough_to_make_it():
    ask = "import gymnasium; print(gymnasium.make('sim:cezanne/Grasp-v0', size=32).spec.id)"
    said = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert said.stdout.strip() == "cezanne/Grasp-v0", said.stderr


def test_is_registered_and_passes_gymnasiums_own_check():
    env = gymnasium.make("cezanne/Grasp-v0", objects=TOYS, size=32)
    check_env(env.unwrapped, skip_render_check=True)
    env.close()


def test_a_seed_gives_the_same_episode(env):
    first, told = env.reset(seed=4)
    again, told_again = env.reset(seed=4)
    assert told == told_again
    assert all(np.array_equal(first[key], again[key]) for key in first)


def test_the_expert_is_rewarded_once_and_idleness_never(env):
    env.reset(seed=1, options={"object": 0, "xy": (0.0, 0.0)})
    chosen = Expert(env._robot).choose()
    assert chosen is not None
    steps = [env.step(target.astype(np.float32)) for target in chosen[1].targets]
    done = [k for k, (_, reward, terminated, _, _) in enumerate(steps) if terminated]
    assert done
    assert steps[done[0]][1] == 1.0
    assert sum(reward for _, reward, *_ in steps[: done[0]]) == 0
    env.reset(seed=1)
    home = np.append(env._robot.arm.home, 1).astype(np.float32)
    assert not any(env.step(home)[2] for _ in range(15))


def test_rendering_and_bad_input(env):
    env.reset(seed=0)
    assert env.render().shape == (480, 480, 3)
    with pytest.raises(ActionError):
        env.step(np.full(8, np.nan, np.float32))
    with pytest.raises(SceneError, match="object=9"):
        env.reset(options={"object": 9})
    with pytest.raises(SceneError, match="render_mode"):
        GraspEnv(TOYS, render_mode="human")
    with pytest.raises(SceneError, match="empty"):
        GraspEnv(())
