"""`cezanne/Grasp-v0`: the scene as a Gymnasium environment, for people who bring their own agent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

from assets.graspable import Graspable
from assets.toys import ToySet
from hardware.api import Action, Observation
from sim.errors import PlacementError, SceneError
from sim.scene import SceneConfig
from sim.simrobot import SimRobot


class GraspEnv(gymnasium.Env[Any, np.ndarray]):
    """Lift one object from the table.

    Action (n + 1,): absolute joint targets [rad], then the gripper, 0 closed to 1 open. Observation: a picture and a mask of
    every camera, joint positions, gripper. Reward 1 in the step in which the object has been 0.1 m above its rest
    height, held, for half a second, else 0; that step terminates the episode.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(
        self,
        objects: Sequence[Graspable] | None = None,
        *,
        size: int = 128,
        area: float = 0.1,
        lift: float = 0.1,
        hold: float = 0.5,
        render_mode: str | None = None,
    ) -> None:
        """Args:
        objects: to grasp, one drawn at each reset; 16 random toys by default.
        size: of the pictures [px].
        area: objects lie within this distance of the middle of the workspace, in x and in y [m].
        lift: a success is this far above the rest height [m].
        hold: for this long [s].
        render_mode: `rgb_array` or None.
        """
        if render_mode not in (None, "rgb_array"):
            raise SceneError(f"render_mode={render_mode!r}; known: rgb_array")
        self.render_mode = render_mode
        self._objects = tuple(objects) if objects is not None else ToySet.sample(0, 16).toys
        if not self._objects:
            raise SceneError("objects is empty; at least one object is needed")
        self._size, self._area, self._lift = size, area, lift
        self._robot = self._connect(self._objects[0])
        self._hold = round(hold / self._robot.dt)
        low, high = self._robot.limits
        self.action_space = spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)
        names = [camera.name for camera in self._robot.config.cameras]
        self.observation_space = spaces.Dict(
            {
                **{f"image.{name}": spaces.Box(0, 255, (size, size, 3), np.uint8) for name in names},
                **{f"mask.{name}": spaces.Box(0, 1, (size, size), np.uint8) for name in names},
                "qpos": spaces.Box((low[:-1] - 0.2).astype(np.float32), (high[:-1] + 0.2).astype(np.float32), dtype=np.float32),
                "gripper": spaces.Box(0, 1, (1,), np.float32),
            }
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """A new object at a new place. options may name `object` (its number) and `xy` (2,) [m]."""
        super().reset(seed=seed)
        options = options or {}
        number = int(options.get("object", self.np_random.integers(len(self._objects))))
        if not 0 <= number < len(self._objects):
            raise SceneError(f"object={number}; there are {len(self._objects)}, from 0")
        obj = self._objects[number]
        if obj is not self._robot.config.object:
            self._robot.close()
            self._robot = self._connect(obj)
        for _ in range(8):
            xy = options.get("xy", self.np_random.uniform(-self._area, self._area, 2))
            try:
                self._robot.place(np.asarray(xy, float), self.np_random)
                break
            except PlacementError:
                if "xy" in options:
                    raise
        else:
            raise PlacementError(f"object {obj.name!r} came to rest nowhere")
        self._rest, self._high = float(self._robot.object_pose[0][2]), 0
        return self._seen(self._robot.observe()), {"object": obj.name}

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """One control period. Raises ActionError for an action that is not finite."""
        action = np.asarray(action, float)
        self._robot.command(Action(action[:-1], action[-1:]))
        lift = float(self._robot.object_pose[0][2]) - self._rest
        self._high = self._high + 1 if lift > self._lift else 0
        success = self._high > self._hold and self._robot.held
        return self._seen(self._robot.observe()), float(success), success, False, {"lift": lift, "success": success}

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """The first camera's picture at 480 px, where render_mode is `rgb_array`."""
        if self.render_mode is None:
            return None
        return self._robot.picture(self._robot.config.cameras[0].name, 480)

    def close(self) -> None:
        """Gives the GL contexts back."""
        self._robot.close()

    def _connect(self, obj: Graspable) -> SimRobot:
        robot = SimRobot(SceneConfig(obj, size=self._size))
        robot.connect()
        return robot

    def _seen(self, observation: Observation) -> dict[str, np.ndarray]:
        return {
            **{f"image.{name}": np.ascontiguousarray(image) for name, image in observation.images.items()},
            **{f"mask.{name}": mask.astype(np.uint8) for name, mask in observation.masks.items()},
            "qpos": observation.qpos.astype(np.float32),
            "gripper": observation.gripper.astype(np.float32),
        }
