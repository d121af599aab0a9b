"""The arm's end of the Franka Control Interface, spoken by franky-sim, with joints, hand and faults of ours behind it."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from hardware.emulators.franka_body import ROTOR, FrankaBody, Links
from hardware.emulators.franka_memory import TICK, FrankaMemory

BEHIND = 0.05
"""As far behind real time it still catches up; beyond, time is lost [s]."""
CONTROLLER_HZ = 10.0
"""Of the arm's own joint controller, critically damped [Hz]."""
FASTEST = 3.0
"""Of a commanded joint [rad/s]; a faster one is a jump."""
S = np.sqrt(0.5)
EXTERNAL_HZ = 30.0
"""Cut-off of the estimate of external torques [Hz]."""
COMMUNICATION = 25
"""Of the protocol's numbered errors, the one of a client that does not keep up."""
PATIENCE = 0.5
"""For a client in control [s]; a real arm has 0.02."""
POLL = 0.0002
"""Between looks for its command [s]."""


def serve(addresses: Sequence[str], memory: FrankaMemory, qpos: np.ndarray, lower: np.ndarray, upper: np.ndarray, parent: int) -> None:
    """Answers at the first free address until the parent process (0: none) is gone; prints `ready ADDRESS` once it does.

    Args:
        addresses: loopback addresses to try; the protocol's ports, 1337 and 1338, are fixed.
        memory: shared with the scene.
        qpos: where the joints begin, (7,) [rad].
        lower: hard stops, (7,) [rad].
        upper: hard stops, (7,) [rad].
        parent: process that owns this one.
    """
    robot, server = _franky_sim(addresses, memory, qpos, lower, upper)
    server.init()
    due, ready = time.monotonic(), False
    while not parent or os.getppid() == parent:
        server.process_commands()
        robot.advance()
        server.send_state()
        if not ready:
            print("ready", server.hostname, flush=True)
            ready = True
        due += TICK
        wait = due - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        elif wait < -BEHIND:
            due = time.monotonic()


def _franky_sim(addresses: Sequence[str], memory: FrankaMemory, qpos: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> tuple[Any, Any]:
    """Robot and server, subclassed from those of franky-sim, which is imported here alone."""
    sim: Any = importlib.import_module("franky_sim")
    robots: Any = importlib.import_module("franky_sim.franka_robot_server")
    hands: Any = importlib.import_module("franky_sim.franka_gripper_server")
    inner: Any = importlib.import_module("franky_sim.base_simulator").InnerRobotState
    whole: Any = importlib.import_module("franky_sim.franka_robot_state").FrankaRobotState
    protocol: Any = importlib.import_module("franky_sim.franka_robot_protocol")
    aborted: Any = hands.GripperCommandStatus.kAborted

    body = FrankaBody(qpos.copy(), lower, upper, _links())
    flange_from_tool = np.array([[S, S, 0, 0], [-S, S, 0, 0], [0, 0, 1, 0.1034], [0, 0, 0, 1]])

    class Robot(sim.BaseRobot):
        """Joints and hand. franky-sim's own bookkeeping of commands is left out: it takes half a core, and its velocities lag by 20 ms."""

        def __init__(self) -> None:
            super().__init__()
            self.external = np.zeros(7)
            self.asked = np.zeros(7)  # torques, without the weight that the arm carries by itself
            self.commanded = [body.qpos, np.zeros(7), np.zeros(7)]  # position, velocity, acceleration
            self.positioned = False

        def _get_state(self) -> Any:
            return inner(q=tuple(body.qpos), dq=tuple(body.qvel), tau_j=tuple(body.torque))

        def torque_control(self, torques: Sequence[float], has_new_command: bool = True) -> None:
            self.asked = np.asarray(torques)
            super().torque_control(torques, has_new_command)

        def _torque_control(self, torques: np.ndarray) -> None:
            body.torque = torques

        def joint_position_control(self, target_q: Sequence[float], has_new_command: bool = True) -> None:
            target, self.positioned = np.array(target_q), True
            position, speed, acceleration = self.commanded
            if has_new_command:
                acceleration = (target - position) / TICK - speed
                speed = speed + acceleration
                self.commanded = [target, speed, acceleration / TICK]
            # franky-sim's controller is 0.1 s behind a steady motion; the real one hardly.
            gain = 2 * np.pi * CONTROLLER_HZ
            wanted = gain * gain * (target - body.qpos) + 2 * gain * (np.clip(speed, -FASTEST, FASTEST) - body.qvel)
            self.torque_control(body.links.inverse(body.qpos, body.qvel, wanted).tolist())

        def set_hand_goal(self, width: float, max_velocity: float, max_force: float) -> None:
            body.goal, body.speed = width, max_velocity

        def _get_hand_width(self) -> float:
            return body.width

        @property
        def state(self) -> Any:
            position, speed, acceleration = self.commanded
            pose = tuple(self.kinematics(body.qpos).homogeneous.ravel(order="F"))
            return whole(
                q=tuple(body.qpos),
                dq=tuple(body.qvel),
                q_d=tuple(position),
                dq_d=tuple(speed),
                ddq_d=tuple(acceleration),
                tau_J=tuple(body.torque),
                tau_J_d=tuple(self.asked),
                tau_ext_hat_filtered=tuple(self.external),
                O_T_EE=pose,
                O_T_EE_d=pose,
                O_T_EE_c=pose,
                F_T_EE=tuple(flange_from_tool.ravel(order="F")),
                F_T_NE=tuple(flange_from_tool.ravel(order="F")),
                elbow=(body.qpos[2], np.copysign(1.0, body.qpos[3])),
                control_command_success_rate=1.0,
            )

        def advance(self) -> None:
            """One period."""
            push, before = memory.pushed, body.qvel
            body.step(TICK, push, memory.blocked)
            if not self.positioned:  # under torques, what is commanded is what happens
                self.commanded = [body.qpos, body.qvel, (body.qvel - before) / TICK]
            self.positioned = False
            self.external = self.external + min(1.0, 2 * np.pi * EXTERNAL_HZ * TICK) * (push - self.external)
            memory.publish(body.qpos, body.qvel, body.width, body.drive, time.monotonic())

    class Server(robots.FrankaRobotServer):
        """Reports errors, which franky-sim does not know, and waits for a client in control as long as `PATIENCE`.

        Without a real-time kernel a client is late now and then. A real arm would stop; this one lets its own time stand still.
        """

        heard = False
        failure = 0
        """Of this period: a client that read of it before its motion was aborted would wait for that."""
        following = 0
        """The motion whose first command has come; before, the client waits for the arm."""

        def _pre_process_commands(self) -> None:
            super()._pre_process_commands()
            self.heard, since = False, time.monotonic()
            if not self.current_motion_id:
                self.following = 0
            while self.current_motion_id and self.current_motion_id == self.following and not memory.failure:
                self._process_udp_commands()
                if self.heard:
                    break
                if time.monotonic() - since > PATIENCE:
                    memory.fail(COMMUNICATION)
                    break
                time.sleep(POLL)

        def _handle_udp_command(self, command_data: bytes) -> None:
            self.heard, self.following = True, self.current_motion_id
            super()._handle_udp_command(command_data)

        @property
        def robot_state(self) -> Any:
            state = super().robot_state
            if not self.failure:
                return state
            errors = tuple(i + 1 == self.failure for i in range(len(state.errors)))
            return state.replace(robot_mode=protocol.RobotMode.kReflex, errors=errors, reflex_reason=errors)

        def start_motion(self, *args: Any, **kwargs: Any) -> None:
            if memory.failure:
                raise ValueError("in reflex")  # franky-sim answers: aborted
            super().start_motion(*args, **kwargs)

        def process_commands(self) -> None:
            super().process_commands()
            self.failure, motion, client = memory.failure, self.current_motion_id, self._tcp_socket
            if self.failure and motion and client:
                self.stop_motion(send_preemption_signal=False)
                self.reset_current_motion_id()
                self.send_state()
                protocol.BaseCommand.send_response(client, protocol.RobotCommand.kMove, motion, protocol.MoveStatus.kReflexAborted)

    class Recovery(protocol.AutomaticErrorRecoveryCommand):
        """Clears the error."""

        def handle(self, server: Any) -> None:
            memory.fail(None)
            super().handle(server)

    class Hand(hands.FrankaGripperServer):
        """Answers the command that a stop breaks off, as the real hand does; franky-sim 1.0.4 leaves its client waiting for ever.

        A grasp closes until it meets something, whatever its width.
        """

        def start_grasp(self, width: float, speed: float, force: float, *rest: Any) -> None:
            super().start_grasp(width, speed, force, *rest)
            robot.set_hand_goal(0.0, speed, force)

        def stop(self, command_id: int, tcp_socket: Any) -> None:
            broken, client, kind = self._pending_command_id, self._pending_tcp_socket, self._pending_command_type
            super().stop(command_id, tcp_socket)
            if broken is not None and client and kind:
                protocol.BaseCommand.send_response(client, kind, broken, aborted, command_type_struct="H", status_type_struct="H")

    robots.AutomaticErrorRecoveryCommand = Recovery  # the server's constructor looks both up there
    robots.FrankaGripperServer = Hand
    robot = Robot()
    return robot, Server(robot, addresses)


def _links() -> Links:
    """Of the arm that franky-sim compensates for, with the same hand: what the arm is told to hold it can hold."""
    pinocchio: Any = importlib.import_module("pinocchio")  # comes with franky-sim
    sim: Any = importlib.import_module("franky_sim")
    model, hand = pinocchio.buildModelFromXML(sim.FR3_URDF), sim.RobotParameters()
    flange = model.frames[model.getFrameId("link8")]
    inertia = pinocchio.Inertia(hand.ee_mass, np.array(hand.ee_com), np.array(hand.ee_inertia).reshape(3, 3))
    model.appendBodyToJoint(flange.parentJoint, inertia, flange.placement)
    model.armature = ROTOR
    data = model.createData()

    class Pinocchio:
        def forward(self, qpos: np.ndarray, qvel: np.ndarray, torque: np.ndarray) -> np.ndarray:
            return pinocchio.aba(model, data, qpos, qvel, torque)

        def inverse(self, qpos: np.ndarray, qvel: np.ndarray, acceleration: np.ndarray) -> np.ndarray:
            moved = pinocchio.rnea(model, data, qpos, qvel, acceleration).copy()
            return moved - pinocchio.computeGeneralizedGravity(model, data, qpos)

        def inertia(self, qpos: np.ndarray) -> np.ndarray:
            return pinocchio.crba(model, data, qpos).diagonal()

    return Pinocchio()
