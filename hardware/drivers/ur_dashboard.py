"""What a Universal Robots controller says in words: its modes, and the dashboard, its text port for people's deeds."""

from __future__ import annotations

import socket
from typing import Any, TextIO

from hardware.api import RobotError

DASHBOARD, SCRIPT, RTDE, GRIPPER = 29999, 30003, 30004, 63352
"""Ports, fixed by the vendors."""
PATIENCE = 2.0
"""Longest wait for an answer of the controller [s]."""
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


def knock(address: str, port: int, use: str, *, keep: bool = False) -> socket.socket:
    """Opens a port, for good with `keep`. The vendor's client would wait for minutes where nobody answers. Raises RobotError."""
    try:
        opened = socket.create_connection((address, port), timeout=PATIENCE)
    except OSError as error:
        raise RobotError(f"{address} does not answer at port {port} ({use}): {error}; check the address, cable and power") from error
    if not keep:
        opened.close()
    return opened


def dashboard(address: str, *questions: str) -> list[str]:
    """The dashboard's answers. Raises RobotError."""
    with knock(address, DASHBOARD, "dashboard", keep=True) as opened, _lines(opened) as lines:
        try:
            lines.readline()  # a greeting
            answers = []
            for question in questions:
                lines.write(question + "\n")
                lines.flush()
                answers.append(lines.readline().strip())
        except OSError as error:
            raise RobotError(f"{address}: the dashboard does not answer: {error}") from error
    return answers


def _lines(opened: socket.socket) -> TextIO:
    return opened.makefile("rw", encoding="ascii", errors="replace", newline="\n")


def modes(measured: Any) -> str:
    """Safety and robot mode of a connected RTDEReceiveInterface, in words."""
    safety, robot = measured.getSafetyMode(), measured.getRobotMode()
    return f"safety mode {SAFETY_MODES.get(safety, safety)}, robot mode {ROBOT_MODES.get(robot, robot)}"


def check_modes(measured: Any) -> None:
    """Raises RobotError with the controller's words where it will not move."""
    if measured.getSafetyMode() not in (1, 2) or measured.getRobotMode() != 7:
        raise RobotError(f"the controller reports {modes(measured)}: clear the cause at the pendant, then connect again")
