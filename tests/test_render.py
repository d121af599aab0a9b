"""Pictures and masks: what is left out because a camera cannot see it changes no pixel."""

import numpy as np
import pytest

from assets.toys import ToySet
from hardware.api import Action
from sim.render import Renderer
from sim.scene import SceneConfig
from sim.simrobot import SimRobot

SIZE = 96


class Everything(Renderer):
    """Draws all geoms, seen or not."""

    def _in_view(self, half: float) -> np.ndarray:
        return np.ones(len(self._drawn), bool)

    def _may_hide(self) -> np.ndarray:
        return np.ones(len(self._drawn), bool)


@pytest.mark.parametrize("number", range(4))
def test_leaving_out_what_is_not_seen_changes_no_pixel(number):
    rng = np.random.default_rng(number)
    with SimRobot(SceneConfig(ToySet.sample(9, 4).toys[number], size=SIZE)) as robot, Everything(robot.model, SIZE) as everything:
        robot.place(rng.uniform(-0.1, 0.1, 2), rng)
        some = Renderer(robot.model, SIZE)
        for _ in range(12):  # poses all over, the hand before the object too
            target = robot.qpos + rng.normal(size=7) * 0.5
            robot.command(Action(target, rng.random(1)))
            for camera in ("side", "wrist"):
                for renderer in (some, everything):
                    renderer.look(robot.data, camera)
                assert np.array_equal(some.picture(), everything.picture())
                assert np.array_equal(some.mask(), everything.mask())
        some.close()


def test_the_model_is_left_as_it_was():
    with SimRobot(SceneConfig(ToySet.sample(9, 1).toys[0], size=SIZE)) as robot:
        before = robot.model.geom_group.copy()
        robot.observe()
        assert np.array_equal(robot.model.geom_group, before)
