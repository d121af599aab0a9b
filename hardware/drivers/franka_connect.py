"""How a Franka arm is reached: the vendor's package, a connection that does not take a minute, and its errors in our terms."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from hardware.api import ArmLost, RobotError
from hardware.model import ArmModel

FLANGE = 0.107
"""Of the last joint's frame to the flange, along z [m]."""


def vendor() -> Any:
    """The package franky. Raises RobotError where it is missing."""
    try:
        return importlib.import_module("franky")
    except ImportError as error:
        raise RobotError(f"robot=franka needs franky-control: pip install franky-control ({error})") from error


def in_time(address: str, timeout: float, opened: Callable[[], tuple[Any, Any]]) -> tuple[Any, Any]:
    """What `opened` returns; libfranka itself waits for a minute. Raises RobotError."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(opened())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run, name="franka connect", daemon=True)
    thread.start()
    thread.join(timeout)
    if not outcome:
        raise ArmLost(f"{address}: no answer within {timeout} s: no arm is there, another program has it, or it is starting")
    if isinstance(outcome[0], Exception):
        raise translate(address, outcome[0]) from outcome[0]
    return outcome[0]


def check_kinematics(address: str, arm: ArmModel, state: Any) -> None:
    """Raises RobotError where the arm's own flange is not where the model has it: another arm, or another model."""
    ours = (arm.frames(state.q)[-1] @ np.array([0, 0, FLANGE, 1]))[:3]
    theirs = (state.O_T_EE * state.F_T_EE.inverse).translation
    gap = float(np.linalg.norm(ours - theirs))
    if gap > 0.005:
        raise RobotError(
            f"{address}: the arm says its flange is {gap:.3f} m from where {arm.name!r} has it; give model= the arm that it is"
        )


def translate(address: str, error: Exception) -> RobotError:
    """Ours for one of the vendor's, in the arm's own words."""
    words = " ".join(str(error).removeprefix("libfranka: ").split())
    lost = type(error).__name__ in ("NetworkException", "RuntimeError")  # its network library throws the latter
    if "realtime" in words.lower():
        words += " Boot a real-time kernel (docs/drivers/franka.md); realtime=ignore is for simulators"
    if type(error).__name__ == "IncompatibleVersionException":
        words += " Install the wheel of franky-control for the version of this arm (docs/drivers/franka.md)"
    return (ArmLost if lost else RobotError)(f"{address}: {words}")
