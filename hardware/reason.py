"""Why an arm was stopped: codes that logs, reports and scripts rely on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """The code of a stop."""

    OPERATOR = "operator"
    """A person: Ctrl-C, SIGTERM, `cezanne stop`."""
    ACTION_NOT_FINITE = "action_not_finite"
    ACTION_SHAPE = "action_shape"
    """Another number of joints or gripper values than the arm has."""
    ACTION_JUMP = "action_jump"
    """A target further from the present pose than any policy of this arm would ask for."""
    ACTION_STALE = "action_stale"
    """The last action ran out before the next one came."""
    OBSERVATION_STALE = "observation_stale"
    """An action that answers to a picture which is too old."""
    STATE_STALE = "state_stale"
    """The arm has not measured itself for too long."""
    STATE_NOT_FINITE = "state_not_finite"
    HEARTBEAT = "heartbeat"
    """The control loop hangs."""
    JOINT_LIMIT = "joint_limit"
    """A measured joint beyond its limit."""
    OVERSPEED = "overspeed"
    """A measured joint faster than allowed."""
    BLOCKED = "blocked"
    """For too long nothing was asked but what workspace, table or self-collision forbid."""
    FOLLOWING_ERROR = "following_error"
    """The arm is not where it was sent."""
    CONTACT = "contact"
    """Joint torques or currents beyond those of free motion and a held object."""
    ARM_FAULT = "arm_fault"
    """The arm reports a fault of its own, or refused a setpoint."""
    ARM_LOST = "arm_lost"
    """The connection is gone."""
    CAMERA_LOST = "camera_lost"
    """No new frame for too long, or the camera is gone."""
    CAMERA_FROZEN = "camera_frozen"
    """New frames with the same picture, bit by bit."""
    CAMERA_BLACK = "camera_black"
    CAMERA_SWAPPED = "camera_swapped"
    """Another picture size or view than the contract's."""
    POLICY_DEAD = "policy_dead"
    """The policy's process or server is gone."""
    POLICY_REFUSED = "policy_refused"
    """The policy's server said no: wrong token, another contract, a malformed answer."""
    CLOCK = "clock"
    """Time stood still or ran backwards between two ticks."""
    CRASH = "crash"
    """An error of our own."""


@dataclass(frozen=True)
class Stop:
    """A stop that happened; latched until a person clears it."""

    reason: Reason
    detail: str
    """What was seen, with figures: one line."""
    time: float
    """When [s, monotonic]."""
