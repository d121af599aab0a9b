"""The scene in real time, in a process of its own: an arm and cameras like physical ones, and an object whose pose is known."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any, Protocol

import mujoco
import numpy as np

from assets.graspable import Graspable
from hardware.api import Action, ArmLost, RobotError
from hardware.arm import ArmState
from hardware.camera import Frame
from hardware.model import ArmModel, load_arm
from sim.board import Board
from sim.errors import PlacementError, SceneError
from sim.scene import SceneConfig
from sim.simrobot import SimRobot

_LOST = 0.5
"""A world that has said nothing for this long is gone [s]."""
_CALL = 60.0
"""Longest that a placement may take [s]."""
_LAG = 0.1
"""Time that was lost, by a placement or a busy machine, is made up for as far as this [s]."""


class Leader(Protocol):
    """Something else that moves the arm, such as the server of a simulated Franka: the scene follows it. Is sent to the world's process."""

    def pose(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Joint positions (n,) [rad] and velocities (n,) [rad/s], and the opening of its gripper, 0 to 1."""
        ...

    def block(self, opening: float | None) -> None:
        """Its gripper cannot close below this opening, since something is between the fingers; None: nothing is."""
        ...


@dataclass(frozen=True)
class Truth:
    """What only a simulation knows."""

    position: np.ndarray
    """Of the object in the base's frame, (3,) [m]."""
    quaternion: np.ndarray
    """Of the object, (4,) wxyz."""
    grip: np.ndarray
    """Of the point between the pads, (3,) [m]."""
    held: bool
    force: float
    """Sum of the normal forces between the robot and what it touches [N]."""
    time: float
    """[s, monotonic]"""


class LiveWorld:
    """Runs from `start` to `close`; `place` puts an object in front of the arm, which stays where it is."""

    def __init__(self, config: SceneConfig, *, physics_hz: float = 100.0, camera_hz: float = 20.0, leader: Leader | None = None) -> None:
        self.config = config
        if config.robot != "panda":
            raise SceneError(f"robot={config.robot!r}; the world in real time has a panda: there is no arm file for others with their hand")
        self.arm: ArmModel = load_arm("panda")
        self.servo_hz = physics_hz
        self.camera_hz = camera_hz
        self._leader = leader
        context = multiprocessing.get_context("spawn")
        n, size = len(self.arm.joints), config.size
        self._state = Board(
            context, {**_vectors(n, "qpos", "qvel", "effort"), **_vectors(1, "gripper", "time", "held", "force", "late"), **_TRUTH}
        )
        self._setpoint = Board(context, {**_vectors(n, "qpos"), **_vectors(1, "gripper", "power")})
        picture = {"image": ((size, size, 3), "u1"), "mask": ((size, size), "?"), "time": ((1,), "f8"), "number": ((1,), "i8")}
        self._frames = {camera.name: Board(context, picture) for camera in config.cameras}
        self._pipe, theirs = context.Pipe()
        boards = (self._state, self._setpoint, self._frames)
        self._process = context.Process(
            target=_live, args=(config, physics_hz, camera_hz, leader, boards, theirs), name="cezanne-world", daemon=True
        )

    def start(self) -> None:
        """Starts the process and waits for its first frames. Raises RobotError."""
        self._process.start()
        if not self._pipe.poll(_CALL) or (said := self._answer()) != "ready":
            raise RobotError(f"the simulated world did not start: {said if self._process.is_alive() else 'its process ended'}")

    def place(self, item: Graspable, xy: np.ndarray, seed: int) -> None:
        """Another object, as a suite's trial lays it. Raises PlacementError where it rolled away, RobotError where the world is gone."""
        try:
            self._pipe.send((item, np.asarray(xy, float), int(seed)))
            answered = self._pipe.poll(_CALL)
        except OSError:
            raise ArmLost("the process of the simulated world ended") from None
        if not answered:
            raise ArmLost(f"the simulated world did not answer within {_CALL:.0f} s")
        said = self._answer()
        if said != "ready":
            raise PlacementError(said)

    def empty(self) -> Mapping[str, np.ndarray]:
        """What the cameras would see now without the object, (H, W, 3) uint8 each. Raises ArmLost where the world is gone."""
        try:
            self._pipe.send("empty")
            if self._pipe.poll(_CALL):
                return self._answer()
        except OSError:
            pass
        raise ArmLost("the simulated world does not answer")

    def truth(self) -> Truth:
        """What happens now."""
        board = self._state.read()
        return Truth(board["position"], board["quaternion"], board["grip"], bool(board["held"][0]), board["force"][0], board["time"][0])

    @property
    def pid(self) -> int | None:
        """Of its process."""
        return self._process.pid

    @property
    def late(self) -> float:
        """Simulated time that was given up since the machine was busy [s]."""
        return float(self._state.read()["late"][0])

    def connect(self) -> LiveLink:
        """The arm. Implements `hardware.arm.Driver`. Raises RobotError where the world does not run."""
        link = LiveLink(self._state, self._setpoint)
        link.state()
        return link

    @property
    def address(self) -> str:
        """Tells this world from others."""
        return f"process {self.pid}"

    def cameras(self) -> tuple[LiveCamera, ...]:
        """Its cameras, in order."""
        return tuple(LiveCamera(name, (self.config.size, self.config.size), board) for name, board in self._frames.items())

    def kill(self) -> None:
        """Ends the process without a word, as a loss of power would."""
        self._process.kill()
        self._process.join(3.0)

    def close(self) -> None:
        """Ends the process. Idempotent."""
        if self._process.is_alive():
            try:
                self._pipe.send(None)
                self._process.join(3.0)
            except OSError:
                pass
            if self._process.is_alive():
                self._process.kill()
                self._process.join(3.0)

    def __enter__(self) -> LiveWorld:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self) -> Any:
        try:
            return self._pipe.recv()
        except (EOFError, ConnectionResetError):
            raise ArmLost("the process of the simulated world ended") from None


_TRUTH = {"position": ((3,), "f8"), "quaternion": ((4,), "f8"), "grip": ((3,), "f8")}


def _vectors(n: int, *names: str) -> dict[str, tuple[tuple[int, ...], str]]:
    return dict.fromkeys(names, ((n,), "f8"))


@dataclass(frozen=True)
class LiveLink:
    """The arm of a live world."""

    board: Board
    setpoint: Board
    _writing: threading.Lock = field(default_factory=threading.Lock, repr=False)
    """A board has one writer, and a stop may come from any thread."""

    def state(self) -> ArmState:
        """The newest measurement. Raises ArmLost."""
        try:
            now = self.board.read()
        except TimeoutError as error:
            raise ArmLost(f"the simulated arm died: {error}") from error
        measured = float(now["time"][0])
        if time.monotonic() - measured > _LOST:
            raise ArmLost(f"the simulated arm measured nothing for {time.monotonic() - measured:.2f} s")
        return ArmState(now["qpos"], now["qvel"], now["effort"], now["gripper"], measured)

    def send(self, setpoint: Action) -> None:
        """The next setpoint."""
        with self._writing:
            self.setpoint.write(qpos=setpoint.qpos, gripper=setpoint.gripper, power=1.0)

    def stop(self) -> None:
        """Holds the measured pose."""
        try:
            now = self.board.read()
        except TimeoutError:
            return  # it does not move any more
        with self._writing:
            if self.setpoint.read()["power"][0]:
                self.setpoint.write(qpos=now["qpos"])

    def close(self) -> None:
        """Stops."""
        self.stop()


@dataclass(frozen=True)
class LiveCamera:
    """A camera of a live world, and its stream."""

    name: str
    size: tuple[int, int]
    board: Board

    def open(self) -> LiveCamera:
        """It runs already. Raises RobotError where it does not."""
        self.latest()
        return self

    def latest(self) -> Frame:
        """The newest frame, with the target's pixels. Raises RobotError."""
        try:
            now = self.board.read()
        except TimeoutError as error:
            raise RobotError(f"camera {self.name!r} died: {error}") from error
        if not now["number"][0]:
            raise RobotError(f"camera {self.name!r} has sent no frame yet; start the world")
        return Frame(now["image"], float(now["time"][0]), int(now["number"][0]), now["mask"])

    def close(self) -> None:
        """Nothing to give back."""


def _live(
    config: SceneConfig, hz: float, fps: float, leader: Leader | None, boards: tuple[Board, Board, Mapping[str, Board]], pipe: Connection
) -> None:
    """The world's process: physics keeps up with the clock, pictures are drawn between its steps."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process when the arm rests
    try:
        world = _World(config, leader, boards)
    except SceneError as error:
        pipe.send(str(error))
        return
    world.draw()
    world.publish(time.monotonic())
    pipe.send("ready")
    due = drawn = time.monotonic()
    parent = multiprocessing.parent_process()
    while parent is None or parent.is_alive():
        if pipe.poll():
            try:
                asked = pipe.recv()
            except EOFError:
                return
            if asked is None:
                return
            if asked == "empty":
                pipe.send(world.empty())
                continue
            try:
                world.place(*asked)
                said = "ready"
            except (PlacementError, SceneError, ValueError) as error:
                said = f"{error}"
            world.draw()
            world.publish(time.monotonic())
            pipe.send(said)
            due = time.monotonic()
        now = time.monotonic()
        world.run(now)
        if now >= drawn:
            world.draw()
            drawn = max(drawn + 1 / fps, now - 1 / fps)
        due = max(due + 1 / hz, now - _LAG)
        time.sleep(max(0.0, due - time.monotonic()))


class _World:
    def __init__(self, config: SceneConfig, leader: Leader | None, boards: tuple[Board, Board, Mapping[str, Board]]) -> None:
        self.config, self.leader = config, leader
        self.state, self.setpoint, self.frames = boards
        self.number, self.late = 0, 0.0
        self._enter(self._scene(config.object))

    def place(self, item: Graspable, xy: np.ndarray, seed: int) -> None:
        """A scene with another object; the arm where it was."""
        done = threading.Event()
        still = threading.Thread(target=self._stay, args=(done,), daemon=True)
        still.start()
        try:
            robot = self._scene(item)
            try:
                robot.place(xy, np.random.default_rng(seed), start=self.robot.qpos)
            except PlacementError:
                robot.close()
                raise
        finally:
            done.set()
            still.join()
        self.robot.close()
        self._enter(robot)

    def _stay(self, done: threading.Event) -> None:
        """Publishes that the arm stands still until the next scene is ready: to whoever watches, time goes on."""
        while not done.wait(0.01):
            self.publish(time.monotonic())

    def empty(self) -> Mapping[str, np.ndarray]:
        """Pictures without the object."""
        state = self.robot.state()
        joint = self.robot.model.joint("object").qposadr[0]
        state[1 + joint + 2] -= 10.0  # time, then positions: the object goes far below the table
        return self.robot.sensed(state).images

    def run(self, now: float) -> None:
        """Steps up to the present."""
        robot, data, model = self.robot, self.robot.data, self.robot.model
        asked = self.setpoint.read()
        if self.leader is not None:
            qpos, qvel, opening = self.leader.pose()
            self.ctrl = robot.controls(qpos + self.damping * qvel, np.array([opening]))
        elif asked["power"][0]:
            self.ctrl = robot.controls(asked["qpos"], asked["gripper"])
        data.ctrl[:] = np.clip(self.ctrl, *model.actuator_ctrlrange.T)
        behind = now - self.then
        if behind > _LAG:
            self.late += behind - _LAG
            self.then = now - _LAG
        steps = int((now - self.then) / model.opt.timestep)
        if steps:
            mujoco.mj_step(model, data, nstep=steps)
            mujoco.mj_kinematics(model, data)
            mujoco.mj_camlight(model, data)
            self.then += steps * model.opt.timestep
            if not np.isfinite(data.qpos).all():
                raise SceneError("the simulated world has burst: positions are not finite")
        if self.leader is not None:
            self.leader.block(float(robot.gripper[0]) if robot.held else None)
        self.publish(now)

    def publish(self, now: float) -> None:
        """The state, for whoever reads it."""
        robot = self.robot
        position, quaternion = robot.object_pose
        self.state.write(
            qpos=robot.qpos,
            qvel=robot.data.qvel[self.dofs],
            effort=robot.data.qfrc_constraint[self.dofs],
            gripper=robot.gripper,
            position=position,
            quaternion=quaternion,
            grip=robot.grip_pose[0],
            held=float(robot.held),
            force=robot.force,
            late=self.late,
            time=now,
        )

    def draw(self) -> None:
        """All cameras, at one moment."""
        self.number += 1
        taken = time.monotonic()
        seen = self.robot.observe()
        for name, board in self.frames.items():
            board.write(image=seen.images[name], mask=seen.masks[name], time=taken, number=self.number)

    def _scene(self, item: Graspable) -> SimRobot:
        robot = SimRobot(replace(self.config, object=item))
        robot.connect()
        return robot

    def _enter(self, robot: SimRobot) -> None:
        self.robot = robot
        self.dofs = np.array([robot.model.joint(name).dofadr[0] for name in robot.arm.joints])
        self.ctrl = robot.data.ctrl.copy()
        servos = robot.servos
        self.damping = -robot.model.actuator_biasprm[servos, 2] / robot.model.actuator_gainprm[servos, 0]  # [s], by which a servo trails
        self.then = time.monotonic()
