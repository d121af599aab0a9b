"""A robot for LeRobot that measures torques and any unit: what a plug-in of somebody else's may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lerobot.robots import Robot, RobotConfig

JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll")


@RobotConfig.register_subclass("bench_arm")
@dataclass
class BenchArmConfig(RobotConfig):
    """How it behaves."""

    port: str = "nowhere"
    start: str = "0 0 0 0 0"
    """First positions, in the unit that it measures."""
    torque: bool = True
    calibrated: bool = True
    fault: str = ""
    """What get_observation raises."""


class BenchArm(Robot):
    """Goes where it is sent, at once."""

    config_class = BenchArmConfig
    name = "bench_arm"

    def __init__(self, config: BenchArmConfig) -> None:
        super().__init__(config)
        self.config = config
        self.at = dict(zip(JOINTS, map(float, config.start.split()), strict=True)) | {"gripper": 50.0}
        self.sent: list[dict[str, float]] = []
        self.open = False
        ROBOTS.append(self)

    @property
    def observation_features(self) -> dict[str, type]:
        torques = {f"{name}.torque": float for name in JOINTS} if self.config.torque else {}
        return {**self.action_features, **torques}

    @property
    def action_features(self) -> dict[str, type]:
        return {f"{name}.pos": float for name in self.at}

    @property
    def is_connected(self) -> bool:
        return self.open

    @property
    def is_calibrated(self) -> bool:
        return self.config.calibrated

    def connect(self, calibrate: bool = True) -> None:
        assert not calibrate, "would ask a person at the keyboard"
        self.open = True

    def calibrate(self) -> None:
        raise NotImplementedError

    def configure(self) -> None:
        raise NotImplementedError

    def get_observation(self) -> dict[str, Any]:
        if self.config.fault:
            raise ConnectionError(self.config.fault)
        return {**{f"{name}.pos": value for name, value in self.at.items()}, **{f"{name}.torque": 0.25 for name in JOINTS}}

    def send_action(self, action: dict[str, Any]) -> dict[str, Any]:
        self.sent.append(dict(action))
        self.at = {name.removesuffix(".pos"): value for name, value in action.items()}
        return action

    def disconnect(self) -> None:
        self.open = False


ROBOTS: list[BenchArm] = []
"""All that were made; tests empty it."""
