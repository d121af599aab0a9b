"""Universal Robots' e-Series and CB3 arms through ur-rtde: servoj setpoints, the controller's own watchdog, a Robotiq 2F gripper.

ur-rtde uploads a program to the controller and talks to it through registers. The program repeats servoj towards the newest setpoint,
so an arm whose client dies comes to rest at the last one, and the watchdog then ends the program. The vendor's client runs in a process
of its own (ur_client.py says why); here its measurements are checked, since it hands on whatever a broken data package holds, and the
first fault is final, since it reconnects by itself.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from functools import cached_property
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from hardware.api import Action, ArmLost, RobotError
from hardware.arm import ArmState
from hardware.drivers.ur_client import SETPOINT, Frame
from hardware.drivers.ur_dashboard import (
    DASHBOARD,
    ENDED,
    GONE,
    PATIENCE,
    RTDE,
    RUNNING,
    SCRIPT,
    Refused,
    check_modes,
    check_slider,
    dashboard,
    knock,
)
from hardware.drivers.ur_gripper import Robotiq
from hardware.model import ArmModel, load_arm

CONNECTING = 10.0
"""Longest that the vendor's client may take to connect [s]."""
STRETCHED = 0.1
"""How long the controller may run slower than it is told before it is a fault [s]: it does so for moments by itself."""
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class UR:
    """An arm of Universal Robots."""

    address: str
    """Of the controller: a name or an IP address."""
    model: str = "ur5e"
    """An arm of `hardware/arms`."""
    gripper: str = "robotiq"
    """"robotiq": a 2F-85 or 2F-140 on the controller's port 63352; "none"."""
    servo_hz: float = 125.0
    """Setpoints and measurements a second [Hz]: 125, or 500 with e-Series."""
    lookahead: float = 0.1
    """How far servoj smooths ahead [s], 0.03 to 0.2; the arm follows about that much later."""
    gain: float = 300.0
    """How hard servoj follows, 100 to 2000."""
    deceleration: float = 10.0
    """Of the tool when it is told to stop [m/s^2]."""
    watchdog_hz: float = 5.0
    """The controller ends the program where setpoints come less often [Hz]."""
    silence: float = 0.5
    """Longest time without a measurement before the arm counts as lost [s]."""
    currents: tuple[float, ...] = (12.0, 12.0, 12.0, 3.0, 3.0, 3.0)
    """Motor current at each joint's greatest torque [A]. The vendor publishes none: these are a UR5e's rated torques over torque constants
    near 0.125 and 0.092 N m/A and gears of 101:1. Measure yours before relying on a contact threshold."""
    gripper_counts: tuple[int, int] = (3, 230)
    """What the gripper reports fully open and fully closed, in [0, 255]."""
    grip: float = 40.0
    """Force of its fingers [N], 20 to 235."""

    def __post_init__(self) -> None:
        ranges = {"lookahead": (0.03, 0.2), "gain": (100, 2000), "deceleration": (0.5, 50), "silence": (0.05, 2), "watchdog_hz": (1, 50)}
        ranges |= {"grip": (20, 235)}
        for name, (least, most) in ranges.items():
            if not least <= getattr(self, name) <= most:
                raise RobotError(f"robot=ur: {name} is {getattr(self, name)}; it may be {least} to {most}")
        if not self.address:
            raise RobotError("robot=ur needs address=, the controller's name or IP address")
        if self.gripper not in ("robotiq", "none"):
            raise RobotError(f"robot=ur: gripper {self.gripper!r}; known: robotiq, none")
        if self.servo_hz not in (125, 500):
            raise RobotError(f"robot=ur: servo_hz is {self.servo_hz}; controllers keep 125, and e-Series 500")
        if self.watchdog_hz > self.deceleration:
            raise RobotError(
                f"robot=ur: with a watchdog of {self.watchdog_hz} Hz a stop from 1 m/s at {self.deceleration} m/s^2 would not end in time; "
                f"watchdog_hz={self.deceleration} or less would do"
            )
        opened, closed = self.gripper_counts
        if not 0 <= opened < closed <= 255:
            raise RobotError(f"robot=ur: gripper_counts are {self.gripper_counts}; open is less than closed, both in 0 to 255")

    @property
    def arm(self) -> ArmModel:
        """Its joints, limits and shape. Raises RobotError where it has not six joints."""
        return self._arm

    @cached_property
    def _arm(self) -> ArmModel:
        arm = load_arm(self.model)
        if len(arm.joints) != 6 or len(self.currents) != 6:
            raise RobotError(
                f"robot=ur: arm {arm.name!r} has {len(arm.joints)} joints, currents {len(self.currents)}; an arm of theirs has 6"
            )
        return arm if self.gripper == "robotiq" else replace(arm, gripper=0)

    def connect(self) -> URLink:
        """Opens the connection and uploads ur-rtde's program; moves nothing. Raises RobotError: what is missing or refused."""
        arm = self.arm
        if any(importlib.util.find_spec(name) is None for name in ("rtde_control", "rtde_receive")):
            raise RobotError("robot=ur needs ur-rtde: pip install ur-rtde")
        try:
            for port, use in ((DASHBOARD, "dashboard"), (SCRIPT, "program upload"), (RTDE, "data exchange")):
                knock(self.address, port, use).close()
            self._ask_first(arm)
        except Refused as error:
            raise RobotError(str(error)) from error
        with contextlib.ExitStack() as undo:
            jaw = Robotiq(self.address, self.gripper_counts, self.grip) if self.gripper == "robotiq" else None
            if jaw:
                undo.callback(jaw.close)
            link = URLink(self, jaw)
            undo.callback(link.close)
            link.begin()
            undo.pop_all()
        return link

    def _ask_first(self, arm: ArmModel) -> None:
        """Asks the dashboard whether this arm may be driven now. Raises RobotError with the controller's words."""
        questions = ("PolyscopeVersion", "get robot model", "is in remote control", "robotmode", "safetystatus", "running")
        version, model, remote, robot, safety, running = dashboard(self.address, *questions)
        family, old = model.strip().upper(), "3." in version.split(" ")[-1][:2]  # CB3 controllers run PolyScope 3
        if not family.startswith("UR") or not arm.name.upper().startswith(family.removesuffix("E")) or (arm.name.endswith("e") and old):
            raise RobotError(f"{self.address} is a {model!r} with {version!r}, not a {arm.name}: give model= the arm that stands there")
        if old and self.servo_hz > 125:
            raise RobotError(f"{self.address} runs {version!r}, which keeps 125 Hz: give servo_hz=125")
        if remote.strip().lower() == "false":
            raise RobotError(f"{self.address} is in local control: switch the pendant to remote control")
        if "RUNNING" not in robot.upper():
            raise RobotError(f"{self.address} says {robot!r}: power the arm on and release its brakes at the pendant")
        if not any(word in safety.upper() for word in ("NORMAL", "REDUCED")):
            raise RobotError(f"{self.address} says {safety!r}: clear it at the pendant")
        if "true" in running.lower():
            raise RobotError(f"{self.address} runs a program, perhaps another session's: end that, or stop it at the pendant")


class URLink:
    """A connected arm, made by `UR.connect`. The vendor's client is a child process, which stops the arm when this process ends."""

    def __init__(self, driver: UR, jaw: Robotiq | None) -> None:
        self._driver, self._jaw, self._arm = driver, jaw, driver.arm
        self._torques = np.array([joint.effort for joint in self._arm.joints]) / np.array(driver.currents)  # (6,) [N m/A]
        self._clock = _ControllerClock()
        self._state: tuple[Frame, float] | None = None
        """The newest measurement and when it was taken [s, monotonic]."""
        self._stretched_since: float | None = None
        self._fault: RobotError | None = None
        self._wake = threading.Condition()
        self._writing = threading.Lock()
        self._stopping = self._closing = self._ready = False
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 20_000))  # a child that stands must not hold us up
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "hardware.drivers.ur_client", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,  # the vendor's client talks; ours carries results
                env=os.environ | {"PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C is for us, who then stop the arm in good order
            )
        self.process: int = self._process.pid
        """Of the vendor's client."""
        self._wire = Connection(ours.detach())
        self._reader = threading.Thread(target=self._read, name="ur measurements", daemon=True)
        self._reader.start()

    def begin(self) -> None:
        """Waits until the vendor's client is connected and has measured. Raises RobotError."""
        driver = self._driver
        names = ("address", "servo_hz", "lookahead", "gain", "deceleration", "watchdog_hz")
        self._tell(json.dumps({name: getattr(driver, name) for name in names}).encode())
        with self._wake:
            self._wake.wait_for(lambda: self._fault or (self._ready and self._state), timeout=CONNECTING)
        self._raise_fault()
        if not (self._ready and self._state):
            raise RobotError(f"{driver.address}: ur-rtde did not connect within {CONNECTING:g} s")

    def state(self) -> ArmState:
        """The newest measurement. Raises RobotError where the controller reports a fault, runs slower than told, or is gone."""
        self._raise_fault()
        if self._state is None:
            raise RobotError("nothing was measured yet")
        (frame, taken), now = self._state, time.monotonic()
        try:
            if now - self._clock.heard > self._driver.silence:
                raise ArmLost(f"the controller sent no measurement for {now - self._clock.heard:.2f} s")
            grip = np.array([self._jaw.opening()]) if self._jaw else np.zeros(0)
        except RobotError as error:
            raise self._fail(error) from error
        self._check_speed(frame.scaling * frame.slider, now)
        effort = (np.array(frame.current) - np.array(frame.modelled)) * self._torques
        return ArmState(qpos=np.array(frame.q), qvel=np.array(frame.qd), effort=effort, gripper=grip, time=taken)

    def send(self, setpoint: Action) -> None:
        """Hands on a setpoint; returns at once, and drops it while a stop is under way. Raises RobotError: malformed, or after a fault."""
        self._raise_fault()
        if setpoint.qpos.shape != (6,) or setpoint.gripper.shape != (self._arm.gripper,):
            raise RobotError(
                f"{self._arm.name} takes 6 joints and {self._arm.gripper} gripper, got {setpoint.qpos.shape}, {setpoint.gripper.shape}"
            )
        if not (np.isfinite(setpoint.qpos).all() and np.isfinite(setpoint.gripper).all()):
            raise RobotError(f"a setpoint must be finite, got {setpoint.qpos} and {setpoint.gripper}")
        if (setpoint.qpos < self._arm.lower).any() or (setpoint.qpos > self._arm.upper).any():
            raise RobotError(f"a setpoint beyond the joint limits: {setpoint.qpos}")
        with self._wake:
            if not self._stopping and not self._tell(b"J" + SETPOINT.pack(*setpoint.qpos)):
                raise self._fail(ArmLost("the process of ur-rtde ended, or hangs: it takes no setpoints"))
        if self._jaw:
            self._jaw.go(float(setpoint.gripper[0]))

    def stop(self) -> None:
        """servoStop, and waits for rest; where that does not come in time, ends the vendor's client, and the program at the dashboard."""
        if self._jaw:
            self._jaw.hold()
        with self._wake:
            if not self._reader.is_alive():
                return
            self._stopping = True
            self._tell(b"S")
            done = self._wake.wait_for(lambda: not self._stopping or not self._reader.is_alive(), timeout=PATIENCE)
        if not done:
            self._process.kill()
            self._end_program()

    def close(self) -> None:
        """Stops, ends the program, gives the connection back."""
        with self._wake:
            if self._closing:
                return
        self.stop()
        self._closing = True
        self._tell(b"E")
        self._reader.join(PATIENCE)
        if self._reader.is_alive():
            self._process.kill()
            self._reader.join(PATIENCE)
        if self._jaw:
            self._jaw.close()
        self._wire.close()

    def _read(self) -> None:
        """Takes what the vendor's client says, until it ends."""
        try:
            while True:
                self._take(self._wire.recv_bytes())
        except (EOFError, OSError):
            code = self._process.wait()
        if not self._closing:
            self._fail(ArmLost(f"the process of ur-rtde ended with code {code}"))
        if isinstance(self._fault, ArmLost):  # the vendor's client may have reconnected, and started its program once more
            self._end_program()
        with self._wake:
            self._stopping = False
            self._wake.notify_all()

    def _take(self, data: bytes) -> None:
        kind, rest = data[:1], data[1:]
        with self._wake:
            if kind == b"M" and not self._fault:
                try:
                    self._state = self._checked(Frame.unpack(rest))
                except (RobotError, Refused) as error:
                    self._fail(error)
            elif kind in (b"X", b"L"):
                self._fail((ArmLost if kind == b"L" else RobotError)(rest.decode()))
            elif kind == b"R":
                self._ready = True
            elif kind == b"D":
                self._stopping = False
            self._wake.notify_all()

    def _checked(self, frame: Frame) -> tuple[Frame, float]:
        """A measurement and when it was taken. Raises RobotError for what must not go on."""
        taken = self._clock.read(frame.stamp, frame.seen)
        check_modes(frame.safety_mode, frame.robot_mode)
        if not frame.connected:
            raise ArmLost(GONE)
        lower, upper = self._arm.lower - 1, self._arm.upper + 1
        if not np.isfinite([*frame.qd, *frame.current, *frame.modelled]).all() or not ((frame.q > lower) & (frame.q < upper)).all():
            raise ArmLost(f"a malformed measurement: joints at {frame.q}")
        if self._ready and not frame.status & RUNNING:
            raise RobotError(ENDED)
        return frame, taken

    def _check_speed(self, speed: float, now: float) -> None:
        """Raises RobotError where the controller stretches time: setpoints would be skipped, the arm would lag."""
        if speed > 0.99:
            self._stretched_since = None
            return
        if self._stretched_since is None:
            self._stretched_since = now
        if now - self._stretched_since >= STRETCHED:
            try:
                check_slider(speed)
            except Refused as error:
                raise RobotError(f"{self._driver.address}: {error}") from error

    def _fail(self, why: Exception) -> RobotError:
        """The first fault is final; returns it. The vendor's client is told to end, which stops the arm."""
        with self._wake:
            if not self._fault:
                kind = ArmLost if isinstance(why, ArmLost) else RobotError
                self._fault = kind(f"{self._driver.address}: {why}")
                self._tell(b"E")
            self._wake.notify_all()
            return self._fault

    def _raise_fault(self) -> None:
        if self._closing:
            raise RobotError("the connection is closed")
        if self._fault:
            raise type(self._fault)(str(self._fault))

    def _tell(self, data: bytes) -> bool:
        """Whether the vendor's client could be told."""
        try:
            with self._writing:
                self._wire.send_bytes(data)
        except OSError:
            return False
        return True

    def _end_program(self) -> None:
        with contextlib.suppress(Refused):
            dashboard(self._driver.address, "stop")


class _ControllerClock:
    """From the controller's time stamps to ours: the least delay seen, which leaks upwards so that clocks may drift apart."""

    DRIFT = 5e-4
    """Greatest difference in rate between the two clocks."""

    def __init__(self) -> None:
        self.heard = 0.0
        """When the newest stamp was first seen [s, monotonic]."""
        self._stamp = -np.inf
        self._offset = np.inf

    def read(self, stamp: float, now: float) -> float:
        """When the measurement of this stamp was taken [s, monotonic]. Raises ArmLost where the controller's time jumps."""
        if not np.isfinite(stamp) or stamp < self._stamp:
            raise ArmLost(f"a malformed measurement: the controller's time went from {self._stamp} to {stamp} s")
        if stamp > self._stamp:
            leak = self.DRIFT * (now - self.heard) if self.heard else 0.0
            if self.heard and stamp - self._stamp > now - self.heard + 1:
                raise ArmLost(f"a malformed measurement: the controller's time went from {self._stamp} to {stamp} s")
            self._offset = min(self._offset + leak, now - stamp)
            self._stamp, self.heard = stamp, now
        return self._stamp + self._offset
