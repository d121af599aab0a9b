"""What must hold whatever was broken: no setpoint beyond a limit, an arm at rest, a stop that lasts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

from hardware.api import Action
from hardware.limits import Limits
from hardware.place import forbidden_place
from hardware.session import Session

STILL = 0.01
"""Below this speed a joint rests [rad/s]."""


def beyond(limits: Limits, taken: Sequence[np.ndarray], period: float) -> Iterator[str]:
    """Which setpoints of a session, one a servo period, were beyond a limit; computed from what the arm received alone."""
    if len(taken) < 4:
        return
    path = np.array(taken)  # (T, n)
    if not np.isfinite(path).all():
        yield "a setpoint that is not finite reached the arm"
        return
    speed = np.diff(path, axis=0) / period
    change = np.diff(speed, axis=0) / period
    checks = (
        ("position", np.maximum(limits.arm.lower - path, path - limits.arm.upper), np.zeros(1)),
        ("speed", np.abs(speed), limits.velocity),
        ("acceleration", np.abs(change), limits.full_acceleration),
        ("jerk", np.abs(np.diff(change, axis=0)) / period, limits.full_jerk),
    )
    for name, value, most in checks:
        over = (value - most * (1 + 1e-6)).max()
        if over > 1e-3:  # differences of rounded numbers
            yield f"a setpoint was beyond the limit of {name} by {over:.4f}"
    for qpos in np.unique(path.round(4), axis=0)[:400]:
        if said := forbidden_place(limits, qpos):
            depth = said if "apart" not in said else f"{said}, {limits.clearance * 1000:.0f} mm are kept"
            yield f"a setpoint was in a forbidden place: {depth}"
            return


def lasts(arm: Session, seconds: float = 0.15) -> Iterator[str]:
    """Whether a stop is latched: actions are ignored, another stop changes nothing. The arm is at rest already."""
    stop, before = arm.stopped, arm.setpoint.qpos
    if stop is None:
        yield "the arm is not stopped"
        return
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        arm.offer(Action(before + 0.05, np.zeros(arm.limits.arm.gripper)), arm.clock.now())
        time.sleep(0.02)
    arm.stop(detail="once more")
    if arm.stopped is not stop:
        yield f"the stop did not last: {arm.stopped}"
    if np.abs(arm.setpoint.qpos - before).max() > 1e-6:
        yield "the arm was moved after its stop"


def settled(motion: Sequence[tuple[float, float]], since: float) -> float:
    """How long after `since` the last motion was, of a log of times and speeds [s]."""
    return max((then - since for then, speed in motion if then > since and speed > STILL), default=0.0)
