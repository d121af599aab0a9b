"""What cameras are fixed to: bodies of the simulator's arms in the frame of the tool, and calibrated cameras as data sets describe them."""

from __future__ import annotations

import mujoco
import numpy as np

from deploy.errors import DeployError
from episodes.info import CameraInfo
from hardware.calibration import Calibration, turn
from hardware.cameras.fit import Fit
from sim.robots import GRIP, ROBOTS


def tool_from_body(arm: str, body: str) -> np.ndarray:
    """Pose of a body of an arm in the frame of its tool, (4, 4). Raises DeployError where it is unknown, or moves against the tool.

    "tool" is the tool's own frame, in which calibrations are, and needs no model.
    """
    if body == "tool":
        return np.eye(4)
    if arm not in ROBOTS:
        raise DeployError(f"arm {arm!r} is no simulated one ({', '.join(ROBOTS)}): where its cameras are fixed is unknown")
    model = ROBOTS[arm].spec().compile()
    bodies = [model.body(i).name for i in range(model.nbody)]
    if body not in bodies:
        raise DeployError(f"arm {arm!r} has no body {body!r} that a camera could be fixed to; it has: {', '.join(filter(None, bodies))}")
    data = mujoco.MjData(model)
    poses = []
    for turned in (0.0, 0.3):  # every joint, to see whether the body moves against the tool
        data.qpos[:] = turned
        mujoco.mj_kinematics(model, data)
        tool, there = np.eye(4), np.eye(4)
        tool[:3, :3], tool[:3, 3] = data.site(GRIP).xmat.reshape(3, 3), data.site(GRIP).xpos
        there[:3, :3], there[:3, 3] = data.body(body).xmat.reshape(3, 3), data.body(body).xpos
        poses.append(np.linalg.inv(tool) @ there)
    if not np.allclose(*poses, atol=1e-6):
        raise DeployError(
            f"body {body!r} of arm {arm!r} moves against the tool; cameras that are checked are fixed to the hand or the base"
        )
    return poses[0]


def as_contract(calibration: Calibration, fit: Fit) -> CameraInfo:
    """A calibrated camera as data sets describe it: of its fitted pictures, edges of pixels at whole numbers. Raises DeployError."""
    if calibration.hand_eye is None:
        name = calibration.camera
        raise DeployError(f"camera {name!r}: where it stands is unknown; `cezanne calibrate step=hand_eye name={name}` tells")
    lens = calibration.intrinsics.fitted(fit)
    width, height = fit.size
    matrix = lens.matrix
    matrix[:2, 2] += 0.5
    body = "world" if calibration.hand_eye.mount == "base" else "tool"
    return CameraInfo(height, width, lens.fovy, matrix, calibration.hand_eye.matrix @ turn(fit), body)
