"""A picture of each robot with a toy that it has just lifted, and of its grip from near: `python -m sim.robots.portrait docs/images`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from assets.toys import ToySet
from hardware.api import Action
from sim.camera import Camera
from sim.errors import SceneError
from sim.expert import Expert
from sim.robots import ROBOTS, find_robot
from sim.scene import SceneConfig
from sim.simrobot import SimRobot
from sim.variation import PLAIN
from sim.variation.light import Light

TILE, FINER = 480, 2
"""Of each of the two pictures, and how many times finer they are drawn [px]."""
WHOLE = Camera("whole", (1.62, 0.92, 0.86), (0.17, 0.0, 0.33), (0, 0, 1), 38.0)
"""Sees the arm from its foot."""
NEAR = (0.24, 0.16, 0.09)
"""From where the other camera looks at the grip, in the base frame [m]."""
_FAR = 20.0
"""Beyond it is nothing [m]."""
LIFTED = 0.09
"""How high the object is [m]."""
_LIGHT = Light((-0.36, -0.22, -0.91), (1.0, 1.0, 1.0), shadows=True)
_SKY = (232, 234, 237)


def portrait(name: str, seed: int = 4) -> Image.Image:
    """The robot of a name, (480, 960) px: from afar and from near. Raises SceneError where it lifts none of eight toys."""
    variation = replace(PLAIN, light=_LIGHT)
    near = Camera("near", (1.0, 0.0, 0.5), (0.5, 0.0, 0.1), (0, 0, 1), 34.0)
    for toy in ToySet.sample(seed, 8).toys:
        scene = SceneConfig(toy, cameras=(WHOLE, near), size=FINER * TILE, variation=variation, robot=name)
        with SimRobot(scene) as robot:
            robot.model.vis.quality.shadowsize = 4096  # before the first picture
            if _lift(robot):
                grip = robot.object_pose[0]
                robot.aim(near.moved(grip + np.array(NEAR), grip + np.array([0, 0, 0.03]), np.array([0, 0, 1])))
                page = Image.new("RGB", (2 * TILE, TILE))
                for k, camera in enumerate((WHOLE, near)):
                    picture = robot.picture(camera.name)
                    picture[robot.depth(camera.name) > _FAR] = _SKY
                    page.paste(Image.fromarray(picture).resize((TILE, TILE), Image.Resampling.BOX), (k * TILE, 0))
                return page
    raise SceneError(f"robot {name!r} lifts none of the toys of seed {seed}")


def _lift(robot: SimRobot) -> bool:
    """Grasps the toy in the middle of the workspace and stops as soon as it is lifted; whether it is."""
    robot.place(np.zeros(2), np.random.default_rng(0))
    rest = robot.object_pose[0][2]
    chosen = Expert(robot).choose()
    if chosen is None:
        return False
    n = len(robot.arm.joints)
    for target in chosen[1].targets:
        robot.command(Action(target[:n], target[n:]))
        if robot.object_pose[0][2] > rest + LIFTED:
            return robot.held
    return False


def main(folder: Path, names: list[str]) -> None:
    """Writes robot_NAME.jpg for each."""
    for name in names or list(ROBOTS):
        find_robot(name)
        path = folder / f"robot_{name}.jpg"
        portrait(name).save(path, quality=88, optimize=True)
        print(path, file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("a folder is needed, then names of robots for some only, as in: python -m sim.robots.portrait docs/images panda")
    try:
        main(Path(sys.argv[1]), sys.argv[2:])
    except (OSError, SceneError) as error:
        sys.exit(str(error))
