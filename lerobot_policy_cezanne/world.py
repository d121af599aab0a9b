"""`--env.type=cezanne_grasp`: `cezanne/Grasp-v0` with observations by LeRobot's names, and the target's mask among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeLimit
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.envs import EnvConfig
from lerobot.envs.utils import NEW_ROLLOUT_OPTION
from lerobot.utils.constants import ACTION, OBS_IMAGES, OBS_STATE

INSTRUCTION = "pick up the object"
"""As in `hardware.rollout`."""


@EnvConfig.register_subclass("cezanne_grasp")
@dataclass
class CezanneGraspConfig(EnvConfig):
    """`--env.type=cezanne_grasp`."""

    task: str | None = "Grasp-v0"
    fps: int = 20
    episode_length: int = 160
    """Control steps of a trial, as in `cezanne eval`."""
    objects: str = "toys:1000000:50"
    """What lies on the table, one drawn for each trial: toys:SEED:NUMBER, ycb, household or a folder. By default the toys of `cezanne eval
    suite=toys`, which training does not see."""
    robot: str = "panda"
    """An embodiment; a name of `cezanne robots`."""
    size: int = 128
    """Of the pictures [px]."""
    area: float = 0.1
    """Objects lie within this distance of the middle of the workspace, in x and in y [m]."""
    features: dict[str, PolicyFeature] = field(default_factory=dict)
    features_map: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from sim.robots import find_robot
        from sim.scene import SceneConfig

        arm = find_robot(self.robot)
        width = (len(arm.joints) + len(arm.hand.values),)
        self.features = {ACTION: PolicyFeature(FeatureType.ACTION, width), "agent_pos": PolicyFeature(FeatureType.STATE, width)}
        self.features_map = {ACTION: ACTION, "agent_pos": OBS_STATE}
        for camera in SceneConfig.cameras:
            self.features[f"pixels/{camera.name}"] = PolicyFeature(FeatureType.VISUAL, (self.size, self.size, 3))
            self.features_map[f"pixels/{camera.name}"] = f"{OBS_IMAGES}.{camera.name}"

    @property
    def gym_kwargs(self) -> dict[str, Any]:
        """What the environment is made with."""
        return {"objects": self.objects, "robot": self.robot, "size": self.size, "area": self.area, "steps": self.episode_length}

    def create_envs(self, n_envs: int, use_async_envs: bool = False) -> dict[str, dict[int, gymnasium.vector.VectorEnv]]:
        """One task, tried in n worlds side by side: in processes of their own if that is asked for."""
        make: list[Callable[[], gymnasium.Env[Any, Any]]] = [partial(open_world, **self.gym_kwargs)] * n_envs
        if use_async_envs and n_envs > 1:
            found = AsyncVectorEnv(make, context="forkserver", autoreset_mode=AutoresetMode.SAME_STEP)
        else:
            found = SyncVectorEnv(make, autoreset_mode=AutoresetMode.SAME_STEP)
        return {self.type: {0: found}}


class GraspWorld(gymnasium.Wrapper[Any, np.ndarray, Any, np.ndarray]):
    """Observation: `pixels` by camera (H, W, 3) uint8, `agent_pos` joints [rad] then the gripper (A,) float32, `mask.CAMERA` (H, W) uint8.

    Actions are absolute targets, as policies and data sets have them. `is_success` of info says how a trial ended.
    """

    task = task_description = INSTRUCTION

    def __init__(self, env: gymnasium.Env[Any, np.ndarray]) -> None:
        super().__init__(env)
        inner = env.observation_space
        assert isinstance(inner, spaces.Dict)
        self._cameras = [name.removeprefix("image.") for name in inner if name.startswith("image.")]
        low, high = (np.concatenate([getattr(inner[name], end) for name in ("qpos", "gripper")]) for end in ("low", "high"))
        self.observation_space = spaces.Dict(
            {
                "pixels": spaces.Dict({name: inner[f"image.{name}"] for name in self._cameras}),
                "agent_pos": spaces.Box(low, high, dtype=np.float32),
                **{f"mask.{name}": inner[f"mask.{name}"] for name in self._cameras},
            }
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """A new object at a new place; LeRobot's own mark among the options means nothing here."""
        kept = {key: value for key, value in (options or {}).items() if key != NEW_ROLLOUT_OPTION}
        seen, info = self.env.reset(seed=seed, options=kept)
        return self._named(seen), {**info, "is_success": False}

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """One control period."""
        seen, reward, ended, cut, info = self.env.step(action)
        return self._named(seen), float(reward), ended, cut, {**info, "is_success": bool(info["success"])}

    def _named(self, seen: dict[str, np.ndarray]) -> dict[str, Any]:
        return {
            "pixels": {name: seen[f"image.{name}"] for name in self._cameras},
            "agent_pos": np.concatenate([seen["qpos"], seen["gripper"]]),
            **{f"mask.{name}": seen[f"mask.{name}"] for name in self._cameras},
        }


def open_world(objects: str, robot: str, size: int, area: float, steps: int) -> gymnasium.Env[Any, Any]:
    """The environment of one process. Raises SceneError, ObjectError, EvalError."""
    import sim  # noqa: F401  chooses MuJoCo's way of rendering, before MuJoCo is imported
    from eval.sources import open_source
    from sim.env import GraspEnv

    env = GraspEnv(open_source(objects), robot=robot, size=size, area=area, normalised=False, render_mode="rgb_array")
    return TimeLimit(GraspWorld(env), steps)
