"""`robosuite.make("CezanneGrasp", robots="Panda")`: our task for people who live in robosuite."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from robosuite.environments.manipulation.manipulation_env import ManipulationEnv
from robosuite.models.arenas import TableArena
from robosuite.models.tasks import ManipulationTask
from robosuite.utils.observables import Observable, sensor
from robosuite.utils.transform_utils import convert_quat

from assets.graspable import Graspable
from assets.objects import open_objects
from assets.toys import ToySet
from sim.bridge.thing import Thing
from sim.bridge.wheel import drawn_from
from sim.errors import PlacementError, SceneError
from sim.rotation import drawn_rotation
from sim.support import lowest
from sim.table import WORKSPACE

_BEST = 2.25
"""Of the unscaled reward, as in robosuite's Lift: reaching 1, grasping 0.25, lifted 2.25 instead."""
_AWAY = 0.05
"""An object that comes to rest further than this from where it was put has rolled away [m]."""


class CezanneGrasp(ManipulationEnv):
    """Lift one object, another at each reset, from robosuite's table.

    Solved when it has been `lift` above its rest height, between both fingers, for `hold`: our rule, where robosuite's Lift asks
    for 4 cm at one moment. The reward is 1 then; with `reward_shaping`, reaching and grasping count too, as in Lift.
    Observables: object_pos (3,) [m], object_quat (4,) xyzw, gripper_to_object_pos (3,) [m], and those of the robot and the cameras.
    """

    sim: Any
    robots: Any
    model: Any

    def __init__(
        self,
        robots: Any,
        *,
        toys: tuple[int, int] = (0, 16),
        objects: Sequence[Graspable] | str | None = None,
        area: float = 0.1,
        lift: float = 0.1,
        hold: float = 0.5,
        table_full_size: tuple[float, float, float] = (0.8, 0.8, 0.05),
        table_friction: tuple[float, float, float] = (1.0, 5e-3, 1e-4),
        use_object_obs: bool = True,
        reward_scale: float | None = 1.0,
        reward_shaping: bool = False,
        control_freq: int = 20,
        seed: int | None = None,
        **theirs: Any,
    ) -> None:
        """Args:
        robots: one arm with a gripper of two fingers, as robosuite names it: Panda, UR5e, Sawyer, ...
        toys: seed and number of the toys to grasp, as in `ToySet.sample`.
        objects: instead of toys: Graspables, "household", or a folder as `assets.objects.open_objects` takes it.
        area: objects lie within this distance of the middle of the workspace, 0.5 m in front of the base, in x and in y [m].
        lift: a success is this far above the rest height [m].
        hold: for this long [s].
        table_full_size: of the table [m]; its top is at 0.8 m as in robosuite's other tasks.
        table_friction: sliding, torsional, rolling.
        use_object_obs: whether the object's pose is observed.
        reward_scale: the greatest reward; None: 2.25.
        reward_shaping: also for reaching and grasping.
        control_freq: control steps a second [Hz].
        seed: of objects, places and the robot's initial noise. None: from numpy's global state, which `GymWrapper.reset(seed=...)` sets.
        theirs: what any task of robosuite's takes: controller_configs, gripper_types, camera_names, horizon, hard_reset, ...

        Raises:
            SceneError: for numbers that make no task, and for objects that do not compile.
            ObjectError: the folder cannot be read.
        """
        if isinstance(robots, list | tuple) and len(robots) != 1:
            raise SceneError(f"CezanneGrasp has one robot, got {len(robots)}: {', '.join(map(str, robots))}")
        if not 0 <= area <= 0.2:
            raise SceneError(f"area={area} m; objects lie within 0 to 0.2 m of the middle of the workspace")
        if not 0 < lift <= 0.5 or not 0 <= hold <= 10:
            raise SceneError(f"lift={lift} m, hold={hold} s; a success is a lift of more than 0 and at most 0.5 m for 0 to 10 s")
        self.items: tuple[Graspable, ...] = _opened(toys, objects)
        self.area, self.lift, self.hold = area, lift, hold
        self.table_full_size, self.table_friction = table_full_size, table_friction
        self.table_offset = np.array([0.0, 0.0, 0.8])
        self.use_object_obs, self.reward_scale, self.reward_shaping = use_object_obs, reward_scale, reward_shaping
        self._given_seed = seed
        super().__init__(robots=robots, control_freq=control_freq, seed=seed, **theirs)

    def reward(self, action: Any = None) -> float:
        """Of the present state; see the class."""
        reward = 0.0
        if self._check_success():
            reward = _BEST
        elif self.reward_shaping:
            gripper = self.robots[0].gripper
            away = self._gripper_to_target(gripper=gripper, target=self.object.root_body, target_type="body", return_distance=True)
            reward = 1 - np.tanh(10 * away) + 0.25 * self._held()
        return float(reward if self.reward_scale is None else reward * self.reward_scale / _BEST)

    def visualize(self, vis_settings: dict[str, bool]) -> None:
        """As robosuite's tasks do: with "grippers", the gripper's mark shows how near the object is."""
        super().visualize(vis_settings=vis_settings)
        if vis_settings["grippers"]:
            self._visualize_gripper_to_target(gripper=self.robots[0].gripper, target=self.object)

    # --- what robosuite calls

    def _load_model(self) -> None:
        super()._load_model()
        model = self.robots[0].robot_model
        model.set_base_xpos(model.base_xpos_offset["table"](self.table_full_size[0]))
        arena = TableArena(self.table_full_size, self.table_friction, self.table_offset)
        arena.set_origin([0, 0, 0])
        self.item = self.items[int(self._dice.integers(len(self.items)))]
        self.object = Thing(self.item)
        self.model = ManipulationTask(mujoco_arena=arena, mujoco_robots=[model], mujoco_objects=[self.object])

    def _setup_references(self) -> None:
        super()._setup_references()
        self.object_body_id = self.sim.model.body_name2id(self.object.root_body)
        self._z = self.sim.model.get_joint_qpos_addr(self.object.joints[0])[0] + 2
        self._touched = [self.sim.model.geom_name2id(name) for name in self.object.contact_geoms]

    def _setup_observables(self) -> OrderedDict[str, Any]:
        observables = super()._setup_observables()
        if not self.use_object_obs:
            return observables

        @sensor(modality="object")
        def object_pos(obs_cache: dict[str, Any]) -> np.ndarray:
            return np.array(self.sim.data.body_xpos[self.object_body_id])

        @sensor(modality="object")
        def object_quat(obs_cache: dict[str, Any]) -> np.ndarray:
            return convert_quat(np.array(self.sim.data.body_xquat[self.object_body_id]), to="xyzw")

        sensors = [object_pos, object_quat]
        for whole, short in zip(self._get_arm_prefixes(self.robots[0]), self._get_arm_prefixes(self.robots[0], False), strict=True):
            sensors.append(self._get_obj_eef_sensor(whole, "object_pos", f"{short}gripper_to_object_pos", "object"))
        for made in sensors:
            observables[made.__name__] = Observable(name=made.__name__, sensor=made, sampling_rate=self.control_freq)
        return observables

    def _reset_internal(self) -> None:
        with drawn_from(None if self._given_seed is None else self.rng):  # the robot's initial noise
            super()._reset_internal()
        if not self.deterministic_reset:
            self._place()
        self.begin()

    def _post_action(self, action: Any) -> tuple[float, bool, dict[str, Any]]:
        self._high = self._high + 1 if self._height() - self._rest >= self.lift else 0
        reward, done, info = super()._post_action(action)
        return reward, done, {**info, "lift": self._height() - self._rest, "success": self._check_success()}

    def _check_success(self) -> bool:
        return self._high > round(self.hold * self.control_freq) and self._held()

    # --- ours

    def begin(self) -> None:
        """From here on, lifted means lifted from where the object is now."""
        self._rest, self._high = self._height(), 0

    @property
    def _dice(self) -> np.random.Generator:
        """Where this episode's luck comes from."""
        return self.rng if self._given_seed is not None else np.random.default_rng(np.random.randint(2**31))  # noqa: NPY002  theirs

    def _held(self) -> bool:
        """Whether the object touches both fingers."""
        gripper = self.robots[0].gripper[self.robots[0].arms[0]]
        sides = [gripper.important_geoms[f"{side}_finger"] for side in ("left", "right")]
        return bool(self._check_grasp(gripper=sides, object_geoms=self.object))

    def _height(self) -> float:
        return float(self.sim.data.qpos[self._z])  # after a step, poses of bodies are a timestep behind

    def _place(self) -> None:
        """Lays the object on the table, at rest. Raises PlacementError where it rolls away, 16 times."""
        dice, sim = self._dice, self.sim
        model: mujoco.MjModel = sim.model._model
        data: mujoco.MjData = sim.data._data
        joint = model.joint(self.object.joints[0])
        pose, velocity = data.qpos[joint.qposadr[0] :][:7], data.qvel[joint.dofadr[0] :][:6]
        base = sim.data.get_body_xpos(self.robots[0].robot_model.root_body)
        others = np.ones(model.nq, bool)
        others[joint.qposadr[0] :][:7] = False
        still = data.qpos[others].copy()
        top = self.table_offset[2]
        for _ in range(16):
            put = base[:2] + WORKSPACE + dice.uniform(-self.area, self.area, 2)
            stands = self.item.upright or bool(dice.random() < 0.5)
            pose[:2], pose[2], pose[3:] = put, top + 0.5, drawn_rotation(dice, stands=stands)
            data.qvel[:] = 0
            sim.forward()
            pose[2] -= min(lowest(model, data, geom) for geom in self._touched) - top - 0.001
            calm = 0
            for _ in range(60):  # at most 3 s, the robot held where it is
                for _ in range(25):
                    mujoco.mj_step(model, data)
                    data.qpos[others] = still
                    data.qvel[: joint.dofadr[0]] = data.qvel[joint.dofadr[0] + 6 :] = 0
                calm = calm + 1 if np.abs(velocity[:3]).max() < 0.02 and np.abs(velocity[3:]).max() < 0.6 else 0
                if calm == 4:
                    break
            velocity[:] = 0
            data.time = 0.0
            sim.forward()
            gap = min(lowest(model, data, geom) for geom in self._touched) - top
            if np.isfinite(data.qpos).all() and calm and np.abs(pose[:2] - put).max() < _AWAY and abs(gap) < 0.004:
                return
        raise PlacementError(f"object {self.item.name!r} came to rest nowhere on the table, in 16 tries")


def _opened(toys: tuple[int, int], objects: Sequence[Graspable] | str | None) -> tuple[Graspable, ...]:
    if isinstance(objects, str):
        found = open_objects(objects).objects
    elif objects is not None:
        found = tuple(objects)
    else:
        seed, number = toys
        if seed < 0 or number < 1:
            raise SceneError(f"toys={toys}: a seed of 0 or more and a number of 1 or more")
        found = ToySet.sample(seed, number).toys
    if not found:
        raise SceneError("objects is empty; at least one object is needed")
    return tuple(found)
