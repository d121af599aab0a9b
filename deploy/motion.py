"""Moving an arm without a policy, under the same limits: home, and a little up first."""

from __future__ import annotations

import numpy as np

from deploy.errors import DeployError
from hardware.api import Action
from hardware.model import ArmModel
from hardware.session import Session

_TICK = 0.02
"""Between two offers [s]."""
_AHEAD = 0.3
"""How far ahead of the setpoint a target is put, any joint [rad]: below the limit of a jump."""


def go(arm: Session, qpos: np.ndarray, gripper: np.ndarray, *, close: float = 2e-3) -> None:
    """Moves to joint positions (n,) [rad] in a straight line of the joints, and waits. Raises DeployError where the arm is stopped."""
    limits, now = arm.limits, arm.clock.now()
    away = np.abs(qpos - arm.setpoint.qpos)
    deadline = now + 5.0 + 3.0 * float((away / limits.velocity).max())
    while True:
        now = arm.clock.now()
        if arm.stopped:
            raise DeployError(f"the arm stopped on its way: {arm.stopped.reason.value}: {arm.stopped.detail}")
        if now > deadline:
            raise DeployError(f"the arm did not come to {np.round(qpos, 2)} in time: {arm.servo.blocked or 'it lags'}")
        left = qpos - arm.setpoint.qpos
        if np.abs(left).max() < close:
            break
        ahead = left * min(1.0, _AHEAD / np.abs(left).max())
        arm.offer(Action(arm.setpoint.qpos + ahead, gripper), now)
        arm.clock.sleep_until(now + _TICK)
    arm.hold()


def open_gripper(arm: Session, opening: float = 1.0, *, timeout: float = 3.0) -> None:
    """Opens, or closes, where it is; waits until the gripper rests. Raises DeployError where the arm is stopped."""
    wanted = np.full(arm.limits.arm.gripper, opening)
    here = arm.setpoint.qpos
    end = arm.clock.now() + timeout
    before, quiet = arm.state().gripper, 0
    while (now := arm.clock.now()) < end and quiet < 5:
        if arm.stopped:
            raise DeployError(f"the arm stopped: {arm.stopped.reason.value}: {arm.stopped.detail}")
        arm.offer(Action(here, wanted), now)
        arm.clock.sleep_until(now + 0.05)
        there = arm.state().gripper
        quiet = quiet + 1 if np.abs(there - before).max() < 0.005 and now > end - timeout + 0.3 else 0
        before = there
    arm.hold()


def raised(model: ArmModel, qpos: np.ndarray, height: float) -> np.ndarray:
    """Joint positions near qpos (n,) [rad] with the tool higher by `height` [m] in the same orientation, as far as the joints allow."""
    goal = model.tool(qpos)
    goal[2, 3] += height
    found = qpos.copy()
    for _ in range(60):
        tool = model.tool(found)
        turn = goal[:3, :3] @ tool[:3, :3].T
        twist = 0.5 * np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
        error = np.concatenate([goal[:3, 3] - tool[:3, 3], twist])
        if np.abs(error).max() < 1e-4:
            break
        linear = model.jacobian(found, len(model.joints), tool[:3, 3])  # (3, n)
        jacobian = np.vstack([linear, model.axes(found)])  # (6, n)
        step = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + 1e-3 * np.eye(6), error)
        found = np.clip(found + np.clip(step, -0.1, 0.1), model.lower, model.upper)
    return found


def go_home(arm: Session, *, lift: float = 0.08) -> None:
    """Opens the gripper, rises out of whatever is around it, and goes home. Raises DeployError."""
    model = arm.limits.arm
    home, here = np.array(model.home), arm.setpoint
    opened = np.ones(model.gripper)
    open_gripper(arm)
    if np.abs(home - here.qpos).max() > 0.05 and model.tool(here.qpos)[2, 3] < model.tool(home)[2, 3]:
        go(arm, raised(model, here.qpos, lift), opened)
    go(arm, home, opened)
