"""What a Universal Robots controller does behind its ports: joints, modes, registers, and the program that ur-rtde uploads.

The uploaded program is not interpreted: its side of ur-rtde's register protocol is played. A command number in input_int_register_0 is
carried out once; output_int_register_0 says 1 (ready) or 2 (done, until the command goes back to 0). servoj (11) is taken at any time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from hardware.emulators.ur_packets import REGISTERS

SPEED = np.full(6, np.pi)
"""Greatest joint speeds [rad/s]."""
ACCELERATION = 40.0
"""Greatest while servoing [rad/s^2]."""
BRAKE = 20.0
"""Of the controller's own stops: safety, watchdog, a program that ended [rad/s^2]."""
READY, DONE = 1, 2


class Safety(IntEnum):
    """safety_mode."""

    NORMAL = 1
    REDUCED = 2
    PROTECTIVE_STOP = 3
    SAFEGUARD_STOP = 5
    ROBOT_EMERGENCY_STOP = 7


class Mode(IntEnum):
    """robot_mode."""

    POWER_OFF = 3
    IDLE = 5
    RUNNING = 7


class Runtime(IntEnum):
    """runtime_state."""

    STOPPED = 1
    PLAYING = 2
    PAUSED = 4


class Command(IntEnum):
    """The commands of ur-rtde's program that are played here; any other ends the program."""

    NONE = 0
    SERVOJ = 11
    SERVO_STOP = 16
    STOPL = 33
    STOPJ = 34
    SET_WATCHDOG = 35
    JOINTS_WITHIN_SAFETY_LIMITS = 37
    END = 255


@dataclass
class Controller:
    """One arm and its controller; `tick` moves time on."""

    q: np.ndarray
    """Joint positions, (6,) [rad]."""
    robot_mode: Mode = Mode.RUNNING
    safety: Safety = Safety.NORMAL
    slider: float = 1.0
    """The speed slider, (0, 1]: servoj's time is stretched by it."""
    follow: float = 1.0
    """Share of the speed that the joints make of what they should, without a word: 1 a sound arm."""
    push: np.ndarray = field(default_factory=lambda: np.zeros(6))
    """Current that a push from outside costs, (6,) [A]."""
    log: list[str] = field(default_factory=list)
    """What the controller would show on its screen."""
    runtime: Runtime = Runtime.STOPPED
    qd: np.ndarray = field(default_factory=lambda: np.zeros(6))
    ints: dict[str, list[int]] = field(default_factory=lambda: {"input": [0] * REGISTERS, "output": [0] * REGISTERS})
    doubles: dict[str, list[float]] = field(default_factory=lambda: {"input": [0.0] * REGISTERS, "output": [0.0] * REGISTERS})
    servo: np.ndarray | None = None
    """What servoj is told, (6,) [rad]; the program repeats it until told otherwise."""
    servos: int = 0
    """How many servoj commands came."""
    _lookahead: float = 0.1
    _brake: float = BRAKE
    _busy: bool = False
    """A command is being carried out, or is done and not yet taken back."""
    _braking: bool = False
    """The program waits in stopl or stopj for the arm to rest."""
    _watchdog: float = 0.0
    """Longest silence of input_int_register_0 [s]; 0: none."""
    _heard: float = 0.0
    _ticked: float = 0.0

    def play(self, script: str) -> None:
        """Starts an uploaded program, in place of the one that runs."""
        if not script.startswith("def rtde_control():"):
            self.log.append("only ur-rtde's program is played here")
        elif self.robot_mode is not Mode.RUNNING or self.safety not in (Safety.NORMAL, Safety.REDUCED):
            self.log.append(f"program refused: {self.robot_mode.name}, {self.safety.name}")
        else:
            self.end("another program")
            self.runtime = Runtime.PLAYING
            self.ints["output"][0] = READY

    def end(self, why: str) -> None:
        """Ends the program; the arm brakes. Watchdogs go with it."""
        if self.runtime is not Runtime.STOPPED:
            self.log.append(f"program ended: {why}")
        self.runtime, self.servo, self._brake = Runtime.STOPPED, None, BRAKE
        self._busy = self._braking = False
        self._watchdog = 0.0

    def protect(self, mode: Safety, why: str) -> None:
        """A stop by the safety system: the program waits, or ends where the arm loses its power."""
        self.safety = mode
        self.log.append(why)
        if mode is Safety.ROBOT_EMERGENCY_STOP:
            self.end(why)
            self.robot_mode = Mode.IDLE
        elif self.runtime is Runtime.PLAYING:
            self.runtime = Runtime.PAUSED

    def unlock(self) -> None:
        """A person says that the arm may move; the program still waits."""
        self.safety = Safety.NORMAL

    def resume(self) -> None:
        """Goes on with a program that waits, at what servoj was told last."""
        if self.runtime is Runtime.PAUSED and self.safety is Safety.NORMAL:
            self.runtime = Runtime.PLAYING

    def receive(self, values: dict[str, float | int | tuple[float, ...]], now: float) -> None:
        """Input registers from outside, in one package."""
        for name, value in values.items():
            if name.startswith("input_int_register_") and isinstance(value, int):
                self.ints["input"][int(name.rsplit("_", 1)[1])] = value
            elif name.startswith("input_double_register_") and isinstance(value, float):
                self.doubles["input"][int(name.rsplit("_", 1)[1])] = value
        if "input_int_register_0" in values:
            self._heard = now
            self.servos += values["input_int_register_0"] == Command.SERVOJ

    def tick(self, now: float, dt: float) -> None:
        """Moves on to `now` [s]; the joints by `dt` [s]. Time that the machine did not let us run is not held against the client."""
        self._heard += max(now - self._ticked - dt, 0.0)
        self._ticked = now
        if self._watchdog and now - self._heard > self._watchdog:
            self.end("watchdog of input_int_register_0")
        if self.runtime is Runtime.PLAYING:
            self._program(now)
        self._move(dt)

    def state(self, now: float) -> dict[str, float | int | np.ndarray]:
        """All output variables."""
        current = 0.4 * self.qd
        stopped = self.safety not in (Safety.NORMAL, Safety.REDUCED)
        emergency = self.safety is Safety.ROBOT_EMERGENCY_STOP
        bits = 1 << 0 if not stopped else 1 << 10
        bits |= (1 << 2) * (self.safety is Safety.PROTECTIVE_STOP) | (1 << 4) * (self.safety is Safety.SAFEGUARD_STOP)
        bits |= (1 << 6 | 1 << 7) * emergency
        values: dict[str, float | int | np.ndarray] = {
            "timestamp": now,
            "target_q": self.q if self.servo is None else self.servo,
            "target_qd": self.qd,
            "target_current": current,
            "actual_q": self.q,
            "actual_qd": self.qd,
            "actual_current": current + self.push,
            "robot_mode": int(self.robot_mode),
            "safety_mode": int(self.safety),
            "speed_scaling": 1.0,
            "target_speed_fraction": self.slider,
            "runtime_state": int(self.runtime),
            "robot_status_bits": (self.robot_mode is Mode.RUNNING) | (1 << 1) * (self.runtime is not Runtime.STOPPED),
            "safety_status_bits": bits,
        }
        values |= {f"output_int_register_{i}": value for i, value in enumerate(self.ints["output"])}
        values |= {f"output_double_register_{i}": value for i, value in enumerate(self.doubles["output"])}
        return values

    def _program(self, now: float) -> None:
        command = self.ints["input"][0]
        if self._braking:
            if np.any(self.qd):
                return
            self._braking = False
            self.ints["output"][0] = DONE
        if command == Command.SERVOJ:
            self._servoj()
        elif command == Command.NONE:
            self._busy = False
            self.ints["output"][0] = READY
        elif not self._busy:
            self._busy = True
            self._carry_out(command, now)

    def _servoj(self) -> None:
        target = np.array(self.doubles["input"][:6])
        if not np.isfinite(target).all():
            self.protect(Safety.PROTECTIVE_STOP, "servoj was told a position that is not finite")
            return
        self.servo, self._lookahead = target, max(self.doubles["input"][9], 0.03)
        self.ints["output"][0] = READY

    def _carry_out(self, command: int, now: float) -> None:
        first = self.doubles["input"][0]
        if command in (Command.SERVO_STOP, Command.STOPL, Command.STOPJ):
            # stopl takes m/s^2 of the tool; here every joint takes as many rad/s^2.
            self.servo, self._brake, self._braking = None, max(first, 0.1), True
            return
        if command == Command.SET_WATCHDOG:
            self._watchdog, self._heard = (1 / first if first > 0 else 0.0), now
        elif command == Command.JOINTS_WITHIN_SAFETY_LIMITS:
            self.ints["output"][1] = int(np.all(np.abs(self.doubles["input"][:6]) <= 2 * np.pi))
        else:
            self.end("stopped by the client" if command == Command.END else f"command {command} is not played here")
            return
        self.ints["output"][0] = DONE

    def _move(self, dt: float) -> None:
        playing = self.runtime is Runtime.PLAYING and self.robot_mode is Mode.RUNNING
        if playing and self.servo is not None:
            wish = np.clip((self.servo - self.q) / self._lookahead, -SPEED, SPEED) * self.slider * self.follow
            self.qd = self.qd + np.clip(wish - self.qd, -ACCELERATION * dt, ACCELERATION * dt)
        else:
            brake = self._brake if playing else BRAKE
            self.qd = np.sign(self.qd) * np.maximum(np.abs(self.qd) - brake * dt, 0)
        self.q = self.q + self.qd * dt
