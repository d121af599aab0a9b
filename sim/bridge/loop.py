"""robosuite's own tasks as robots of ours: their scene, loop, controller and pictures; our words, units and judge."""

from __future__ import annotations

import copy
import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import mujoco
import numpy as np

from assets.graspable import Graspable
from hardware.api import Action, Observation, RobotError
from sim import gl
from sim.bridge.task import CezanneGrasp
from sim.bridge.wheel import drawn_from, quiet, robosuite
from sim.camera import FILM, SIDE, WRIST, Camera
from sim.errors import PlacementError, SceneError
from sim.robots import PANDA
from sim.rotation import drawn_rotation
from sim.support import lowest
from sim.table import WORKSPACE

RATE = 20
"""Control steps a second [Hz]."""
STIFFNESS = 400.0
"""Of their joint controller [1/s2]. With it, critically damped, a joint lags a moving target by 0.1 s, as in our scene; with their
default of 50 by 0.28 s."""
_BASE, _GRIPPER = "robot0_", "gripper0_right_"
_REACH = 0.15
"""An object that comes to rest further than this from the middle of the workspace has rolled away [m]."""


@dataclass(frozen=True)
class Venue:
    """One of robosuite's tasks, as far as a grasp in it goes."""

    task: str
    """Its name in `robosuite.make`."""
    target: str
    """Name of the object that is to be grasped."""
    surface: float
    """Height of what the object stands on [m]."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of its constructor."""


VENUES: Mapping[str, Venue] = {
    "Lift": Venue("Lift", "cube", 0.80),
    # The bin stands where our workspace is, 10 cm nearer than by default and straight ahead; both bins keep their distance.
    "PickPlaceCan": Venue("PickPlaceCan", "Can", 0.82, {"bin1_pos": (0.0, -0.1, 0.8), "bin2_pos": (0.0, 0.43, 0.8)}),
}


class RobosuiteRobot:
    """A Panda in a task of robosuite's, stepped by their loop. Implements hardware.api.Robot, and what a judge needs.

    Its base is sunk to the height of the surface, since in our scene it stands on the table; cameras stand where `cameras` say,
    from the base. All else is robosuite's: bodies, contacts, light, textures, the arm's torque controller.
    """

    def __init__(self, task: str | Graspable, cameras: Sequence[Camera] = (SIDE, WRIST), size: int = 128) -> None:
        """Args:
        task: one of VENUES; or an object of ours, which is then laid on robosuite's table: CezanneGrasp.
        cameras: fixed to "world" or to "right_gripper".
        size: of the pictures [px].
        """
        if isinstance(task, str) and task not in VENUES:
            raise SceneError(f"robosuite's task {task!r} is not known here; known: {', '.join(VENUES)}")
        names = [camera.name for camera in cameras]
        if len({*names, FILM.name}) != len(names) + 1:
            raise SceneError(f"two cameras of one name: {', '.join([*names, FILM.name])}; {FILM.name!r} is in every scene")
        bodies = {"world", "right_gripper"}
        for camera in cameras:
            if camera.body not in bodies:
                raise SceneError(f"camera {camera.name!r} is on {camera.body!r}; there are {', '.join(sorted(bodies))}")
        self.venue = VENUES[task] if isinstance(task, str) else Venue("CezanneGrasp", "object", 0.80, {"objects": (task,)})
        self.cameras, self.size = tuple(cameras), size
        self._upright = isinstance(task, str) or task.upright
        self.arm = PANDA
        self.dt = 1 / RATE
        self.theirs = False
        """Whether the task counted as solved, by robosuite's own rule, at any step since `place`."""
        self._env: Any = None
        self._context: Any = None

    # --- hardware.api.Robot

    def connect(self) -> None:
        """Builds the task; nothing is where it belongs before `place`."""
        self.close()
        gl.require()
        with quiet(), drawn_from(np.random.default_rng(0)):  # the cube's size is drawn: always the same
            env = robosuite.make(
                self.venue.task, robots="Panda", controller_configs=joint_control(), control_freq=RATE, ignore_done=True,
                has_renderer=False, has_offscreen_renderer=False, use_camera_obs=False, initialization_noise=None, **self.venue.settings,
            )  # fmt: skip
            env.set_xml_processor(self._furnished)
            env.has_offscreen_renderer = True  # not before: what they drew with first would be in the way of the second
            env.reset()
        env.hard_reset = False
        env.deterministic_reset = True  # from here on, `place` decides where the object is
        env.robots[0].init_qpos = np.array(PANDA.home)
        self._env = env
        self.model: mujoco.MjModel = env.sim.model._model
        self.data: mujoco.MjData = env.sim.data._data
        self._context = env.sim._render_context_offscreen
        self._context.vopt.sitegroup[:] = 0  # marks for people
        model = self.model
        self._object = next(thing for thing in env.model.mujoco_objects if thing.name == self.venue.target)
        self._body = model.body(self._object.root_body).id
        self._joint = model.joint(self._object.joints[0])
        self._touched = [model.geom(name).id for name in self._object.contact_geoms]
        self._shown = env.model.instances_to_ids[self.venue.target]["geom"]
        self._qpos = np.array([model.joint(f"{_BASE}{name}").qposadr[0] for name in PANDA.joints])
        self._range = np.array([model.joint(f"{_BASE}{name}").range for name in PANDA.joints])  # (n, 2) [rad]
        self._fingers = np.array([model.joint(f"{_GRIPPER}{name}").qposadr[0] for name in PANDA.hand.joints])
        self._grip = model.site(f"{_GRIPPER}grip_site").id
        base = model.body(f"{_BASE}base").id
        self._origin = self.data.xpos[base].copy()
        self._robot = model.body_rootid == model.body_rootid[base]
        self._side_of = np.full(model.nbody, -1)
        for side, names in enumerate(PANDA.hand.sides):
            for name in names:
                for body in range(1, model.nbody):
                    if model.body(f"{_GRIPPER}{name}").id in (body, model.body_parentid[body]):
                        self._side_of[body] = side
        self._begin = 0.0

    def observe(self) -> Observation:
        """Pictures, masks and joints of this moment."""
        images = {camera.name: self.picture(camera.name) for camera in self.cameras}
        masks = {camera.name: self.mask(camera.name) for camera in self.cameras}
        return Observation(images, masks, self.qpos, self.gripper, float(self.data.time) - self._begin)

    def command(self, action: Action) -> Action:
        """One control step of their loop. Targets beyond the joints' range are brought to it."""
        if action.qpos.shape != (len(self._qpos),) or action.gripper.shape != (1,):
            raise RobotError(
                f"panda takes {len(self._qpos)} joints and 1 gripper value, got {action.qpos.shape} and {action.gripper.shape}"
            )
        sent = Action(np.clip(action.qpos, *self._range.T), np.clip(action.gripper, 0, 1))
        self._step(sent)
        self.theirs |= bool(self.env._check_success())
        return sent

    def stop(self) -> None:
        """Holds the present joint positions until the next command."""
        if self._env is not None:
            self._env.robots[0].composite_controller.reset()

    def close(self) -> None:
        """Gives back what drawing took; idempotent."""
        if self._env is None:
            return
        self._context.gl_ctx.make_current()  # or they would free the textures of another context
        env, self._env, self._context = self._env, None, None
        env.close()
        del env
        gc.collect()

    def __enter__(self) -> RobosuiteRobot:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what only a simulation can do

    @property
    def env(self) -> Any:
        """robosuite's environment. Raises RobotError before `connect`."""
        if self._env is None:
            raise RobotError("robosuite's task is not connected; call connect() or use it as a context manager")
        return self._env

    @property
    def qpos(self) -> np.ndarray:
        """Joint positions of the arm, (7,) [rad]."""
        return self.data.qpos[self._qpos].copy()

    @property
    def gripper(self) -> np.ndarray:
        """Opening of the jaw, (1,)."""
        return PANDA.hand.sense(self.data.qpos[self._fingers])

    @property
    def object_pose(self) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) [m] in the robot's base frame and quaternion (4,) of the object."""
        return self.data.xpos[self._body] - self._origin, self.data.xquat[self._body].copy()

    @property
    def grip_pose(self) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) [m] and rotation (3, 3) of the point between the finger pads, in the base frame, y along the closing."""
        theirs = self.data.site_xmat[self._grip].reshape(3, 3)
        return self.data.site_xpos[self._grip] - self._origin, np.stack([theirs[:, 1], -theirs[:, 0], theirs[:, 2]], axis=1)

    @property
    def held(self) -> bool:
        """Whether the jaw touches the object from both of its sides."""
        bodies = self.model.geom_bodyid[self.data.contact.geom]  # (ncon, 2)
        sides = self._side_of[bodies[(bodies == self._body).any(axis=1)]]
        return bool((sides == 0).any() and (sides == 1).any())

    @property
    def force(self) -> float:
        """Sum of the normal forces where the robot touches anything but itself, at the last time step [N]."""
        contact = self.data.contact
        row = contact.efc_address
        ours = self._robot[self.model.geom_bodyid[contact.geom]]  # (ncon, 2)
        return float(self.data.efc_force[row[(ours[:, 0] != ours[:, 1]) & (row >= 0)]].sum())

    def place(self, xy: np.ndarray, rng: np.random.Generator) -> None:
        """Starts a trial: the arm at our home pose, jaw open, the object at rest near `xy`.

        Args:
            xy: where, from the middle of our workspace, (2,) [m].
            rng: of the rotation, drawn as `SimRobot.place` draws it: the same seed turns the same object the same way.

        Raises:
            PlacementError: it rolled away, eight times.
        """
        for _ in range(8):
            quat = drawn_rotation(rng, stands=self._upright or bool(rng.random() < 0.5))
            with quiet():
                self.env.reset()
            if self._settle(np.asarray(xy, float), quat):
                if isinstance(self.env, CezanneGrasp):
                    self.env.begin()
                self._begin, self.theirs = float(self.data.time), False
                return
        raise PlacementError(f"{self.venue.target} of {self.venue.task} rolled away eight times from ({xy[0]:.3f}, {xy[1]:.3f}) m")

    def picture(self, camera: str, size: int | None = None) -> np.ndarray:
        """What one camera sees, (size, size, 3) uint8, at any size."""
        return self._drawn(camera, size, segmentation=False)

    def mask(self, camera: str, size: int | None = None) -> np.ndarray:
        """Where one camera sees the object, (size, size) bool, at any size: robosuite's segmentation by instance."""
        kind, number = np.moveaxis(self._drawn(camera, size, segmentation=True), -1, 0)
        return (kind == int(mujoco.mjtObj.mjOBJ_GEOM)) & np.isin(number, self._shown)

    def _drawn(self, camera: str, size: int | None, *, segmentation: bool) -> np.ndarray:
        self.env  # noqa: B018  connected?
        size = size or self.size
        self._context.gl_ctx.make_current()
        seen = self._env.sim.render(width=size, height=size, camera_name=camera, segmentation=segmentation)
        return np.ascontiguousarray(seen[::-1])  # robosuite's pictures start at the bottom

    def _step(self, action: Action) -> None:
        """Their gripper knows directions, not openings: towards the one that was asked for, a tenth a step."""
        opening = (float(np.asarray(self.env.robots[0].gripper["right"].current_action)[0]) + 1) / 2
        away = float(action.gripper[0]) - opening
        self._env.step(np.append(action.qpos, 0.0 if abs(away) < 0.05 else -np.sign(away)))
        mujoco.mj_kinematics(self.model, self.data)  # a step leaves poses one timestep behind the joints
        mujoco.mj_camlight(self.model, self.data)

    def _settle(self, xy: np.ndarray, quat: np.ndarray) -> bool:
        data, hand = self.data, self._env.robots[0].gripper["right"]
        data.qpos[self._fingers] = PANDA.hand.positions(PANDA.hand.ready)
        hand.current_action = np.array([1.0, -1.0])  # open
        pose = data.qpos[self._joint.qposadr[0] :][:7]
        velocity = data.qvel[self._joint.dofadr[0] :][:6]
        pose[:2], pose[2], pose[3:] = self._origin[:2] + WORKSPACE + xy, self.venue.surface + 0.5, quat
        velocity[:] = 0
        self._env.sim.forward()
        pose[2] -= self._height() - 0.001
        waiting = Action(np.array(PANDA.home), np.ones(1))
        quiet_steps = 0
        for _ in range(60):  # at most 3 s
            self._step(waiting)
            quiet_steps = quiet_steps + 1 if np.abs(velocity[:3]).max() < 0.02 and np.abs(velocity[3:]).max() < 0.6 else 0
            if quiet_steps == 4:
                break
        away = np.abs(pose[:2] - self._origin[:2] - WORKSPACE).max()
        return bool(np.isfinite(data.qpos).all() and quiet_steps and away < _REACH and abs(self._height()) < 0.004)

    def _height(self) -> float:
        """Of the object's lowest point above the surface [m]."""
        return min(lowest(self.model, self.data, geom) for geom in self._touched) - self.venue.surface

    def _furnished(self, xml: str) -> str:
        """Their scene with the robot's base at the height of the surface, and our cameras."""
        root = ElementTree.fromstring(xml)  # robosuite's own, written a moment ago
        world = root.find("worldbody")
        bodies = {body.get("name"): body for body in root.iter("body")}
        base, hand = bodies.get(f"{_BASE}base"), bodies.get(f"{_GRIPPER}right_gripper")
        if world is None or base is None or hand is None:
            raise SceneError("robosuite's scene has other names than those of version 1.5.1")
        x, y, _ = (float(v) for v in base.get("pos", "0 0 0").split())
        stands = np.array([x, y, self.venue.surface])
        base.set("pos", _text(stands))
        for camera in (*self.cameras, FILM):
            body, origin = (world, stands) if camera.body == "world" else (hand, np.zeros(3))
            pos = np.add(origin, camera.pos)
            there = {"name": camera.name, "pos": _text(pos), "quat": _text(camera.quat), "fovy": f"{camera.fovy:.10g}"}
            ElementTree.SubElement(body, "camera", there)
        return ElementTree.tostring(root, encoding="unicode")


def joint_control() -> dict[str, Any]:
    """robosuite's composite controller BASIC of a Panda, with absolute joint targets [rad] and no scaling."""
    with quiet():
        config = copy.deepcopy(robosuite.load_composite_controller_config(controller="BASIC", robot="Panda"))
    gripper = config["body_parts"]["right"]["gripper"]
    config["body_parts"] = {
        "right": {
            "type": "JOINT_POSITION", "input_type": "absolute", "impedance_mode": "fixed", "kp": STIFFNESS, "damping_ratio": 1,
            "kp_limits": [0, 1000], "damping_ratio_limits": [0, 10], "qpos_limits": None, "interpolation": None, "ramp_ratio": 0.2,
            "input_max": 1, "input_min": -1, "output_max": 0.05, "output_min": -0.05, "gripper": gripper,
        }
    }  # fmt: skip
    return config


def _text(values: np.ndarray) -> str:
    return " ".join(f"{value:.10g}" for value in values)
