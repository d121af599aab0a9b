"""UFACTORY's SDK, made fit to live in a process with others.

It prints and logs to stdout, from any of its threads at any time; stdout is for results, so its words go to stderr. It sets the default
timeout of all sockets of the process, which would end other people's waiting; that is kept from it. It leaves Nagle's algorithm on,
which now and then holds a setpoint back for as long as the other side delays its acknowledgement. And it asks a controller that does not
answer a hundred times before it gives up.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import socket
import sys
import threading
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hardware.api import ArmLost, RobotError

PATIENCE = 5.0
"""Longest that connecting may take [s]."""
PORT = 502
VERSION = bytes.fromhex("0001 0002 0001 01")
"""A request for the firmware's version."""
ANSWER = 0.5
"""Longest wait for a reply [s]."""
CODES = {
    -8: "the client's joint limits forbid it",
    -1: "not connected",
    1: "there is an error",
    3: "no answer in time",
    4: "an answer of the wrong length",
    6: "an answer of another protocol",
    7: "an answer to another command",
    8: "the connection broke",
    9: "not ready to move",
    10: "the controller refused",
}
"""What the SDK's return codes say."""
LOST = (-1, 3, 8)
"""Codes of a connection that is gone."""


def open_client(address: str, reports: bool) -> Any:
    """A connected client; nothing has been enabled or moved.

    Args:
        address: a name or an IPv4 address.
        reports: whether it takes reports of the arm, 100 a second.

    Raises:
        RobotError: the package is missing, or no such name.
        ArmLost: nobody answers there.
    """
    sdk = _sdk()
    try:
        number = socket.gethostbyname(address)
    except OSError as error:
        raise RobotError(f"robot=xarm: address {address!r} cannot be resolved: {error}") from error
    _knock(address, number)
    # The control box's own program leaves a local socket in /tmp, which the client would prefer to the address (forbid_uds).
    kind = {"report_type": "real", "enable_report": reports, "forbid_uds": True, "timed_comm": False, "check_cmdnum_limit": False}
    client = sdk.XArmAPI(number, is_radian=True, do_not_open=True, **kind)
    trouble: list[Exception] = []

    def connect() -> None:
        try:
            client.connect()
        except Exception as error:
            trouble.append(error)

    opening = threading.Thread(target=connect, name="xarm connect", daemon=True)
    opening.start()
    opening.join(PATIENCE)
    if opening.is_alive():
        close_client(client)
        raise ArmLost(f"{address} took the connection and did not answer within {PATIENCE} s: restart the control box")
    if trouble or not client.connected:
        raise ArmLost(f"{address}: the client could not connect: {trouble[0] if trouble else 'the connection broke'}")
    if reports and not client._arm.reported:  # the SDK swallows this failure, and shows it nowhere else
        close_client(client)
        raise ArmLost(f"{address} gives no reports on port 30003")
    client.set_timeout(ANSWER)
    return client


def close_client(client: Any) -> None:
    """Disconnects. The connection is closed at once; the client's own threads may take 2 s more, and are not waited for."""
    closing = threading.Thread(target=client.disconnect, name="xarm disconnect", daemon=True)
    closing.start()
    closing.join(0.2)


def error_words(code: int, whose: str = "Controller") -> str:
    """What the vendor says of an error of the "Controller" or the "Gripper": title, and what to do."""
    table = getattr(importlib.import_module("xarm.core.config.x_code"), f"{whose}ErrorCodeMap")
    words = table.get(code, table["other"])["en"]
    return " ".join(f"error {code}: {words['title']}. {words['desc']}".split())


def refusal(what: str, code: int) -> RobotError:
    """The error that a return code is."""
    words = f"{what}: {CODES.get(code, 'refused')} (code {code})"
    return ArmLost(words) if code in LOST else RobotError(words)


def _knock(address: str, number: str) -> None:
    """Asks for the version, once. Raises ArmLost where no answer comes: the SDK would ask on for minutes, in the background."""
    try:
        with socket.create_connection((number, PORT), timeout=PATIENCE) as probe:
            probe.sendall(VERSION)
            if not probe.recv(1):
                raise ArmLost(f"{address} closed the connection: restart the control box")
    except TimeoutError as error:
        raise ArmLost(f"{address} did not answer on port {PORT} within {PATIENCE} s: restart the control box") from error
    except OSError as error:
        raise ArmLost(f"{address} does not answer on port {PORT} ({error}): is the control box on, and the address right?") from error


def _sdk() -> Any:
    try:
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            (Path.home() / ".UFACTORY/log/xarm/sdk").mkdir(parents=True, exist_ok=True)  # where it does, two processes may collide
            sdk = importlib.import_module("xarm.wrapper")
    except ImportError as error:
        raise RobotError("robot=xarm needs xarm-python-sdk: pip install xarm-python-sdk") from error
    except OSError as error:
        raise RobotError(f"robot=xarm: xarm-python-sdk keeps logs in the home folder, and could not: {error}") from error
    ports = importlib.import_module("xarm.core.comm.socket_port")
    if ports.socket is socket:  # once; it belongs to the vendor's modules, nobody else sees it
        vars(ports)["socket"] = SimpleNamespace(**{**vars(socket), "socket": _Prompt, "setdefaulttimeout": lambda _: None})
        logs = importlib.import_module("xarm.core.utils.log")
        for logger in (logs.logger, logs.origin_logger):
            logger.handlers[:] = [logging.lastResort]
            logger.propagate = False
        for name, module in list(sys.modules.items()):
            if name.split(".")[0] == "xarm":
                vars(module)["print"] = _say
    return sdk


class _Prompt(socket.socket):
    """Sends what it is given at once."""

    def connect(self, address: Any) -> None:
        super().connect(address)
        if self.family == socket.AF_INET:
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _say(*words: Any, **how: Any) -> None:
    print(*words, **{**how, "file": sys.stderr})
