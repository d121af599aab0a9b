"""Cezanne's arms, behind their limits, as a robot of LeRobot's: `--robot.type=cezanne`."""

from lerobot_robot_cezanne.robot import Cezanne, CezanneConfig

__all__ = ["Cezanne", "CezanneConfig"]
