"""The process that holds ur-rtde, the vendor's client, apart from ours: `python -m hardware.drivers.ur_client FD`.

Version 1.6.5 ends its process on a data package with a false length, may crash when it reconnects by itself, prints to stdout, holds the
interpreter's lock while it connects, and waits up to 4 s for a program that ended. All of that happens here, to nobody else.

What comes: settings as JSON, then b"J" and six joint positions, b"S" to stop, b"E" to end; the end of the connection means the same.
What goes: b"R" once connected, b"M" and a measurement, b"D" when a stop is done, b"X" or b"L" and words for a fault or a loss, and it ends.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import struct
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from hardware.drivers.ur_dashboard import ENDED, GONE, PATIENCE, RUNNING, Gone, Refused, check_modes, check_slider, dashboard, modes

VARIABLES = (
    *("timestamp", "actual_q", "actual_qd", "actual_current", "target_current", "robot_mode", "safety_mode"),
    *("speed_scaling", "target_speed_fraction", "robot_status_bits"),
)
"""What the controller is asked to measure."""
FRAME = struct.Struct("<2d6d6d6d6diiddI?")
SETPOINT = struct.Struct("<6d")
BROKEN = ("Operation canceled", "End of file", "Broken pipe", "Connection reset", "Bad file descriptor")
"""Words of the vendor's client for a connection that is gone, in errors of no kind of their own."""


class Frame(NamedTuple):
    """One measurement, as the vendor's client handed it out."""

    seen: float
    """When it was there first [s, monotonic]."""
    stamp: float
    """The controller's time [s]."""
    q: tuple[float, ...]
    qd: tuple[float, ...]
    current: tuple[float, ...]
    """Of the motors, (6,) [A]."""
    modelled: tuple[float, ...]
    """Current that the controller's model of the arm asks for, (6,) [A]."""
    robot_mode: int
    safety_mode: int
    scaling: float
    slider: float
    status: int
    connected: bool

    def pack(self) -> bytes:
        return FRAME.pack(self.seen, self.stamp, *self.q, *self.qd, *self.current, *self.modelled, *self[6:])

    @classmethod
    def unpack(cls, data: bytes) -> Frame:
        seen, stamp, *flat, robot, safety, scaling, slider, status, connected = FRAME.unpack(data)
        q, qd, current, modelled = (tuple(flat[i : i + 6]) for i in range(0, 24, 6))
        return cls(seen, stamp, q, qd, current, modelled, robot, safety, scaling, slider, status, connected)


class Client:
    """Serves one connection."""

    def __init__(self, wire: Connection) -> None:
        self._wire = wire
        self._settings: dict[str, Any] = json.loads(wire.recv_bytes())
        self._address = str(self._settings["address"])
        self._writing = threading.Lock()
        self._wake = threading.Condition()
        self._setpoint: tuple[float, ...] | None = None
        self._stopping = self._closing = self._streaming = False
        self._ended = threading.Event()

    def run(self) -> None:
        """Until it is told to end, or a fault."""
        try:
            self._connect()
            threading.Thread(target=self._listen, daemon=True).start()
            threading.Thread(target=self._measure, daemon=True).start()
            self._tell(b"R")
            while self._command():
                pass
        except Exception as error:  # whatever the vendor's client throws, the arm's owner must hear it
            lost = isinstance(error, Gone) or any(words in str(error) for words in BROKEN)
            self._tell((b"L" if lost else b"X") + str(error).encode())
        self._end()

    def _connect(self) -> None:
        """Uploads the program, starts its watchdog. Raises Refused, or what the vendor's client throws."""
        control, receive = importlib.import_module("rtde_control"), importlib.import_module("rtde_receive")
        hz = self._settings["servo_hz"]
        self._measured = receive.RTDEReceiveInterface(self._address, hz, list(VARIABLES))
        check_modes(self._measured.getSafetyMode(), self._measured.getRobotMode())
        check_slider(self._measured.getTargetSpeedFraction())
        vendor = control.RTDEControlInterface
        try:
            self._commands = vendor(self._address, hz, int(vendor.FLAG_UPLOAD_SCRIPT | vendor.FLAG_NO_EXT_FT))
        except RuntimeError as error:
            held = "another session or a fieldbus holds the input registers: " if "in use" in str(error) else ""
            raise Refused(f"{held}{error}") from error
        if not self._commands.setWatchdog(self._settings["watchdog_hz"]):
            raise Refused("the controller refused the watchdog; it must not be driven without")
        if not self._commands.kickWatchdog():  # returns when the program is ready again
            raise Refused(ENDED)

    def _command(self) -> bool:
        """The next command to the controller; False once it is time to end."""
        settings, commands = self._settings, self._commands
        with self._wake:
            self._wake.wait_for(lambda: self._setpoint or self._stopping or self._closing, timeout=0.25 / settings["watchdog_hz"])
            setpoint, self._setpoint = self._setpoint, None
            stopping, self._stopping = self._stopping, False
            closing = self._closing
        if not self._measured.isConnected():  # the vendor's client is busy to connect the other connection again
            raise Gone(GONE)
        good = True
        if stopping or closing:
            if self._streaming:
                self._streaming = False
                good = commands.servoStop(settings["deceleration"])
            self._tell(b"D")
        elif setpoint:
            self._streaming = True
            good = commands.servoJ(setpoint, 0.0, 0.0, 1 / settings["servo_hz"], settings["lookahead"], settings["gain"])
        elif not self._streaming:
            # At rest the watchdog is kept content; while it streams, only setpoints do: if those cease, the controller must stop.
            good = commands.kickWatchdog()
        if not good and not closing:
            raise Refused(self._refusal())
        return not closing

    def _refusal(self) -> str:
        """Why a command was refused. What the controller measures comes by another connection, a moment later perhaps."""
        end = time.monotonic() + 0.1
        while time.monotonic() < end:
            check_modes(self._measured.getSafetyMode(), self._measured.getRobotMode())
            if not self._measured.getRobotStatus() & RUNNING:
                return ENDED
            time.sleep(0.005)
        return f"the controller refused a command: {modes(self._measured.getSafetyMode(), self._measured.getRobotMode())}"

    def _measure(self) -> None:
        """Tells every measurement, and ten a second where there is none: also that the connection is gone."""
        last, told = float("nan"), 0.0
        while not self._ended.is_set():
            frame = self._frame()
            if frame.stamp != last or time.monotonic() - told > 0.1:
                last, told = frame.stamp, time.monotonic()
                self._tell(b"M" + frame.pack())
            time.sleep(0.25 / self._settings["servo_hz"])

    def _frame(self) -> Frame:
        """All values of one data package."""
        measured = self._measured
        while True:
            seen, stamp = time.monotonic(), measured.getTimestamp()
            frame = Frame(
                seen=seen,
                stamp=stamp,
                q=tuple(measured.getActualQ()),
                qd=tuple(measured.getActualQd()),
                current=tuple(measured.getActualCurrent()),
                modelled=tuple(measured.getTargetCurrent()),
                robot_mode=measured.getRobotMode(),
                safety_mode=measured.getSafetyMode(),
                scaling=measured.getSpeedScaling(),
                slider=measured.getTargetSpeedFraction(),
                status=measured.getRobotStatus(),
                connected=measured.isConnected(),
            )
            if stamp == measured.getTimestamp() or math.isnan(stamp):  # else the next package came between two values
                return frame

    def _listen(self) -> None:
        """Takes what is asked; always the newest setpoint only."""
        try:
            while True:
                data = self._wire.recv_bytes()
                with self._wake:
                    if data[:1] == b"J":
                        self._setpoint = SETPOINT.unpack(data[1:])
                    elif data[:1] == b"S":
                        self._setpoint, self._stopping = None, True
                    else:
                        break
                    self._wake.notify_all()
        except (EOFError, OSError):
            pass  # our owner is gone
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        if not self._ended.wait(PATIENCE / 2):  # the vendor's client hangs
            self._leave()

    def _end(self) -> None:
        """Ends the program by itself, else by the dashboard: behind a protective stop it would go on when that is unlocked."""
        with contextlib.suppress(Exception):
            if self._measured.isConnected():
                self._commands.stopScript()
                time.sleep(1.5 / self._settings["servo_hz"])
        self._leave()

    def _leave(self) -> None:
        with contextlib.suppress(Exception):
            if not self._measured.isConnected() or self._measured.getRobotStatus() & RUNNING:
                dashboard(self._address, "stop")
        self._ended.set()
        os._exit(0)  # the vendor's destructors sleep, and its threads may hang

    def _tell(self, data: bytes) -> None:
        with self._writing, contextlib.suppress(OSError):
            self._wire.send_bytes(data)


if __name__ == "__main__":
    Client(Connection(int(sys.argv[1]))).run()
