"""The simulated robot: implements the same contract as a physical arm."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from assets.graspable import CONTACT
from hardware.api import Action, Observation, RobotError
from sim.camera import Camera
from sim.easel import Easel
from sim.errors import PlacementError, SceneError
from sim.render import Renderer
from sim.robots import GRIP
from sim.rotation import drawn_rotation
from sim.scene import WORKSPACE, SceneConfig
from sim.support import lowest

_STATE = mujoco.mjtState.mjSTATE_FULLPHYSICS
_REACH = 0.15
"""An object that comes to rest further than this from the middle of the workspace has rolled away [m]."""


class SimRobot:
    """One scene being stepped. `connect` compiles it; `place` starts a trial; then `observe` and `command` as on any robot."""

    def __init__(self, config: SceneConfig, *, renderer: type[Renderer] | type[Easel] = Renderer) -> None:
        """renderer: `Renderer` draws here, `Easel` in a process that is replaced when a draw hangs."""
        self.config = config
        self.dt = 1 / config.rate
        self._model: mujoco.MjModel | None = None
        self._draw_with = renderer
        self._renderer: Renderer | Easel | None = None
        self._past: mujoco.MjData | None = None

    # --- hardware.api.Robot

    def connect(self) -> None:
        """Compiles the scene; the arm is at its home pose, the object in the air far away from it until `place`."""
        scene = self.config.build()
        self.arm = scene.arm
        model = self._model = scene.compile()
        self.data = mujoco.MjData(model)
        self._qpos = np.array([model.joint(name).qposadr[0] for name in self.arm.joints])
        hand = self.arm.hand
        self._fingers = np.array([model.joint(name).qposadr[0] for name in hand.joints])
        self.servos = np.array([model.actuator(name).id for name in self.arm.joints])
        self._motors = np.array([model.actuator(name).id for name in hand.actuators])
        self._object = model.joint("object").qposadr[0]
        self._object_body = model.body("object").id
        self._object_touch = [g for g in range(model.ngeom) if model.geom_bodyid[g] == self._object_body and model.geom_group[g] == CONTACT]
        self._substeps = round(self.dt / model.opt.timestep)
        self.grip = model.site(GRIP).id
        self._past = None
        self._robot = model.body_rootid == model.body_rootid[model.jnt_bodyid[model.joint(self.arm.joints[0]).id]]
        self._side_of = _sides(model, hand.sides)
        self.home()

    def observe(self) -> Observation:
        """Pictures, masks and joints of this moment."""
        return self._sense()

    def sensed(self, state: np.ndarray, cameras: Sequence[str] | None = None) -> Observation:
        """What was sensed in a state of `state`, (s,), by some or all cameras; the present is left alone."""
        if self._past is None:
            self._past = mujoco.MjData(self.model)
        past = self._past
        mujoco.mj_setState(self.model, past, state, _STATE)
        mujoco.mj_kinematics(self.model, past)
        mujoco.mj_camlight(self.model, past)
        return self._sense(past, cameras)

    def command(self, action: Action) -> Action:
        """Tracks joint targets for one control period. Targets beyond the joints' range are brought to it."""
        n, m = len(self._qpos), len(self.arm.hand.values)
        if action.qpos.shape != (n,) or action.gripper.shape != (m,):
            values = f"{m} gripper value{'s' * (m > 1)}"
            raise RobotError(f"{self.arm.name} takes {n} joints and {values}, got {action.qpos.shape} and {action.gripper.shape}")
        ranges = self.model.actuator_ctrlrange[self.servos]
        sent = Action(np.clip(action.qpos, *ranges.T), np.clip(action.gripper, 0, 1))
        self.data.ctrl[:] = self.controls(sent.qpos, sent.gripper)
        mujoco.mj_step(self.model, self.data, nstep=self._substeps)
        mujoco.mj_kinematics(self.model, self.data)  # a step leaves poses one timestep behind the joints
        mujoco.mj_camlight(self.model, self.data)
        return sent

    def stop(self) -> None:
        """Holds the present joint positions."""
        if self._model is not None:
            self.data.ctrl[self.servos] = self.qpos

    def close(self) -> None:
        """Gives back what drawing took; idempotent."""
        if self._renderer is not None:
            self._renderer.close()
        self._renderer = None

    def __enter__(self) -> SimRobot:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what only a simulation can do

    @property
    def model(self) -> mujoco.MjModel:
        """The compiled scene. Raises RobotError before `connect`."""
        if self._model is None:
            raise RobotError("the simulated robot is not connected; call connect() or use it as a context manager")
        return self._model

    @property
    def qpos(self) -> np.ndarray:
        """Joint positions of the arm, (n,) [rad]."""
        return self.data.qpos[self._qpos].copy()

    @property
    def gripper(self) -> np.ndarray:
        """How far the hand is open, (m,), 0 closed to 1 open."""
        return self.arm.hand.sense(self.data.qpos[self._fingers])

    def controls(self, qpos: np.ndarray, gripper: np.ndarray) -> np.ndarray:
        """What the model's actuators are told, (nu,), for joint targets (n,) [rad] and values of the hand (m,)."""
        ctrl = np.empty(self.model.nu)
        ctrl[self.servos], ctrl[self._motors] = qpos, self.arm.hand.commands(gripper)
        return ctrl

    @property
    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest commands, joints [rad] then gripper, (n + m,) each."""
        low, high = self.model.actuator_ctrlrange[self.servos].T
        m = len(self.arm.hand.values)
        return np.append(low, np.zeros(m)), np.append(high, np.ones(m))

    @property
    def object_pose(self) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) [m] in the robot's base frame and quaternion (4,) of the object."""
        pose = self.data.qpos[self._object : self._object + 7]
        return pose[:3].copy(), pose[3:].copy()

    @property
    def grip_pose(self) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) [m] and rotation (3, 3) of the point between the finger pads, in the base frame."""
        return self.data.site_xpos[self.grip].copy(), self.data.site_xmat[self.grip].reshape(3, 3).copy()

    @property
    def held(self) -> bool:
        """Whether the hand touches the object from both of its sides."""
        geoms = self.data.contact.geom  # (ncon, 2)
        bodies = self.model.geom_bodyid[geoms]
        touching = bodies[(bodies == self._object_body).any(axis=1)]
        sides = self._side_of[touching]
        return bool((sides == 0).any() and (sides == 1).any())

    @property
    def force(self) -> float:
        """Sum of the normal forces where the robot touches anything but itself, at the last time step [N]."""
        contact = self.data.contact
        row = contact.efc_address
        ours = self._robot[self.model.geom_bodyid[contact.geom]]  # (ncon, 2)
        return float(self.data.efc_force[row[(ours[:, 0] != ours[:, 1]) & (row >= 0)]].sum())

    def home(self, qpos: np.ndarray | None = None) -> None:
        """Resets everything: the arm at `qpos` (n,) [rad] or its home pose, hand ready, at rest."""
        model, data = self.model, self.data
        mujoco.mj_resetData(model, data)
        data.qpos[self._qpos] = self.arm.home if qpos is None else qpos
        hand = self.arm.hand
        data.qpos[self._fingers] = hand.positions(hand.ready)
        data.ctrl[:] = self.controls(data.qpos[self._qpos], hand.ready)
        mujoco.mj_forward(model, data)

    def place(self, xy: np.ndarray, rng: np.random.Generator, *, upright: bool | None = None, start: np.ndarray | None = None) -> None:
        """Puts the arm at `start` (its home pose by default) and lets the object come to rest on the table, then sets clutter around it.

        Args:
            xy: where, from the middle of the workspace, (2,) [m].
            rng: of the rotation; the same generator state gives the same pose.
            upright: as modelled and turned about z only; else any rotation. None: as the object says, toys half and half.
            start: joint positions of the arm, (n,) [rad].

        Raises:
            PlacementError: it rolled away or fell from the table, eight times.
        """
        obj = self.config.object
        for _ in range(8):
            stands = (obj.upright or bool(rng.random() < 0.5)) if upright is None else upright
            quat = drawn_rotation(rng, stands=stands)
            self.home(start)
            if self._settle(np.asarray(xy, float), quat):
                self.config.variation.arrange(self.model, self.data)
                self.data.time = 0.0
                return
        raise PlacementError(f"object {obj.name!r} rolled away eight times from ({xy[0]:.3f}, {xy[1]:.3f}) m")

    def state(self) -> np.ndarray:
        """Everything that the physics depends on, (s,)."""
        x = np.empty(mujoco.mj_stateSize(self.model, _STATE))
        mujoco.mj_getState(self.model, self.data, x, _STATE)
        return x

    def set_state(self, x: np.ndarray) -> None:
        """Back to a state of `state`. Raises RobotError for a state of another scene."""
        size = mujoco.mj_stateSize(self.model, _STATE)
        if np.shape(x) != (size,):
            raise RobotError(f"a state of this scene has {size} numbers, got {np.shape(x)}")
        mujoco.mj_setState(self.model, self.data, x, _STATE)
        self.data.ctrl[:] = self.controls(self.qpos, self.gripper)
        self.data.qacc_warmstart[:] = 0  # no part of the state, but what follows would depend on it in the last digits
        mujoco.mj_forward(self.model, self.data)

    def aim(self, camera: Camera) -> None:
        """Moves the camera of this name to where `camera` stands. Raises SceneError where the scene has none of its name and body."""
        there = {known.name: known.body for known in self.config.cameras}
        if there.get(camera.name) != camera.body:
            raise SceneError(f"camera {camera.name!r} on {camera.body!r}; this scene has {there}")
        model, k = self.model, self.model.camera(camera.name).id
        model.cam_pos[k], model.cam_quat[k], model.cam_fovy[k] = camera.pos, camera.quat, camera.fovy
        mujoco.mj_camlight(model, self.data)

    def picture(self, camera: str, size: int | None = None) -> np.ndarray:
        """What one camera sees, (size, size, 3) uint8, at any size."""
        return self._look(camera).picture(size or self.config.size)

    def mask(self, camera: str, size: int | None = None) -> np.ndarray:
        """Where one camera sees the object, (size, size) bool, at any size."""
        return self._look(camera).mask(size or self.config.size)

    def robot_mask(self, camera: str, size: int | None = None) -> np.ndarray:
        """Where one camera sees the arm and its jaw, (size, size) bool, at any size."""
        return self._look(camera).mask_of(self._robot, size or self.config.size)

    def depth(self, camera: str, size: int | None = None) -> np.ndarray:
        """How far away what one camera sees is, along its axis, (size, size) float32 [m], at any size."""
        return self._look(camera).depth(size or self.config.size)

    def _sense(self, data: mujoco.MjData | None = None, cameras: Sequence[str] | None = None) -> Observation:
        renderer, then = self.renderer, data or self.data
        names = [camera.name for camera in self.config.cameras] if cameras is None else cameras
        images, masks = renderer.views(then, names, self.config.size)
        return Observation(images, masks, then.qpos[self._qpos].copy(), self.arm.hand.sense(then.qpos[self._fingers]), float(then.time))

    def _settle(self, xy: np.ndarray, quat: np.ndarray) -> bool:
        model, data = self.model, self.data
        pose = data.qpos[self._object : self._object + 7]
        velocity = data.qvel[model.joint("object").dofadr[0] :][:6]
        pose[:2], pose[2], pose[3:] = np.add(WORKSPACE, xy), 0.5, quat
        mujoco.mj_forward(model, data)
        pose[2] -= self._height() - 0.001
        quiet = 0
        for _ in range(60):  # at most 3 s
            mujoco.mj_step(model, data, nstep=25)
            quiet = quiet + 1 if np.abs(velocity[:3]).max() < 0.02 and np.abs(velocity[3:]).max() < 0.6 else 0
            if quiet == 4:  # a fifth of a second: what tips over is slow at first
                break
        velocity[:] = 0
        away = np.abs(pose[:2] - WORKSPACE).max()
        mujoco.mj_kinematics(model, data)
        return bool(np.isfinite(data.qpos).all() and quiet and away < _REACH and abs(self._height()) < 0.004)

    def _height(self) -> float:
        """Of the object's lowest point above the table [m]."""
        return min(lowest(self.model, self.data, geom) for geom in self._object_touch)

    @property
    def renderer(self) -> Renderer | Easel:
        """What draws; made when it is first needed."""
        if self._renderer is None:
            self._renderer = self._draw_with(self.model, shadows=self.config.variation.shadows)
        return self._renderer

    def _look(self, camera: str) -> Renderer | Easel:
        """The renderer, pointed through a camera."""
        renderer = self.renderer
        renderer.look(self.data, camera)
        return renderer


def _sides(model: mujoco.MjModel, sides: Sequence[Sequence[str]]) -> np.ndarray:
    """For each body the side of the hand that it or the body that carries it is, else -1, (nbody,)."""
    of = np.full(model.nbody, -1)
    named = {model.body(name).id: k for k, names in enumerate(sides) for name in names}
    for body in range(1, model.nbody):
        of[body] = named.get(body, of[model.body_parentid[body]])
    return of
