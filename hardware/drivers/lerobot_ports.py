"""What answers for a LeRobot arm on the other side: a Feetech chain asked in one packet, or whatever the kind's own Robot does."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import importlib
import math
import os
import pkgutil
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hardware.api import ArmLost, RobotError

if TYPE_CHECKING:
    from hardware.drivers.lerobot import LeRobotArm

NARROW, WIDE = 0.35, 0.7
"""How much less or more than a joint's range a calibration may have covered [rad]."""
MEASURED = (56, 15)
"""Address and length of what a Feetech servo measures: position, velocity, load, voltage, temperature, status, current."""
LOAD, STATUS, CURRENT = 60, 65, 69
FAULTS = {1: "voltage", 2: "angle sensor", 4: "temperature", 8: "current", 32: "overload"}
"""Bits of a servo's status."""
AMPERE = 0.0065
"""One unit of current [A]."""
NO_CURRENT = 0x20
"""Bit of the Phase register: this servo's board measures no current."""
TICKS = 4095
"""What LeRobot counts as a turn."""
TRIES = 3
"""How often something is asked that gets no answer."""
ADDRESS = ("remote_ip", "ip_address", "robot_ip", "port")
"""What configurations call the address."""
EFFORTS = ("torque", "tau", "effort")
"""What observations call a joint's torque [N m]."""


class Port(Protocol):
    """A robot of LeRobot's, in its own names and units; one thread uses it at a time."""

    proven: bool
    """Whether it is known that joints are measured in the unit asked for."""

    def open(self) -> None:
        """Connects and checks; moves nothing. Raises RobotError."""
        ...

    def engage(self) -> dict[str, float]:
        """Holds the arm where it is; returns the goals in force, by joint. Raises RobotError."""
        ...

    def read(self) -> tuple[float, dict[str, float], dict[str, float]]:
        """When it was asked [s], positions by joint, and efforts by joint of the arm [N m]. Raises RobotError, ArmLost where final."""
        ...

    def write(self, goals: Mapping[str, float]) -> None:
        """Sends goals by joint. Raises RobotError."""
        ...

    def close(self) -> None:
        """Gives the connection back; never raises."""
        ...


def open_port(driver: LeRobotArm) -> tuple[Any, Port]:
    """The robot that a driver names, not connected, and its port. Raises RobotError."""
    robot = _make(driver)
    feetech = importlib.import_module("lerobot.motors.feetech").FeetechMotorsBus
    return robot, (Feetech if isinstance(getattr(robot, "bus", None), feetech) else Other)(driver, robot)


class Feetech:
    """A chain of Feetech servos: goals through LeRobot's bus, measurements by one packet that asks for all."""

    proven = True

    def __init__(self, driver: LeRobotArm, robot: Any) -> None:
        self.driver, self.robot, self.bus = driver, robot, robot.bus
        self.greatest = {joint.name: joint.effort for joint in driver.arm.joints}
        self.by_load: set[str] = set()
        """Joints whose servos measure no current."""
        self.engaged = False
        self._claimed: int | None = None

    def open(self) -> None:
        """Connects and checks; torque stays as it was."""
        driver, bus = self.driver, self.bus
        where = f" --robot.calibration_dir={driver.calibration}" if driver.calibration else ""
        command = f"lerobot-calibrate --robot.type={driver.kind} --robot.port={driver.address} --robot.id={driver.id}{where}"
        if not Path(self.robot.calibration_fpath).is_file():
            raise RobotError(f"no calibration {self.robot.calibration_fpath}; make it with: {command}")
        self._check_units()
        self._check_ranges(command)
        self._claim()
        bus.connect()
        if not bus.is_calibrated:
            raise RobotError(
                f"the servos at {driver.address} hold another calibration than {self.robot.calibration_fpath}; renew it: {command}"
            )
        self.by_load = {name for name in self.greatest if bus.read("Phase", name, normalize=False) & NO_CURRENT}

    def engage(self) -> dict[str, float]:
        """Servos that hold are not let go; limp ones get torque with their present position as the goal."""
        bus = self.bus
        torque = self._registers("Torque_Enable")
        limp = [name for name, on in torque.items() if not on]
        self._exchange()
        lying = {name: self._ticks(name) for name in limp}
        for name, ticks in lying.items():  # acknowledged one by one: a goal that is lost on the way would be a jump
            bus.write("Goal_Position", name, ticks, normalize=False, num_retry=TRIES)
        goals = self._registers("Goal_Position")
        lost = [name for name, ticks in lying.items() if goals[name] != ticks]
        if lost:
            raise RobotError(f"{', '.join(lost)} did not take the present position as the goal; nothing got torque")
        if len(limp) == len(torque):
            self._patiently(self.robot.configure, 2 * TRIES)  # LeRobot's gains and limits, some 80 packets; it ends with torque on
        else:
            modes = {name: mode for name, mode in self._registers("Operating_Mode").items() if mode}
            if modes:
                raise RobotError(f"servos hold in another mode than position: {modes}; put the arm down, cut its power, connect again")
            bus.enable_torque(limp, num_retry=TRIES)
        self.engaged = True
        return self._by_name({motor.id: goals[name] for name, motor in bus.motors.items()})

    def read(self) -> tuple[float, dict[str, float], dict[str, float]]:
        """Positions and efforts. Raises RobotError naming a servo at fault, ArmLost where an answer is missing for too long."""
        then = self._exchange()
        reader, bus = self.bus.sync_reader, self.bus
        faults = {name: reader.getData(motor.id, STATUS, 1) for name, motor in bus.motors.items()}
        if any(faults.values()):
            said = ", ".join(f"{name}: {_faults(bits)}" for name, bits in faults.items() if bits)
            raise RobotError(f"servos at {self.driver.address} report {said}")
        positions = self._by_name({motor.id: self._ticks(name) for name, motor in bus.motors.items()})
        return then, positions, {name: self._effort(name) for name in self.greatest}

    def write(self, goals: Mapping[str, float]) -> None:
        """Sends goals by joint."""
        self.robot.send_action({f"{name}.pos": value for name, value in goals.items()})

    def close(self) -> None:
        """Gives the port back, with torque or without; an arm that was refused keeps what it had."""
        if self.engaged:
            with contextlib.suppress(Exception):
                self.robot.disconnect()
        with contextlib.suppress(Exception):
            fcntl.ioctl(self.bus.port_handler.ser.fd, termios.TIOCNXCL)
        with contextlib.suppress(Exception):
            self.bus.port_handler.closePort()
        if self._claimed is not None:
            os.close(self._claimed)
            self._claimed = None

    def _claim(self) -> None:
        """One owner a bus: two would take each other's answers. Raises RobotError before a byte is sent."""
        address = self.driver.address
        try:
            self._claimed = os.open(address, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            fcntl.flock(self._claimed, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RobotError(f"{address} is in use by another program; end it first") from None
        except OSError as error:
            raise RobotError(f"cannot open {address}: {error.strerror}; lerobot-find-port tells which port the arm is at") from None

    def _exchange(self) -> float:
        """Asks all servos; returns when [s]."""
        bus, driver = self.bus, self.driver
        handler, reader = bus.port_handler, bus.sync_reader
        until = time.monotonic() + driver.silence
        while True:
            handler.ser.reset_input_buffer()  # a late answer to the question before must not pass for one to this
            reader.clearParam()
            reader.start_address, reader.data_length = MEASURED
            for motor in bus.motors.values():
                reader.addParam(motor.id)
            then = time.monotonic()
            result = reader.txPacket()
            if bus._is_comm_success(result):
                handler.setPacketTimeoutMillis(1000 * driver.silence / TRIES)
                result = reader.rxPacket()
            mute = [name for name, motor in bus.motors.items() if not reader.isAvailable(motor.id, *MEASURED)]
            if bus._is_comm_success(result) and not mute:
                return then
            if time.monotonic() > until:
                said = bus.packet_handler.getTxRxResult(result)
                raise ArmLost(
                    f"no whole answer from {', '.join(mute[:1]) or 'the servos'} at {driver.address} for {driver.silence} s: {said}"
                )

    def _effort(self, name: str) -> float:
        """Current over the stall current, times the joint's greatest torque [N m]; the sign is the load's."""
        reader, number = self.bus.sync_reader, self.bus.motors[name].id
        load, current = reader.getData(number, LOAD, 2), reader.getData(number, CURRENT, 2)
        share = (load & 0x3FF) / 1000 if name in self.by_load else (current & 0x7FFF) * AMPERE / self.driver.stall_current
        return math.copysign(share * self.greatest[name], -1 if load & 0x400 else 1)

    def _ticks(self, name: str) -> int:
        """The position in the last exchange."""
        number = self.bus.motors[name].id
        return self.bus._decode_sign("Present_Position", {number: self.bus.sync_reader.getData(number, MEASURED[0], 2)})[number]

    def _by_name(self, ticks: Mapping[int, int]) -> dict[str, float]:
        """Positions in LeRobot's units by joint, from ticks by servo."""
        values = self.bus._normalize(ticks)
        return {name: float(values[motor.id]) for name, motor in self.bus.motors.items()}

    def _registers(self, name: str) -> dict[str, int]:
        """One register of every servo, asked one by one: LeRobot's reading at once takes a broken answer for 0."""
        return {motor: self._patiently(lambda motor=motor: self.bus.read(name, motor, normalize=False)) for motor in self.bus.motors}

    def _dial(self) -> None:
        if self.bus.is_connected:  # a try before this one got as far as the port
            self.bus.port_handler.closePort()
        self.bus.connect()
        fcntl.ioctl(self.bus.port_handler.ser.fd, termios.TIOCEXCL)  # programs that ask for no lock are kept out too

    def _patiently(self, call: Callable[[], Any], tries: int = TRIES) -> Any:
        """Does it again where an answer was lost, for LeRobot asks once. A late answer must not pass for one to the next question."""
        handler = self.bus.port_handler
        try:
            if handler.is_open:
                handler.ser.reset_input_buffer()
            return call()
        except (ConnectionError, RuntimeError, IndexError):
            if tries == 1:
                raise
        handler.is_using = False
        return self._patiently(call, tries - 1)

    def _check_units(self) -> None:
        modes = {name: self.bus.motors[name].norm_mode.value for name in self.greatest}
        if set(modes.values()) != {"degrees"} or self.driver.unit != "deg":
            raise RobotError(f"{self.driver.kind} is set to measure {modes}, the driver to unit={self.driver.unit!r}; both must be degrees")

    def _check_ranges(self, command: str) -> None:
        """LeRobot's zero is the middle of the range that a person moved the joint through: half a range is a zero that is off."""
        for joint in self.driver.arm.joints:
            if joint.name not in self.robot.calibration:
                raise RobotError(f"{self.robot.calibration_fpath} says nothing of {joint.name}; renew it: {command}")
            entry = self.robot.calibration[joint.name]
            covered, due = (entry.range_max - entry.range_min) * 2 * math.pi / TICKS, joint.upper - joint.lower
            whole_turn = entry.range_max - entry.range_min >= TICKS
            if not whole_turn and not -NARROW < covered - due < WIDE:
                off = f"{covered:.2f} rad of its range of {due:.2f} rad: its zero may be off by {abs(covered - due) / 2:.2f} rad"
                raise RobotError(f"{joint.name} was calibrated over {off}; renew it: {command}")


class Other:
    """A robot of another make: what its Robot class connects, observes and sends."""

    proven = False

    def __init__(self, driver: LeRobotArm, robot: Any) -> None:
        self.driver, self.robot = driver, robot
        self.joints = [joint.name for joint in driver.arm.joints]
        names = set(robot.observation_features)
        found = [kind for kind in EFFORTS if all(f"{joint}.{kind}" in names for joint in self.joints)]
        if not found:
            wanted = ", ".join(f"{self.joints[0]}.{kind}" for kind in EFFORTS)
            raise RobotError(f"{driver.kind} measures no torque ({wanted}): contact could not be seen, so it is not driven")
        self.effort = found[0]

    def open(self) -> None:
        """Connects as the kind does by itself."""
        self.robot.connect(calibrate=False)
        if not self.robot.is_calibrated:
            raise RobotError(f"{self.driver.kind} {self.driver.id} is not calibrated: lerobot-calibrate --robot.type={self.driver.kind}")

    def engage(self) -> dict[str, float]:
        """The kind's connect has done so; what it measures is the goal."""
        return self.read()[1]

    def read(self) -> tuple[float, dict[str, float], dict[str, float]]:
        """What it observes."""
        then = time.monotonic()
        seen = self.robot.get_observation()
        positions = {name.removesuffix(".pos"): float(value) for name, value in seen.items() if name.endswith(".pos")}
        return then, positions, {joint: float(seen[f"{joint}.{self.effort}"]) for joint in self.joints}

    def write(self, goals: Mapping[str, float]) -> None:
        """Sends goals by joint."""
        self.robot.send_action({f"{name}.pos": value for name, value in goals.items()})

    def close(self) -> None:
        """Disconnects."""
        with contextlib.suppress(Exception):
            self.robot.disconnect()


def translated(error: Exception, driver: LeRobotArm) -> RobotError:
    """An error of LeRobot's or the system's, as ours and on one line."""
    if isinstance(error, RobotError):
        return error
    said = " ".join(f"{error}".split()) or type(error).__name__
    if isinstance(error, ImportError):
        return RobotError(f"robot=lerobot kind={driver.kind} needs more than is installed: {said}")
    kind = ArmLost if isinstance(error, OSError) or type(error).__name__ in ("error", "DeviceNotConnectedError") else RobotError
    return kind(f"{driver.kind} at {driver.address}: {said}")


def _make(driver: LeRobotArm) -> Any:
    try:
        robots = importlib.import_module("lerobot.robots")
        factory = importlib.import_module("lerobot.robots.utils").make_robot_from_config
    except ImportError as error:
        raise RobotError("robot=lerobot needs lerobot with Feetech support: pip install 'lerobot[feetech]'") from error
    _register(robots, driver.kind)
    known = robots.RobotConfig.get_known_choices()
    if driver.kind not in known:
        raise RobotError(f"LeRobot knows no robot {driver.kind!r}; known: {', '.join(sorted(known))}")
    wanted = known[driver.kind]
    names = [f.name for f in dataclasses.fields(wanted)]
    address = [name for name in ADDRESS if name in names]
    if not address or not set(driver.settings) <= set(names):
        raise RobotError(f"{driver.kind} is configured by {', '.join(names)}; settings name {', '.join(driver.settings) or 'none'}")
    given = {
        "id": driver.id,
        "calibration_dir": Path(driver.calibration) if driver.calibration else None,
        address[0]: driver.address,
        "use_degrees": driver.unit == "deg",
        "disable_torque_on_disconnect": not driver.hold_on_close,
    }
    try:
        return factory(wanted(**{name: value for name, value in given.items() if name in names} | dict(driver.settings)))
    except Exception as error:
        cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error
        raise translated(cause, driver) from error


def _register(robots: Any, kind: str) -> None:
    """Imports LeRobot's packages, the likeliest first, until one has registered a kind; then plug-ins."""
    packages = [module.name for module in pkgutil.iter_modules(robots.__path__) if module.ispkg]
    for name in sorted(packages, key=lambda name: not kind.startswith(name.split("_")[0])):
        if kind in robots.RobotConfig.get_known_choices():
            return
        with contextlib.suppress(ImportError):  # of another vendor, not installed
            importlib.import_module(f"lerobot.robots.{name}")
    if kind not in robots.RobotConfig.get_known_choices():
        importlib.import_module("lerobot.utils.import_utils").register_third_party_plugins()


def _faults(bits: int) -> str:
    return " and ".join(name for bit, name in FAULTS.items() if bits & bit) or f"status {bits:#x}"
