"""An arm with a hand, as the rest of `sim` needs to know it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mujoco

from sim.robots.hand import Hand


@dataclass(frozen=True)
class Arm:
    """One embodiment: a row of `sim.robots.ROBOTS`."""

    name: str
    joints: tuple[str, ...]
    home: tuple[float, ...]
    """Joint positions above the workspace [rad]."""
    speed: tuple[float, ...]
    """Greatest joint speeds of its data sheet, (n,) [rad/s]."""
    hand: Hand
    spec: Callable[[], mujoco.MjSpec]
    """Makes its model: a body "base" where it stands (the Panda's at the origin), position servos named after the joints, those of
    the hand, and a site GRIP between the pads, near their tips, on a body "right_gripper" that the wrist camera is fixed to."""
