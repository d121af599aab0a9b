"""A chain of Feetech STS3215 servos on a pseudo-terminal: the real bus code connects to it, configures, reads and writes.

It speaks the servos' packets (FF FF id length instruction parameters checksum; the answer carries a status byte in the place of the
instruction) and keeps their memory table: EEPROM below address 40, which a locked servo forgets with the power, SRAM above. What the bus
cannot see is physics: by default each servo is a DC motor behind a gear, or `drive` moves all of them, for example an arm in MuJoCo. A
servo that gets torque goes where its goal register points, wherever that is: what a driver must not trip over.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import threading
import tty
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from types import TracebackType
from typing import Self

import numpy as np

from hardware.clock import Clock, MonotonicClock

PING, READ, WRITE, REG_WRITE, ACTION, SYNC_READ, SYNC_WRITE = 1, 2, 3, 4, 5, 0x82, 0x83
BROADCAST = 0xFE
RESOLUTION = 4096
"""Ticks a turn."""
TABLE = 87
"""Bytes of the memory table."""
EEPROM = 40
"""Addresses below it survive the power."""
READ_ONLY = (range(0, 5), range(56, 80))
REGISTERS = {
    "Firmware_Major_Version": (0, 1, 3),
    "Firmware_Minor_Version": (1, 1, 10),
    "Model_Number": (3, 2, 777),
    "ID": (5, 1, 1),
    "Return_Delay_Time": (7, 1, 250),
    "Response_Status_Level": (8, 1, 1),
    "Min_Position_Limit": (9, 2, 0),
    "Max_Position_Limit": (11, 2, 4095),
    "Max_Torque_Limit": (16, 2, 1000),
    "Phase": (18, 1, 12),
    "P_Coefficient": (21, 1, 32),
    "D_Coefficient": (22, 1, 32),
    "Protection_Current": (28, 2, 500),
    "Homing_Offset": (31, 2, 0),
    "Operating_Mode": (33, 1, 0),
    "Torque_Enable": (40, 1, 0),
    "Acceleration": (41, 1, 0),
    "Goal_Position": (42, 2, 0),
    "Torque_Limit": (48, 2, 1000),
    "Lock": (55, 1, 1),
    "Present_Position": (56, 2, 0),
    "Present_Velocity": (58, 2, 0),
    "Present_Load": (60, 2, 0),
    "Present_Voltage": (62, 1, 120),
    "Present_Temperature": (63, 1, 30),
    "Status": (65, 1, 0),
    "Present_Current": (69, 2, 0),
}
"""Address, bytes (the low one first) and value from the factory, by the names that LeRobot uses."""
OVERLOAD = 0x20
"""Bit of the status byte."""
FREE_SPEED = 3072.0
"""Without load [ticks/s]: 4.7 rad/s."""
STALL_CURRENT = 415
"""[6.5 mA]: 2.7 A."""
FULL_DUTY = 100.0
"""Position error that asks for all the motor can give, at P = 16 [ticks]."""
STEP = 0.004
"""Longest step of the physics [s]."""

Drive = Callable[[np.ndarray, float], np.ndarray]
"""Encoder ticks (n,) that the servos' loops aim at, NaN where limp, and seconds, at most STEP; returns encoder ticks (n,)."""


@dataclass
class Motors:
    """DC motors behind gears that hold by friction when limp. A Drive."""

    ticks: np.ndarray
    """Of the encoders, (n,)."""
    push: np.ndarray
    """What leans on each joint, in shares of its stall torque, (n,)."""
    friction: float = 0.1
    """Of a limp joint, in shares of its stall torque."""
    settling: float = 0.015
    """Time constant of the speed [s]."""

    def __post_init__(self) -> None:
        self._speed = np.zeros(len(self.ticks))

    def __call__(self, goals: np.ndarray, dt: float) -> np.ndarray:
        """Moves on by `dt` [s]."""
        limp = np.isnan(goals)
        duty = np.where(limp, 0.0, np.clip((goals - self.ticks) / FULL_DUTY, -1, 1))
        slips = ~limp | (np.abs(self.push) > self.friction)
        wanted = np.where(slips, duty + self.push, 0.0) * FREE_SPEED
        self._speed += (wanted - self._speed) * (1 - math.exp(-dt / self.settling))
        self.ticks = self.ticks + self._speed * dt
        return self.ticks


class _Servo:
    """The memory of one servo."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.table = bytearray(TABLE)
        for name, (_, _, value) in REGISTERS.items():
            self.set(name, value)
        self.set("ID", number)
        self.kept = bytes(self.table)
        self.pending: tuple[int, bytes] | None = None
        self.silent = False

    def get(self, name: str) -> int:
        at, size, _ = REGISTERS[name]
        return int.from_bytes(self.table[at : at + size], "little")

    def set(self, name: str, value: int) -> None:
        at, size, _ = REGISTERS[name]
        self.table[at : at + size] = value.to_bytes(size, "little")

    def write(self, at: int, values: bytes) -> None:
        """What a packet writes: nothing read-only, and into the EEPROM's own copy only while it is unlocked."""
        kept = bytearray(self.kept)
        for address, value in enumerate(values, at):
            if address < TABLE and not any(address in block for block in READ_ONLY):
                self.table[address] = value
                if address < EEPROM and not self.get("Lock"):
                    kept[address] = value
        self.kept = bytes(kept)


class Chain:
    """Servos at `port`, from `with` to the end of its block. Its thread answers; physics catches up whenever somebody looks."""

    def __init__(
        self,
        ticks: Sequence[float] | np.ndarray,
        *,
        ids: Sequence[int] | None = None,
        drive: Drive | None = None,
        clock: Clock | None = None,
    ) -> None:
        """
        Args:
            ticks: of the encoders when the power comes on, (n,).
            ids: of the servos; 1 to n by default.
            drive: what moves them; motors of their own by default.
            clock: of the physics.
        """
        self.motors = Motors(np.array(ticks, float), np.zeros(len(ticks)))
        """What moves the servos where `drive` is not given; `motors.push` leans on them."""
        self.received: deque[tuple[int, int, bytes]] = deque(maxlen=100_000)
        """Packets that came: id, instruction, parameters."""
        self.delay = 0.0
        """Before each answer [s]."""
        self._drive = drive or self.motors
        self._servos = {number: _Servo(number) for number in ids or range(1, len(ticks) + 1)}
        self._ticks = np.array(ticks, float)
        self._clock = clock or MonotonicClock()
        self._then = self._clock.now()
        self._garble = 0
        self._powered = True
        self._lock = threading.RLock()
        self._ending = threading.Event()
        self._ends: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        self._ends = os.openpty()
        tty.setraw(self._ends[1])  # held open as well: a client may come and go
        self.port = os.ttyname(self._ends[1])
        """Path of the serial port."""
        self._thread = threading.Thread(target=self._serve, args=(self._ends[0],), name="feetech chain", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.unplug()

    # --- what a test sees and does

    @property
    def positions(self) -> np.ndarray:
        """What the servos say of their positions, (n,) [ticks]."""
        with self._lock:
            self._advance()
            return np.array([servo.get("Present_Position") for servo in self._servos.values()])

    def registers(self, name: str) -> np.ndarray:
        """One register of all servos, (n,)."""
        with self._lock:
            return np.array([servo.get(name) for servo in self._servos.values()])

    def preset(self, name: str, values: Sequence[int]) -> None:
        """Sets one register of all servos, as a session before this one would have left it; EEPROM too."""
        with self._lock:
            self._advance()
            for servo, value in zip(self._servos.values(), values, strict=True):
                servo.set(name, value)
                servo.kept = bytes(servo.table)
            self._measure(np.zeros(len(self._ticks)))

    def unplug(self) -> None:
        """Pulls the cable: the port is gone. Idempotent."""
        self._ending.set()
        if self._ends is not None:
            self._thread.join()
            for end in self._ends:
                os.close(end)
            self._ends = None

    def silence(self, number: int, silent: bool = True) -> None:
        """One servo does not answer any more, or does again."""
        self._servos[number].silent = silent

    def report(self, number: int, status: int = OVERLOAD) -> None:
        """One servo reports a fault of its own, in its status byte; 0 clears it."""
        with self._lock:
            self._servos[number].set("Status", status)

    def garble(self, answers: int) -> None:
        """The next answers have a wrong checksum."""
        self._garble = answers

    def babble(self, noise: bytes) -> None:
        """Noise on the line, towards the client."""
        if self._ends is not None:
            os.write(self._ends[0], noise)

    def power(self, on: bool) -> None:
        """Cuts the servos' supply, or gives it back: they then lie limp, and know what their EEPROM kept."""
        with self._lock:
            self._advance()
            self._powered = on
            for servo in self._servos.values():
                servo.table[:] = servo.kept
                servo.set("Torque_Enable", 0)
                servo.set("Lock", 1)

    # --- physics

    def _advance(self) -> None:
        now = self._clock.now()
        dt, self._then = now - self._then, now
        if dt <= 0:
            return
        steps = math.ceil(dt / STEP)
        for _ in range(steps):
            before = self._ticks
            self._ticks = np.array(self._drive(np.array([self._aim(i, servo) for i, servo in self._each()]), dt / steps), float)
        self._measure((self._ticks - before) * steps / dt)

    def _each(self) -> enumerate[_Servo]:
        return enumerate(self._servos.values())

    def _aim(self, i: int, servo: _Servo) -> float:
        """The encoder ticks that a servo's loop steers to, NaN where limp. A drive is as stiff as at P = 16, so P scales the way."""
        if not servo.get("Torque_Enable") or not self._powered:
            return math.nan
        goal = max(servo.get("Min_Position_Limit"), min(servo.get("Goal_Position"), servo.get("Max_Position_Limit")))
        at = self._ticks[i]
        share = 0.25 if servo.get("Status") & OVERLOAD else 1.0
        error = (goal + _signed(servo.get("Homing_Offset"), 11) - at) * servo.get("P_Coefficient") / 16
        return at + share * max(-FULL_DUTY, min(error, FULL_DUTY))

    def _measure(self, speeds: np.ndarray) -> None:
        for i, servo in self._each():
            at, speed, aim = self._ticks[i], speeds[i], self._aim(i, servo)
            duty = 0.0 if math.isnan(aim) else (aim - at) / FULL_DUTY
            induced = speed / FREE_SPEED if duty else 0.0  # the current follows the voltage less what the motor's own turning induces
            servo.set("Present_Position", round(at - _signed(servo.get("Homing_Offset"), 11)) % RESOLUTION)
            servo.set("Present_Velocity", _magnitude(speed, 15))
            servo.set("Present_Load", _magnitude(1000 * duty, 10))
            servo.set("Present_Current", _magnitude(abs(duty - induced) * STALL_CURRENT, 15))

    # --- packets

    def _serve(self, master: int) -> None:
        waiting = bytearray()
        while not self._ending.is_set():
            if not select.select([master], [], [], 0.02)[0]:
                with self._lock:
                    self._advance()  # in time, so that no answer waits for a long stretch of physics
                continue
            with contextlib.suppress(OSError):  # no client holds the other end
                waiting += os.read(master, 4096)
            while (packet := _next(waiting)) is not None:
                try:
                    answer = self._answer(*packet)
                except (IndexError, ValueError):  # parameters that mean nothing: a servo stays silent
                    continue
                if answer and self.delay:
                    self._clock.sleep_until(self._clock.now() + self.delay)
                if answer:
                    os.write(master, answer)

    def _answer(self, number: int, instruction: int, parameters: bytes) -> bytes:
        with self._lock:
            self._advance()
            self.received.append((number, instruction, parameters))
            there = {n: servo for n, servo in self._servos.items() if not servo.silent and self._powered}
            if instruction == SYNC_READ:
                at, size, *numbers = parameters
                return b"".join(self._reply(there[n], there[n].table[at : at + size]) for n in numbers if n in there)
            if instruction == SYNC_WRITE:
                at, size, *rest = parameters
                for n, *values in (rest[i : i + size + 1] for i in range(0, len(rest), size + 1)):
                    if n in there:
                        there[n].write(at, bytes(values))
                return b""
            everyone = number == BROADCAST
            chosen = list(there.values()) if everyone else [there[number]] if number in there else []
            return b"".join(self._one(servo, instruction, parameters, everyone) for servo in chosen)

    def _one(self, servo: _Servo, instruction: int, parameters: bytes, everyone: bool) -> bytes:
        if instruction == PING:
            return self._reply(servo)
        if instruction == READ:
            return b"" if everyone else self._reply(servo, servo.table[parameters[0] : parameters[0] + parameters[1]])
        if instruction == WRITE:
            servo.write(parameters[0], parameters[1:])
        elif instruction == REG_WRITE:
            servo.pending = parameters[0], parameters[1:]
        elif instruction == ACTION and servo.pending is not None:
            servo.write(*servo.pending)
            servo.pending = None
        return b"" if everyone or not servo.get("Response_Status_Level") else self._reply(servo)

    def _reply(self, servo: _Servo, values: bytes | bytearray = b"") -> bytes:
        body = bytes([servo.number, len(values) + 2, servo.get("Status"), *values])
        if self._garble:
            self._garble -= 1
            return b"\xff\xff" + body + bytes([_checksum(body) ^ 0x55])
        return b"\xff\xff" + body + bytes([_checksum(body)])


def _next(waiting: bytearray) -> tuple[int, int, bytes] | None:
    """Takes the first whole packet from the bytes that came: id, instruction, parameters. What is no packet is dropped, as servos do."""
    while len(waiting) >= 6:
        if waiting[:2] != b"\xff\xff" or waiting[2] == 0xFF or waiting[3] < 2:
            del waiting[0]
            continue
        size = waiting[3] + 4
        if len(waiting) < size:
            return None
        body, checksum = bytes(waiting[2 : size - 1]), waiting[size - 1]
        if checksum != _checksum(body):
            del waiting[0]
            continue
        del waiting[:size]
        return body[0], body[2], body[3:]
    return None


def _checksum(body: bytes) -> int:
    return ~reduce(int.__add__, body) & 0xFF


def _signed(value: int, bit: int) -> int:
    """A number whose sign is a bit of its own."""
    size = value & ((1 << bit) - 1)
    return -size if value >> bit & 1 else size


def _magnitude(value: float, bit: int) -> int:
    """The other way: `value` with its sign as bit `bit`."""
    size = min(round(abs(value)), (1 << bit) - 1)
    return size | (1 << bit if value < 0 else 0)
