"""The arms that can be driven: a table of names."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, get_type_hints

from hardware.api import RobotError
from hardware.arm import Driver


@dataclass(frozen=True)
class Row:
    """One robot."""

    name: str
    driver: str
    """`module:Class` of a frozen dataclass whose first field is the address; empty: made by `deploy` with its simulated world."""
    says: str
    module: str
    """Of the vendor's package; empty where none is needed."""
    package: str
    """What to install for it."""
    guide: str = ""
    """How the real arm is set up."""
    speed: float = 0.1
    """Share of its speed at which it is deployed where nobody says otherwise."""

    @property
    def simulated(self) -> bool:
        """It can hurt nobody."""
        return not self.driver

    @property
    def installed(self) -> bool:
        """Whether its package is there."""
        return not self.module or importlib.util.find_spec(self.module) is not None


ROBOTS = (
    Row("sim", "", "the scene of the demo in real time: Panda, table, two cameras", "mujoco", "mujoco", speed=1.0),
    Row("franka_sim", "", "the same scene behind franky-sim and the real FCI protocol on 127.0.0.1", "franky_sim", "franky-sim", speed=0.5),
    Row(
        "franka", "hardware.drivers.franka:Franka", "Franka Panda or FR3 through FCI", "franky", "franky-control", "docs/drivers/franka.md"
    ),
    Row("ur", "hardware.drivers.ur:UR", "Universal Robots arms through RTDE", "rtde_control", "ur-rtde", "docs/drivers/ur.md"),
    Row("xarm", "hardware.drivers.xarm:XArm", "UFACTORY xArm 6 and 7", "xarm", "xarm-python-sdk", "docs/drivers/xarm.md"),
    Row(
        "lerobot",
        "hardware.drivers.lerobot:LeRobotArm",
        "any arm that LeRobot drives, SO-101 first",
        "lerobot",
        "lerobot[feetech]",
        "docs/drivers/lerobot.md",
    ),
)


def find_robot(name: str) -> Row:
    """The row of a robot. Raises RobotError."""
    for row in ROBOTS:
        if row.name == name:
            return row
    raise RobotError(f"robot={name!r} is not known; known: {', '.join(row.name for row in ROBOTS)}")


def open_driver(name: str, address: str = "", settings: Mapping[str, Any] | None = None) -> Driver:
    """The driver of a physical robot; connects to nothing.

    Args:
        name: of its row.
        address: of the arm; empty: as its class says.
        settings: further fields of its class, as text or numbers.

    Raises:
        RobotError: no such robot or setting, or a package is missing.
    """
    row = find_robot(name)
    if row.simulated:
        raise RobotError(f"robot={name} is a simulated world, which `cezanne deploy` makes; physical robots have drivers")
    if not row.installed:
        raise RobotError(f"robot={name} needs {row.package}: pip install '{row.package}'")
    module, _, noun = row.driver.partition(":")
    made = getattr(importlib.import_module(module), noun)
    values = dict(settings or {}) | ({"address": address} if address else {})
    hints, known = get_type_hints(made), [field.name for field in fields(made)]
    for needed in fields(made):
        if needed.name not in values and needed.default is MISSING and needed.default_factory is MISSING:
            raise RobotError(f"robot={name} needs {needed.name}=..., as in {row.guide}")
    for key, value in values.items():
        if key not in known:
            raise RobotError(f"robot={name} has no setting {key!r}; it has: {', '.join(known)}")
        if hints[key] in (float, int, bool, str) and not isinstance(value, (float, int) if hints[key] is float else hints[key]):
            raise RobotError(f"robot={name}: {key}={value!r} should be of type {hints[key].__name__}")
    return made(**values)
