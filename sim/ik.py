"""Inverse kinematics by damped least squares, warm-started: about 0.1 ms a pose along a path."""

from __future__ import annotations

import mujoco
import numpy as np

from sim.robots.hand import GRIP


class InverseKinematics:
    """Joint positions that bring the grip site of a model to a pose. Works on its own data: nothing moves."""

    def __init__(self, model: mujoco.MjModel, joints: tuple[str, ...], home: tuple[float, ...]) -> None:
        ids = [model.joint(name).id for name in joints]
        self._model, self._data = model, mujoco.MjData(model)
        self._qpos = model.jnt_qposadr[ids]
        self._dof = model.jnt_dofadr[ids]
        self._low, self._high = model.jnt_range[ids, 0] + 0.05, model.jnt_range[ids, 1] - 0.05
        self._home = np.array(home)
        self._site = model.site(GRIP).id
        self._jacobian = np.zeros((6, model.nv))

    def forward(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) [m] and rotation as a quaternion (4,) of the grip site at joint positions (n,) [rad]."""
        self._data.qpos[self._qpos] = q
        mujoco.mj_kinematics(self._model, self._data)
        quat = np.empty(4)
        mujoco.mju_mat2Quat(quat, self._data.site_xmat[self._site])
        return self._data.site_xpos[self._site].copy(), quat

    def solve(self, pos: np.ndarray, yaw: float, start: np.ndarray, *, iterations: int = 60) -> tuple[np.ndarray, bool]:
        """Joint positions (n,) [rad] with the grip site at `pos` (3,) [m], pointing down, turned by `yaw`; and whether it got there."""
        return self.reach(pos, down(yaw), start, iterations=iterations)

    def reach(self, pos: np.ndarray, goal: np.ndarray, start: np.ndarray, *, iterations: int = 60) -> tuple[np.ndarray, bool]:
        """As `solve`, for any rotation: `goal` is the grip site's as a quaternion (4,)."""
        model, data = self._model, self._data
        now, error = np.empty(4), np.empty(6)
        q = np.array(start, float)
        for _ in range(iterations):
            data.qpos[self._qpos] = q
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            error[:3] = pos - data.site_xpos[self._site]
            mujoco.mju_mat2Quat(now, data.site_xmat[self._site])
            turn = np.empty(3)
            mujoco.mju_subQuat(turn, goal, now)
            error[3:] = data.site_xmat[self._site].reshape(3, 3) @ turn
            if np.abs(error[:3]).max() < 1e-4 and np.abs(error[3:]).max() < 1e-3:
                break
            mujoco.mj_jacSite(model, data, self._jacobian[:3], self._jacobian[3:], self._site)
            jac = self._jacobian[:, self._dof]
            damped = np.linalg.inv(jac @ jac.T + 1e-4 * np.eye(6))
            back = 0.1 * (self._home - q)  # the redundant joint stays near home
            step = jac.T @ (damped @ (error - jac @ back)) + back
            q = np.clip(q + step * min(1.0, 0.3 / max(np.abs(step).max(), 1e-9)), self._low, self._high)
        return q, bool(np.linalg.norm(error[:3]) < 2e-3 and np.linalg.norm(error[3:]) < 0.02)


def down(yaw: float) -> np.ndarray:
    """Rotation of a grip site that points down, turned by `yaw` from the home pose, as a quaternion (4,)."""
    # At home x is the base's x, y its -y, z its -z: half a turn about x.
    return np.array([0.0, np.cos(yaw / 2), np.sin(yaw / 2), 0.0])
