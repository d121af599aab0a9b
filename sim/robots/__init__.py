"""The embodiments: arms with their hands, by the name that `robot=` takes. Models come from robosuite's library."""

from __future__ import annotations

from collections.abc import Mapping

from sim.errors import SceneError
from sim.robots.arm import Arm
from sim.robots.gr1 import GR1_INSPIRE
from sim.robots.hand import GRIP, Hand, Room
from sim.robots.iiwa import IIWA_JAW
from sim.robots.kinova3 import KINOVA3_ROBOTIQ
from sim.robots.panda import PANDA, PANDA_INSPIRE, PANDA_ROBOTIQ
from sim.robots.ur5e import UR5E_ROBOTIQ

__all__ = ["GRIP", "PANDA", "ROBOTS", "Arm", "Hand", "Room", "find_robot"]

ROBOTS: Mapping[str, Arm] = {
    arm.name: arm for arm in (PANDA, PANDA_ROBOTIQ, UR5E_ROBOTIQ, KINOVA3_ROBOTIQ, IIWA_JAW, PANDA_INSPIRE, GR1_INSPIRE)
}


def find_robot(name: str) -> Arm:
    """The embodiment of a name. Raises SceneError for one that is unknown."""
    if name not in ROBOTS:
        raise SceneError(f"robot={name!r} is unknown; known: {', '.join(ROBOTS)}")
    return ROBOTS[name]
