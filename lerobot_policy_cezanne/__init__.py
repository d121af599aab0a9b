"""Cezanne's policy as a policy of LeRobot's, `--policy.type=cezanne`, and its world as an environment, `--env.type=cezanne_grasp`."""

from lerobot_policy_cezanne.configuration_cezanne import CezanneConfig
from lerobot_policy_cezanne.schedule import CezanneSchedule
from lerobot_policy_cezanne.world import CezanneGraspConfig

__all__ = ["CezanneConfig", "CezanneGraspConfig", "CezanneSchedule"]
