"""Whether a rig's cameras stand where the policy was trained with them: by calibration, else by where the arm is seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from deploy.cameras.mounts import tool_from_body
from deploy.cameras.view_check import Look, check_calibrated
from deploy.cameras.view_check import check_views as judged
from deploy.errors import DeployError
from hardware.calibration import Calibration, load_calibration
from hardware.camera import Camera
from hardware.cameras.fit import Fit
from hardware.model import ArmModel
from policies.contract import Contract


def load_calibrations(paths: Mapping[str, str], cameras: Sequence[Camera]) -> dict[str, Calibration]:
    """By camera, of the pictures as the policy gets them. Raises DeployError, RobotError: a file that is none, or another camera's."""
    known = {camera.name: camera for camera in cameras}
    found = {}
    for name, path in paths.items():
        if name not in known:
            raise DeployError(f"calibration.{name}: no such camera; there are: {', '.join(known)}")
        camera, calibration = known[name], load_calibration(path)
        if calibration.camera != name:
            raise DeployError(f"calibration.{name}={path} is of camera {calibration.camera!r}")
        found[name] = calibration.fitted(Fit(camera.size, getattr(camera, "rotate", 0)))
    return found


def check_views(contract: Contract, arm: ArmModel, calibrations: Mapping[str, Calibration], looks: Sequence[Look]) -> list[str]:
    """What was found, one line a camera. Raises DeployError where a camera stands, or is turned, otherwise.

    Args:
        contract: of the policy.
        arm: that is looked at.
        calibrations: of the fitted pictures, by camera; cameras without one are judged by where they see the arm.
        looks: what all cameras see, at one pose of the arm or more.
    """
    views = {name: contract.views[name] for name in contract.cameras if name in contract.views}
    if len(views) < len(contract.cameras):
        return ["the checkpoint does not say where its cameras stood: look at the dry run's pictures before you let it go"]
    bodies = {view.body for view in views.values()} - {"world"}
    if len(bodies) > 1:
        return [f"the policy's cameras are fixed to {', '.join(sorted(bodies))}: not compared"]
    mount = tool_from_body(arm.robot, bodies.pop()) if bodies else np.eye(4)
    said = [str(difference) for difference in check_calibrated(views, calibrations, mount)]
    if len(calibrations) < len(views):
        said += [str(reading) for reading in judged(arm, views, looks, mount) if reading.camera not in calibrations]
    return said
