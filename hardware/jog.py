"""From a person's hands to joint targets: Cartesian jogging by damped least squares, following a leader arm. Pure: no device, no clock.

A device says how fast the tool shall move, as a share of the greatest speed, or where the joints shall be. `advance` turns that into the
next target, a small step from the last one: nothing a hand does is a jump.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

import numpy as np

from hardware.api import Action, RobotError
from hardware.model import ArmModel

_MARGIN = 0.03
"""Kept from every joint limit [rad]: more than the safety filter keeps."""
_ROUNDS = 8
_NEAR, _TURNED = 1e-3, 0.02
"""How well a step must reach its goal [m], [rad]."""


class Button(StrEnum):
    """What a person decides about recording."""

    START = "start"
    SUCCESS = "success"
    FAILURE = "failure"
    DISCARD = "discard"
    UNDO = "undo"
    QUIT = "quit"


@dataclass(frozen=True)
class Jog:
    """How the tool shall move."""

    linear: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """In the base's frame, shares of the greatest speed in [-1, 1]."""
    angular: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """About the base's axes, shares of the greatest speed in [-1, 1]."""
    toggle: bool = False
    """Close an open gripper, open a closed one: true once for each press."""
    home: bool = False
    """Go towards the home pose instead."""
    live: bool = False
    """The dead man's switch is held. Nothing but the gripper moves without it."""
    buttons: tuple[Button, ...] = ()
    """Pressed since the last reading."""


@dataclass(frozen=True)
class JointTargets:
    """Where the joints shall be."""

    qpos: np.ndarray
    """(n,) [rad]"""
    gripper: np.ndarray
    """(m,), 0 closed to 1 open"""
    live: bool = True
    """The leader is held and answers."""
    buttons: tuple[Button, ...] = ()
    """Pressed since the last reading."""


Hand = Jog | JointTargets


class Control(Protocol):
    """An open device; `close` never raises."""

    def read(self, now: float) -> Hand:
        """What the hands want at this moment [s], without waiting. Raises RobotError where the device is gone."""
        ...

    def close(self) -> None:
        """Gives the device back; idempotent."""
        ...


class Teleop(Protocol):
    """A device that can be opened. A frozen value: constructing it does nothing."""

    @property
    def help(self) -> str:
        """Which key does what, for people."""
        ...

    def open(self) -> Control:
        """Opens it. Raises RobotError: what is missing, and what would do."""
        ...


@dataclass(frozen=True)
class Rates:
    """Greatest speeds of teleoperation."""

    linear: float = 0.10
    """[m/s]"""
    angular: float = 0.6
    """[rad/s]"""
    joint: float = 0.6
    """Of any joint [rad/s]."""
    leash: float = 0.3
    """Furthest that the target may run ahead of the measured joints [rad]."""
    near: float = 0.35
    """A leader further than this from the arm is not followed until it comes back [rad]."""

    def __post_init__(self) -> None:
        for name in ("linear", "angular", "joint", "leash", "near"):
            if not 0 < getattr(self, name) <= 5:
                raise RobotError(f"{name}={getattr(self, name)}; above 0 and at most 5")


@dataclass(frozen=True)
class Aim:
    """What is asked of the arm."""

    qpos: np.ndarray
    """(n,) [rad]"""
    gripper: np.ndarray
    """(m,)"""
    tool: np.ndarray
    """The tool's pose that jogging keeps to, (4, 4) [m]: its orientation does not drift."""

    @property
    def action(self) -> Action:
        """As a robot is given it."""
        return Action(self.qpos, self.gripper)


def aim_at(arm: ArmModel, qpos: np.ndarray, gripper: np.ndarray) -> Aim:
    """The aim that asks for nothing: where the arm is, qpos (n,) [rad], gripper (m,)."""
    return Aim(np.array(qpos, float), np.clip(gripper, 0.0, 1.0), arm.tool(qpos))


def advance(arm: ArmModel, aim: Aim, hand: Hand, measured: np.ndarray, dt: float, rates: Rates) -> Aim:
    """The next aim.

    Args:
        arm: its kinematics and limits.
        aim: the last one.
        hand: what the hands want.
        measured: joint positions, (n,) [rad]; an aim that has run too far ahead of them waits.
        dt: since the last aim [s].
        rates: greatest speeds.

    Raises:
        RobotError: a leader of another arm.
    """
    new = _follow(arm, aim, hand, dt, rates) if isinstance(hand, JointTargets) else _jog(arm, aim, hand, dt, rates)
    ahead, before = np.abs(new.qpos - measured).max(), np.abs(aim.qpos - measured).max()
    if ahead > rates.leash and ahead > before:  # blocked, or slower than the hand
        return replace(aim, gripper=new.gripper)
    return new


def apart(arm: ArmModel, aim: Aim, hand: Hand, rates: Rates) -> str:
    """Why a leader is not followed; empty where it is."""
    if isinstance(hand, Jog) or not hand.live or hand.qpos.shape != aim.qpos.shape:
        return ""
    away = hand.qpos - aim.qpos
    joint = int(np.abs(away).argmax())
    if abs(away[joint]) <= rates.near:
        return ""
    return f"bring the leader to the arm: its {arm.joints[joint].name} is {away[joint]:+.2f} rad away, {rates.near} would do"


def _jog(arm: ArmModel, aim: Aim, hand: Jog, dt: float, rates: Rates) -> Aim:
    gripper = np.where(aim.gripper > 0.5, 0.0, 1.0) if hand.toggle else aim.gripper
    aim = replace(aim, gripper=gripper)
    if not hand.live:
        return aim
    most = rates.joint * dt
    if hand.home:
        qpos = aim.qpos + np.clip(np.array(arm.home) - aim.qpos, -most, most)
        return Aim(qpos, gripper, arm.tool(qpos))
    linear, angular = np.clip(hand.linear, -1, 1) * rates.linear * dt, np.clip(hand.angular, -1, 1) * rates.angular * dt
    if not linear.any() and not angular.any():
        return aim
    goal = aim.tool.copy()
    goal[:3, 3] += linear
    goal[:3, :3] = _turn(angular) @ goal[:3, :3]
    qpos = _reach(arm, aim.qpos, goal, most)
    if qpos is None:
        return aim  # out of reach: it stays, and does not drift along the border
    step = qpos - aim.qpos
    share = min(1.0, most / max(np.abs(step).max(), 1e-12))
    qpos = aim.qpos + step * share
    there = arm.tool(qpos)
    if _free(arm):  # not the orientation that was reached: small errors would add up
        there[:3, :3] = _turn(angular * share) @ aim.tool[:3, :3]
    return Aim(qpos, gripper, there)


def _follow(arm: ArmModel, aim: Aim, hand: JointTargets, dt: float, rates: Rates) -> Aim:
    if hand.qpos.shape != aim.qpos.shape or hand.gripper.shape != aim.gripper.shape:
        raise RobotError(
            f"the leader gives {len(hand.qpos)} joints and {len(hand.gripper)} gripper values; "
            f"{arm.name} has {len(aim.qpos)} and {len(aim.gripper)}"
        )
    if not hand.live or apart(arm, aim, hand, rates):
        return aim
    most = rates.joint * dt
    goal = np.clip(hand.qpos, arm.lower + _MARGIN, arm.upper - _MARGIN)
    qpos = aim.qpos + np.clip(goal - aim.qpos, -most, most)
    return Aim(qpos, np.clip(hand.gripper, 0.0, 1.0), arm.tool(qpos))


def _free(arm: ArmModel) -> bool:
    """Whether the arm can turn its tool any way, where it is. Arms of fewer joints place the tool; what turns with it turns."""
    return len(arm.joints) >= 6


def _reach(arm: ArmModel, start: np.ndarray, goal: np.ndarray, most: float) -> np.ndarray | None:
    """Joint positions (n,) [rad] near `start` with the tool at a pose (4, 4); None where they do not get there."""
    free, n = _free(arm), len(arm.joints)
    weight = np.repeat([1.0, 1.0 if free else 0.02], 3)
    q = np.array(start)
    back = np.clip(np.array(arm.home) - q, -0.2 * most, 0.2 * most) if n > 6 else np.zeros(n)  # a spare joint drifts home
    for _ in range(_ROUNDS):
        tool = arm.tool(q)
        error = np.concatenate([goal[:3, 3] - tool[:3, 3], _between(tool[:3, :3], goal[:3, :3])])
        if np.abs(error[:3]).max() < 1e-5 and (not free or np.abs(error[3:]).max() < 1e-4):
            break
        jacobian = weight[:, None] * np.vstack([arm.jacobian(q, n, tool[:3, 3]), arm.axes(q)])  # (6, n)
        damped = np.linalg.inv(jacobian @ jacobian.T + 1e-5 * np.eye(6))
        step = jacobian.T @ (damped @ (weight * error - jacobian @ back)) + back
        q = np.clip(q + step, np.minimum(arm.lower + _MARGIN, start), np.maximum(arm.upper - _MARGIN, start))
        back = np.zeros(n)
    tool = arm.tool(q)
    placed = np.linalg.norm(goal[:3, 3] - tool[:3, 3]) < _NEAR
    turned = not free or np.linalg.norm(_between(tool[:3, :3], goal[:3, :3])) < _TURNED
    return q if placed and turned else None


def _between(here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The small rotation vector (3,) [rad] that turns one orientation (3, 3) into another."""
    turn = there @ here.T
    return 0.5 * np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])


def _turn(vector: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) about a vector (3,) by its length [rad]."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    screw = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * screw + (1 - np.cos(angle)) * screw @ screw
