"""`cezanne/Grasp-v0`: the scene as a Gymnasium environment, for people who bring their own agent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

from assets.graspable import Graspable
from assets.objects import open_objects
from assets.toys import ToySet
from hardware.api import Action, ActionError, Observation
from sim.easel import Easel
from sim.errors import PlacementError, SceneError
from sim.render import Renderer
from sim.scene import SceneConfig
from sim.simrobot import SimRobot

_FILM = 480
"""Side of what `render` gives [px]."""
_KEPT = 16
"""So many compiled scenes are kept: one takes 12 MB, and 30 ms to make, as long as eight steps."""
_BEYOND = 0.2
"""Of their range joints may be pushed so far [rad]."""


class GraspEnv(gymnasium.Env[Any, np.ndarray]):
    """Lift one object from the table.

    Action (n + m,): joint targets, -1 to 1 over the range of each joint (radians with normalised=False), then the hand's values, 0 closed
    to 1 open. Observation: a picture `image.NAME`
    (size, size, 3) and a mask `mask.NAME` (size, size) of the object, both uint8, of every camera; `qpos` (n,) [rad] and `gripper` (m,),
    float32. Reward 1 in the step in which the object has been 0.1 m above its rest height, held, for half a second, else 0; that step
    terminates the episode. A seed repeats an episode bit for bit, whatever the environment did before.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(
        self,
        objects: Sequence[Graspable] | str | None = None,
        *,
        robot: str = "panda",
        size: int = 128,
        area: float = 0.1,
        lift: float = 0.1,
        hold: float = 0.5,
        normalised: bool = True,
        guarded: bool = True,
        render_mode: str | None = None,
    ) -> None:
        """Args:
        objects: to grasp, one drawn at each reset: values, or a source as `assets.objects.open_objects` takes it (a folder, `household`);
            16 random toys by default.
        robot: an embodiment, a name of `sim.robots.ROBOTS`; it decides n and m.
        size: of the pictures [px].
        area: objects lie within this distance of the middle of the workspace, in x and in y [m].
        lift: a success is this far above the rest height [m].
        hold: for this long [s].
        normalised: whether an action's joint targets go from -1 to 1; else they are absolute [rad], as policies and data sets have them.
        guarded: draw in a process of its own, which is replaced by one of the other back end when a draw hangs (`sim/easel.py`);
            `render_stalls` of info then counts them. Else in this one, which a draw that hangs ends: up to a third faster.
        render_mode: `rgb_array` or None.

        Raises SceneError for arguments of which no scene can be made.
        """
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise SceneError(f"render_mode={render_mode!r}; known: rgb_array")
        if not (0 <= area <= 0.15 and lift > 0 and hold >= 0):
            raise SceneError(f"area={area} m, lift={lift} m, hold={hold} s; area is 0 to 0.15, lift more than 0, hold not negative")
        self.render_mode = render_mode
        self._objects: tuple[Graspable, ...] = (
            ToySet.sample(0, 16).toys if objects is None else tuple(open_objects(objects).objects if isinstance(objects, str) else objects)
        )
        if not self._objects:
            raise SceneError("objects is empty; at least one object is needed")
        self._embodiment, self._size, self._area, self._lift = robot, size, area, lift
        self._renderer = Easel if guarded else Renderer
        self._kept: dict[int, SimRobot] = {}
        self._robot = self._of(0)
        self._hold = round(hold / self._robot.dt)
        self._rest, self._high = 0.0, 0
        low, high = self._robot.limits
        n = len(self._robot.arm.joints)
        self._middle, self._half = ((high + low)[:n] / 2, (high - low)[:n] / 2) if normalised else (np.zeros(n), np.ones(n))
        least, most = (np.concatenate([(end[:n] - self._middle) / self._half, end[n:]]) for end in (low, high))
        self.action_space: spaces.Box = spaces.Box(least.astype(np.float32), most.astype(np.float32), dtype=np.float32)
        names = [camera.name for camera in self._robot.config.cameras]
        self.observation_space = spaces.Dict(
            {
                **{f"image.{name}": spaces.Box(0, 255, (size, size, 3), np.uint8) for name in names},
                **{f"mask.{name}": spaces.Box(0, 1, (size, size), np.uint8) for name in names},
                "qpos": spaces.Box((low[:n] - _BEYOND).astype(np.float32), (high[:n] + _BEYOND).astype(np.float32), dtype=np.float32),
                "gripper": spaces.Box(0, 1, (len(low) - n,), np.float32),
            }
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """A new object at a new place. options may name `object` (its number) and `xy` (2,) [m].

        Raises SceneError for options that mean nothing, PlacementError where the object does not stay at `xy`.
        """
        super().reset(seed=seed)
        options = options or {}
        if unknown := set(options) - {"object", "xy"}:
            raise SceneError(f"options {', '.join(sorted(map(str, unknown)))} mean nothing; known: object, xy")
        number = int(options.get("object", self.np_random.integers(len(self._objects))))
        if not 0 <= number < len(self._objects):
            raise SceneError(f"object={number}; there are {len(self._objects)}, from 0")
        self._robot = self._of(number)
        for _ in range(8):
            xy = np.asarray(options.get("xy", self.np_random.uniform(-self._area, self._area, 2)), float)
            if xy.shape != (2,) or not np.isfinite(xy).all():
                raise SceneError(f"xy={options['xy']!r}; two numbers are needed, from the middle of the workspace [m]")
            try:
                self._robot.place(xy, self.np_random)
                break
            except PlacementError:
                if "xy" in options:
                    raise
        else:
            raise PlacementError(f"object {self._objects[number].name!r} came to rest nowhere")
        self._rest, self._high = float(self._robot.object_pose[0][2]), 0
        return self._seen(self._robot.observe()), {"object": self._objects[number].name} | self._hung()

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """One control period. Raises ActionError for an action of another shape, or one that is not finite."""
        action = np.asarray(action, float)
        if action.shape != self.action_space.shape:
            raise ActionError(f"an action of {action.shape}; {self._embodiment} takes {self.action_space.shape}")
        n = len(self._middle)
        self._robot.command(Action(self._middle + self._half * action[:n], action[n:]))
        lift = float(self._robot.object_pose[0][2]) - self._rest
        self._high = self._high + 1 if lift > self._lift else 0
        success = self._high > self._hold and self._robot.held
        return self._seen(self._robot.observe()), float(success), success, False, {"lift": lift, "success": success} | self._hung()

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """The first camera's picture at 480 px, where render_mode is `rgb_array`."""
        if self.render_mode is None:
            return None
        return np.ascontiguousarray(self._robot.picture(self._robot.config.cameras[0].name, _FILM))

    def close(self) -> None:
        """Gives back what drawing took; idempotent."""
        for robot in self._kept.values():
            robot.close()

    def _of(self, number: int) -> SimRobot:
        """The scene of an object, connected; of those that were used longest ago one makes room."""
        robot = self._kept.pop(number, None)
        if robot is None:
            config = SceneConfig(self._objects[number], size=self._size, robot=self._embodiment)
            robot = SimRobot(config, renderer=self._renderer)
            robot.connect()
            if len(self._kept) == _KEPT:
                self._kept.pop(next(iter(self._kept))).close()
        self._kept[number] = robot
        return robot

    def _hung(self) -> dict[str, Any]:
        """What info says of draws that hung, where one did."""
        stalls = self._robot.renderer.stalls
        return {"render_stalls": dict(stalls)} if stalls else {}

    def _seen(self, observation: Observation) -> dict[str, np.ndarray]:
        return {
            **{f"image.{name}": np.ascontiguousarray(image) for name, image in observation.images.items()},
            **{f"mask.{name}": mask.astype(np.uint8) for name, mask in observation.masks.items()},
            "qpos": observation.qpos.astype(np.float32),
            "gripper": observation.gripper.astype(np.float32),
        }
