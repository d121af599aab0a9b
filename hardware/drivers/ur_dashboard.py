"""What a Universal Robots controller says in words: its modes, and the dashboard, its text port for people's deeds.

Errors are Refused here: the process of the vendor's client uses this too, and starts quickly because it does without numpy.
"""

from __future__ import annotations

import socket
from typing import TextIO

DASHBOARD, SCRIPT, RTDE, GRIPPER = 29999, 30003, 30004, 63352
"""Ports, fixed by the vendors."""
PATIENCE = 2.0
"""Longest wait for an answer of the controller [s]."""
GONE = "the controller closed the connection; connect again"
ENDED = "the controller ended the program: its watchdog saw no setpoint in time, or somebody pressed stop; connect again"
RUNNING = 2
"""The bit of robot_status_bits that says so of a program."""
SAFETY_MODES = {
    1: "NORMAL",
    2: "REDUCED",
    3: "PROTECTIVE_STOP",
    4: "RECOVERY",
    5: "SAFEGUARD_STOP",
    6: "SYSTEM_EMERGENCY_STOP",
    7: "ROBOT_EMERGENCY_STOP",
    8: "VIOLATION",
    9: "FAULT",
    10: "VALIDATE_JOINT_ID",
    11: "UNDEFINED_SAFETY_MODE",
    12: "AUTOMATIC_MODE_SAFEGUARD_STOP",
    13: "SYSTEM_THREE_POSITION_ENABLING_STOP",
}
"""The controller's words for safety_mode."""
ROBOT_MODES = {
    -1: "NO_CONTROLLER",
    0: "DISCONNECTED",
    1: "CONFIRM_SAFETY",
    2: "BOOTING",
    3: "POWER_OFF",
    4: "POWER_ON",
    5: "IDLE",
    6: "BACKDRIVE",
    7: "RUNNING",
    8: "UPDATING_FIRMWARE",
}
"""The controller's words for robot_mode."""


class Refused(Exception):
    """The controller says no, or nothing."""


class Gone(Refused):
    """The connection to the controller is gone."""


def knock(address: str, port: int, use: str) -> socket.socket:
    """Opens a port. The vendor's client would wait for minutes where nobody answers. Raises Refused."""
    try:
        return socket.create_connection((address, port), timeout=PATIENCE)
    except OSError as error:
        raise Refused(f"{address} does not answer at port {port} ({use}): {error}; check the address, cable and power") from error


def dashboard(address: str, *questions: str) -> list[str]:
    """The dashboard's answers. Raises Refused."""
    with knock(address, DASHBOARD, "dashboard") as opened, _lines(opened) as lines:
        try:
            lines.readline()  # a greeting
            answers = []
            for question in questions:
                lines.write(question + "\n")
                lines.flush()
                answers.append(lines.readline().strip())
        except OSError as error:
            raise Refused(f"{address}: the dashboard does not answer: {error}") from error
    return answers


def _lines(opened: socket.socket) -> TextIO:
    return opened.makefile("rw", encoding="ascii", errors="replace", newline="\n")


def modes(safety: int, robot: int) -> str:
    """safety_mode and robot_mode in words."""
    return f"safety mode {SAFETY_MODES.get(safety, safety)}, robot mode {ROBOT_MODES.get(robot, robot)}"


def check_modes(safety: int, robot: int) -> None:
    """Raises Refused with the controller's words where it will not move."""
    if safety not in (1, 2) or robot != 7:
        raise Refused(f"the controller reports {modes(safety, robot)}: clear the cause at the pendant, then connect again")


def check_slider(speed: float) -> None:
    """Raises Refused where the controller moves slower than it is told, `speed` being the share."""
    if speed < 0.99:
        raise Refused(f"it runs at {speed:.0%} speed and would stretch every setpoint: set the pendant's speed slider to 100 %")
